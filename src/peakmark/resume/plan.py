"""What will become of each part of a run if it is resumed like this? Decided and said before anything is done.

A pure function of what lies on the two sides of the seam. It must not know files, nor how any of it is carried out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from peakmark.nouns.losses import TERMS
from peakmark.nouns.resume import ChangePlan, PlannedPart
from peakmark.resume.expected import expected_shift
from peakmark.resume.health.causes import BEST_FOR_LAST, OLDER_FILE
from peakmark.resume.seam import AUGMENTATIONS, MEASURED, MIXING, THRESHOLDS, Seam, Side
from peakmark.settings.difference import Change

DANGEROUS_RATE = 10.0
"""From this factor on experience expects a run to break."""
_DIFFERENT = 1e-9

_OF_THE_STEP = ("clip_grad", "max_nonfinite")


def plan(seam: Seam) -> ChangePlan:
    """Says for each part of the run what becomes of it, and why. Deterministic."""
    parts = [part for rule in _RULES for part in rule(seam)]
    return ChangePlan(
        changes=tuple(dict.fromkeys((*map(str, seam.changes), *seam.reasons))),
        parts=tuple(parts),
        inexact=tuple(_inexact(seam)),
        expected=expected_shift(seam),
    )


# --- the parts ------------------------------------------------------------------------------------------------------


def _contradictions(seam: Seam) -> Iterator[PlannedPart]:
    for cause in seam.contradictions:
        # An older file costs the epochs that are trained again, and they come out the same.
        harmless = cause.name in (OLDER_FILE, BEST_FOR_LAST)
        moves = "" if harmless else "the run may break"
        yield PlannedPart(cause.name, "carried over", f"{cause.evidence} {cause.remedy}", moves, dangerous=not harmless)


def _weights(seam: Seam) -> Iterator[PlannedPart]:
    before, after, last = seam.before, seam.after, seam.run / "weights" / "last.pt"
    if before.architecture != after.architecture:
        yield PlannedPart(
            "weights",
            "refused",
            f"the run is a {before.architecture}, and {after.architecture} has other shapes. Start a new run from what"
            f" fits: peakmark train model={after.settings.model} pretrained={last} data=...",
        )
    elif before.names != after.names:
        yield PlannedPart(
            "weights",
            "refused",
            f"classes {', '.join(before.names)} -> {', '.join(after.names)}: the head would mean something else."
            f" Fine-tune instead, which carries over the classes that match: peakmark train model={last} data=...",
        )
    elif seam.changed("model", "pretrained"):
        yield PlannedPart(
            "weights",
            "refused",
            "a resume keeps the run's own weights. To start from others, start a new run:"
            f" peakmark train model={after.settings.model}",
        )
    else:
        yield PlannedPart("weights", "carried over", "raw weights and batch-norm statistics, bit for bit")
        yield PlannedPart("average (EMA)", "carried over", "with its count of updates, bit for bit")


def _optimizer(seam: Seam) -> Iterator[PlannedPart]:
    before, after = seam.before, seam.after
    old, new = before.recipe.optimizer, after.recipe.optimizer
    if seam.optimizer_is_new:
        yield PlannedPart(
            "optimizer",
            "re-initialised",
            f"{old} -> {new}: their moments mean different things. New ones are gathered while the rate rises from 0"
            " over one epoch",
            "losses within 0.1 for an epoch or two",
        )
        return
    ratio = after.window_images / before.window_images
    kind = f"{old} -> {new}, whose moments are the same" if old != new else f"moments of {new}"
    if abs(ratio - 1) > _DIFFERENT:
        yield PlannedPart(
            "optimizer",
            "rescaled",
            f"{kind}, times {ratio:.3g}: an update gathers {after.window_images} images instead of"
            f" {before.window_images}",
            "losses within 0.05",
        )
    elif seam.changed("freeze"):
        yield PlannedPart(
            "optimizer",
            "changed",
            f"{kind} where a layer is still trained; newly trained layers begin without",
            "losses within 0.1",
        )
    else:
        yield PlannedPart("optimizer", "carried over", f"{kind}, bit for bit")
    if before.recipe.weight_decay != after.recipe.weight_decay:
        yield PlannedPart(
            "weight decay",
            "rescaled",
            f"{before.recipe.weight_decay:.4g} -> {after.recipe.weight_decay:.4g} an update",
        )


def _rate(seam: Seam) -> Iterator[PlannedPart]:
    before, after = seam.before, seam.after
    if not after.rate:
        return
    if abs(after.rate - before.rate) <= _DIFFERENT * before.rate and not seam.optimizer_is_new:
        held = after.horizon < after.settings.epochs
        why = f"{after.rate:.3g} in the next epoch, as it would have been"
        yield PlannedPart("learning rate", "carried over", why + (_held(after) if held else ""))
        return
    ratio, effective = after.rate / before.rate, seam.effective_rate_ratio
    why = f"{before.rate:.3g} -> {after.rate:.3g} in the next epoch, times {ratio:.3g}"
    if seam.changed("epochs") and before.horizon != after.horizon:
        why += f" (schedule=stretch: laid over {after.horizon} epochs instead of {before.horizon})"
    if seam.optimizer_is_new:
        why += f"; as {after.recipe.optimizer} moves, like times {effective:.2g}"
    yield PlannedPart(
        "learning rate",
        "changed",
        why,
        _rate_moves(effective),
        dangerous=effective >= DANGEROUS_RATE * (1 - _DIFFERENT),
    )


def _held(after: Side) -> str:
    return f"; from epoch {after.horizon + 1} on it stays where epoch {after.horizon} had it (schedule=hold)"


def _rate_moves(effective: float) -> str:
    if effective >= DANGEROUS_RATE:
        return "the losses may rise above all that was reached"
    if effective > 1:
        return "losses up for some epochs"
    return "losses down, mAP up"


def _step(seam: Seam) -> Iterator[PlannedPart]:
    if changed := seam.changed("batch", "nbs", "parts"):
        yield PlannedPart("batches", "changed", f"{_listed(changed)}: from the next window on", "losses within 0.05")
    if changed := seam.changed(*_OF_THE_STEP):
        yield PlannedPart("update", "changed", f"{_listed(changed)}: from the next update on")
    if changed := seam.changed("freeze"):
        yield PlannedPart("trained layers", "changed", f"{_listed(changed)}: from the next update on")
    if changed := seam.changed(*TERMS, "cls_pw"):
        yield PlannedPart(
            "loss", "changed", f"{_listed(changed)}: from the next update on", "logged losses are in other units"
        )
    elif seam.weighs_classes_otherwise:
        why = f"cls_pw={seam.after.settings.cls_pw:g} goes on with the numbers of objects as they are now"
        yield PlannedPart("class weights", "changed", why, "logged losses are in other units")
    if changed := seam.changed("warmup_epochs", "warmup_bias_lr", "warmup_momentum", "momentum"):
        yield PlannedPart("warm-up and momentum", "changed", f"{_listed(changed)}: by the position in the run")


def _augmentation(seam: Seam) -> Iterator[PlannedPart]:
    before, after = seam.before, seam.after
    changed = seam.changed(*AUGMENTATIONS)
    said = [_listed(changed)] if changed else []
    switched_on = [name for name in MIXING if not getattr(before, name) and getattr(after, name)]
    switched_off = [name for name in MIXING if getattr(before, name) and not getattr(after, name)]
    said += [f"{name} is switched on" for name in switched_on] + [f"{name} is switched off" for name in switched_off]
    if not said:
        yield PlannedPart("augmentation", "carried over", f"same settings, mosaic {'on' if after.mosaic else 'off'}")
        return
    idle = not after.mosaic_open and all(change.name in (*MIXING, "close_mosaic") for change in changed)
    moves = "train losses up" if switched_on else "train losses down" if switched_off else "train losses within 0.3"
    if idle and not switched_on and not switched_off:
        said, moves = [*said, "without effect while mosaic, mixup and cutmix are closed"], ""
    yield PlannedPart("augmentation", "changed", "; ".join(said), moves, dangerous=len(switched_on) > 1)


def _data(seam: Seam) -> Iterator[PlannedPart]:
    before, after, position = seam.before, seam.after, seam.position
    if before.train != after.train:
        when = f"from epoch {position.epoch + 2} on" if seam.inside_an_epoch else "from the next epoch on"
        cut = f"; the open epoch ends after the {position.images} images it had" if seam.inside_an_epoch else ""
        chosen = "".join(f"{change}: " for change in seam.changed("classes"))
        what = f"{chosen}other images or labels, {when}{cut}"
        yield PlannedPart("training data", "changed", what, "losses not compared")
    elif changed := seam.changed("seed"):
        yield PlannedPart("order and draws", "changed", f"{_listed(changed)}: from the next batch on")
    else:
        yield PlannedPart("order and draws", "carried over", "functions of seed and position")
    if changed := seam.changed("imgsz"):
        yield PlannedPart("image size", "changed", f"{_listed(changed)}: from the next batch on", "losses not compared")


def _best(seam: Seam) -> Iterator[PlannedPart]:
    before, after = seam.before, seam.after
    if (before.val, before.protocol) != (after.val, after.protocol) or seam.changed("imgsz", *THRESHOLDS):
        yield PlannedPart(
            "best epoch",
            "re-initialised",
            f"validated {_validated_otherwise(seam)}, earlier epochs can't be compared: best starts anew, and the best"
            " so far is kept as epochN.pt",
        )
    elif changed := seam.changed("fitness"):
        yield PlannedPart(
            "best epoch",
            "changed",
            f"{_listed(changed)}: the best of the epochs whose weights are kept, by the new fitness",
        )
    else:
        yield PlannedPart("best epoch", "carried over", "a function of the history")
    if changed := seam.changed("val", "val_period"):
        yield PlannedPart("validation", "changed", f"{_listed(changed)}: from the open epoch on")


def _validated_otherwise(seam: Seam) -> str:
    if seam.before.protocol != seam.after.protocol:
        changed = seam.changed(*MEASURED)
        return f"with {_listed(changed)}" if changed else f"by another protocol ({seam.after.protocol})"
    return "on other data or at another size"


def _length(seam: Seam) -> Iterator[PlannedPart]:
    before, after = seam.before, seam.after
    if changed := seam.changed("epochs"):
        why = _listed(changed)
        if after.settings.epochs <= seam.position.epoch:
            why += f": {seam.position.epoch} are done already, so the run ends here"
        elif after.horizon != after.settings.epochs:
            why += f"; rate and phases stay laid over {after.horizon} (schedule=hold)"
        yield PlannedPart("length", "changed", why)
    elif before.horizon != after.horizon:
        yield PlannedPart(
            "length", "changed", f"rate and phases are laid over {after.horizon} epochs (schedule=stretch)"
        )
    if seam.changes_the_run and after.settings.patience:
        yield PlannedPart("stopping", "changed", f"patience={after.settings.patience} counts from here on")


def _machine(seam: Seam) -> Iterator[PlannedPart]:
    before, after = seam.before.arithmetic, seam.after.arithmetic
    if before.precision != after.precision:
        yield PlannedPart("precision", "changed", f"{before.precision} -> {after.precision}", "losses within 0.05")
        if before.needs_scaler or after.needs_scaler:
            yield PlannedPart("gradient scaler", "re-initialised", "it belongs to float16")
    elif after.needs_scaler:
        yield PlannedPart("gradient scaler", "carried over", "bit for bit")
    if seam.augments_elsewhere:
        why = f"by {after.augmentation} instead of {before.augmentation}: the same plans, pixels rounded differently"
        yield PlannedPart("augmentation by", "changed", why, "losses within 0.05")
    if (before.device, before.device_name) != (after.device, after.device_name):
        yield PlannedPart(
            "device", "changed", f"{before.device_name} ({before.device}) -> {after.device_name} ({after.device})"
        )
    yield from _threads(seam)
    if before.deterministic != after.deterministic:
        yield PlannedPart("kernels", "changed", f"deterministic: {before.deterministic} -> {after.deterministic}")
    if before.compiled != after.compiled:
        why = f"compile: {before.compiled} -> {after.compiled}, which rounds differently"
        yield PlannedPart("compiled code", "changed", why, "losses within 0.05")


def _threads(seam: Seam) -> Iterator[PlannedPart]:
    before, after, cores = seam.before.arithmetic.threads, seam.after.arithmetic.threads, seam.cores
    if seam.after.arithmetic.on_gpu:
        return
    if before != after:
        why = f"{before} -> {after}: sums are added in another order"
        yield PlannedPart("threads", "changed", why, "losses within 0.05")
    elif cores is not None and after > cores:
        yield PlannedPart(
            "threads",
            "carried over",
            f"{after}, as the run began, though this process may use {cores} processor{'' if cores == 1 else 's'}: the"
            f" same bits, but slow. threads={cores} is faster, and changes the last digits",
        )


def _files(seam: Seam) -> Iterator[PlannedPart]:
    moved = [change for change in seam.changed("project", "name") if not _is_where_it_lies(seam, change)]
    if seam.elsewhere:
        yield PlannedPart("folder", "changed", seam.elsewhere)
    if not seam.elsewhere and moved:
        why = f"{_listed(moved)}: a run is resumed in its own folder. Move the folder, or leave this out"
        yield PlannedPart("folder", "refused", why)
    elif changed := [change for change in seam.changes if _bears_on_nothing(seam, change)]:
        yield PlannedPart("machine and files", "changed", f"{_listed(changed)}: the result stays the same")


def _bears_on_nothing(seam: Seam, change: Change) -> bool:
    before, after = seam.before.arithmetic, seam.after.arithmetic
    rounds_differently = change.name in ("device", "threads") and getattr(before, change.name) != getattr(
        after, change.name
    )
    return change.bears_on in ("execution", "output") and not seam.bears_on_result(change) and not rounds_differently


def _is_where_it_lies(seam: Seam, change: Change) -> bool:
    """Whether a changed project or name only says where the folder is by now."""
    if change.name == "name":
        return change.new == seam.run.name
    return Path(str(change.new)).expanduser().absolute() == seam.run.absolute().parent


_RULES = (
    _contradictions, _weights, _optimizer, _rate, _step, _augmentation, _data, _best, _length, _machine, _files,
)  # fmt: skip


# --- in words -------------------------------------------------------------------------------------------------------


def _listed(changes: Sequence[Change]) -> str:
    return ", ".join(map(str, changes))


def _inexact(seam: Seam) -> Iterator[str]:
    """Why this can't be, bit for bit, the run that was never stopped."""
    before, after = seam.before, seam.after
    if seam.changes_the_run:
        yield "settings or data that bear on the result were changed"
    old, new = before.arithmetic, after.arithmetic
    if old.device_name != new.device_name:
        yield f"{new.device_name} rounds differently from {old.device_name}"
    if old.precision != new.precision:
        yield f"{new.precision} rounds differently from {old.precision}"
    if old.threads != new.threads and not new.on_gpu:
        yield f"another number of threads ({old.threads} -> {new.threads}) adds in another order"
    if not new.deterministic and new.on_gpu:
        yield "deterministic=False: a GPU adds in any order"
    for name in sorted(before.versions.keys() | after.versions.keys()):
        was, now = before.versions.get(name), after.versions.get(name)
        if was != now and name != "python":
            yield f"{name} {was} -> {now} may compute differently"
