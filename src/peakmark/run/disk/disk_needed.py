"""What will a run's weights take on the disk, and does it fit? Said before it starts, in words for a person.

It must not know how a checkpoint is written.
"""

from __future__ import annotations

from peakmark.files.disk import bytes_in, free_bytes
from peakmark.record.folder import RunFolder
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import Recipe
from peakmark.state.state import RunState

_OVERHEAD_BYTES = 1 << 18
"""Zip headers, keys, settings and history."""


def checkpoint_bytes(state: RunState, recipe: Recipe) -> int:
    """Estimates a whole checkpoint: weights, their average, and the optimizer's moments; to a few percent."""
    weights = weights_bytes(state) - _OVERHEAD_BYTES
    trained: int = sum(parameter.nbytes for parameter in state.model.parameters() if parameter.requires_grad)
    moments: int = 2 if recipe.optimizer != "SGD" else 1 if recipe.momentum else 0
    return 2 * weights + moments * trained + _OVERHEAD_BYTES


def weights_bytes(state: RunState) -> int:
    """Estimates a stripped checkpoint: the weights that are used, and what is known of them."""
    weights: int = sum(tensor.nbytes for tensor in state.ema.state_dict().values())
    return weights + _OVERHEAD_BYTES


def files_kept(settings: Settings) -> tuple[int, str]:
    """Counts the files that the run ends with at most, and names them; best.pt is a file of its own beside its epoch's.

    So is last.pt: names that shared one file would all be lost to whoever writes into one of them in place.
    """
    files, named = 1, ["last.pt"]
    if settings.val:
        files += 1
        named.append("best.pt")
        best = min(settings.keep, -(-settings.epochs // settings.val_period))
        if settings.keep > 1:
            files += best
            named.append(f"the best {best} epochs (keep={settings.keep})")
    if settings.save_period:
        every = settings.epochs // settings.save_period
        files += every
        named.append(f"{every} of save_period={settings.save_period}")
    return files, ", ".join(named)


def expected_use(settings: Settings, state: RunState, recipe: Recipe) -> str:
    """Says what the weights of the run will take."""
    files, named = files_kept(settings)
    size_bytes = checkpoint_bytes(state, recipe)
    return f"up to {files} files of {_megabytes(size_bytes)}, {_megabytes(files * size_bytes)} in all: {named}"


def room_notes(folder: RunFolder, settings: Settings, state: RunState, recipe: Recipe) -> tuple[str, ...]:
    """Says so where the disk has too little room for what the run will keep."""
    files, _ = files_kept(settings)
    # One more is on its way while the others stand; what is there already of this run need not be found again.
    needed_bytes = (files + 1) * checkpoint_bytes(state, recipe) - bytes_in(folder.weights)
    left_bytes = free_bytes(folder.path)
    if needed_bytes <= left_bytes:
        return ()
    return (
        f"The weights need about {_megabytes(needed_bytes)} more, but the disk of {folder.path} has"
        f" {_megabytes(left_bytes)} free. Free some space there, keep fewer epochs (keep=1, save_period=0), or choose a"
        " folder on another disk with project=.",
    )


def _megabytes(count_bytes: int) -> str:
    return f"{count_bytes / 1e6:,.0f} MB" if count_bytes < 1e10 else f"{count_bytes / 1e9:,.0f} GB"
