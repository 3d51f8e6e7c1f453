"""How much does each class weigh in the class loss? Worked out from how many objects it has, by a stated formula.

It must not know where the numbers of objects come from, nor what is multiplied by a weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def class_weights(power: float, objects: Sequence[int]) -> tuple[float, ...]:
    """Gives a weight per class: `(1 / frequency) ** power`, times what makes their mean over all objects 1.

    `power` from 0 (off: no weights at all, an empty tuple) to 1 (full inverse frequency: every class that has objects
    weighs the same in all); `objects` of each class in the training split. A class without objects weighs 1.

    The mean is over the objects, not over the classes, since the class loss is made of objects: each pulls at its own
    column, and at the same strength whichever class it is of. So the loss keeps its size, and with it its share beside
    the box loss. With a mean of 1 over the classes it would not: at 100 objects to one and full power the common class
    would weigh 0.02 and the class loss would be a 25th of what it was, which is what `cls=` is for.
    Raises ValueError where weights are wanted and no class is known.
    """
    if power == 0:
        return ()
    if not objects:
        raise ValueError(f"cls_pw={power:g} needs the number of objects of each class")
    total = sum(objects)
    raw = [(total / count) ** power if count else 0.0 for count in objects]
    # fsum: the weights are part of what a run keeps, and don't depend on the order of the classes.
    of_all = math.fsum(weight * count for weight, count in zip(raw, objects, strict=True))
    return tuple(weight * total / of_all if count else 1.0 for weight, count in zip(raw, objects, strict=True))


def weights_in_words(power: float, weights: Sequence[float], objects: Sequence[int], names: Sequence[str]) -> str:
    """Says what the rarest and the commonest class weigh, of those that have objects."""
    present = [number for number, count in enumerate(objects) if count]
    if len(present) < 2:
        return f"cls_pw={power:g} has no effect: only one class has objects in the training images."
    rarest, commonest = min(present, key=lambda n: objects[n]), max(present, key=lambda n: objects[n])
    said = (
        f"{names[number]} {weights[number]:.3g} ({objects[number]:,} object{'' if objects[number] == 1 else 's'})"
        for number in (rarest, commonest)
    )
    return f"Weights in the class loss by cls_pw={power:g}, rarest and commonest class: {', '.join(said)}."
