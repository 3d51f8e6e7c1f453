"""Is this file a whole checkpoint of ours, and what is in it? Reading it never runs code.

Any file may be handed in: one of ours that is damaged, one of another program, no checkpoint at all. Each is refused
with a sentence that says which of these it is. It must not know folders or which of several files to take.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from peakmark.checkpoint.digest import digests
from peakmark.checkpoint.earlier import as_today
from peakmark.checkpoint.format import (
    FORMAT,
    FORMAT_VERSION,
    STATISTICS,
    Checkpoint,
    from_plain,
    position_from_plain,
    record_from_plain,
)
from peakmark.checkpoint.writer import COMMENT_BYTES, COMMENT_PREFIX, digest_of_file
from peakmark.errors import ModelFileError
from peakmark.files.torch_file import ForeignClassesError, TorchFile, UnreadableError, opened
from peakmark.nouns.run import EpochRecord, Position

_ZIP_START = b"PK\x03\x04"
_PICKLE_START = b"\x80"
_NAMES_SHOWN = 3
_RESTORE = "Restore it from a copy, or take another file of the run's weights folder."


class ForeignFileError(ModelFileError):
    """A PyTorch file that Peakmark didn't write: whole, but no checkpoint of ours."""


def read(path: Path, *, verify: bool = True) -> Checkpoint:
    """Reads a checkpoint onto the processor.

    `verify=False` skips the digest over every byte, for a file that was verified just before. Raises `ModelFileError`
    if the file is missing, foreign, damaged or of another format version.
    """
    try:
        with opened(path) as stream:
            file = _torch_file(path, stream)
            _said_in(path, file)
            if verify:
                _check_digest(path, stream)
            return _checkpoint(path, file)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_sent(sent: bytes) -> Checkpoint:
    """Reads a checkpoint that another process sent instead of writing it into a file. Raises as `read` does."""
    path, stream = Path("the state that was sent"), io.BytesIO(sent)
    file = _torch_file(path, stream)
    _said_in(path, file)
    _check_digest(path, stream)
    return _checkpoint(path, file)


def read_position(path: Path) -> Position:
    """Reads only how far a checkpoint is, without its tensors: a fraction of the time. Raises as `read` does.

    What says so is compared with its own checksum; the tensors aren't verified.
    """
    plain = _said_by(path)
    try:
        return position_from_plain(plain["position"])
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(path, error) from error


def read_weights_epoch(path: Path) -> int | None:
    """Reads only which epoch (0-based) ended in a checkpoint's weights, None within one; as `read_position` does."""
    epoch = _said_by(path).get("weights_epoch")
    return epoch if isinstance(epoch, int) else None


def read_own_record(path: Path) -> EpochRecord | None:
    """Reads only the record of the epoch that ended in a checkpoint's weights, as `read_position` does.

    None within an epoch, for a stripped file, and where the history has no such record.
    """
    plain = _said_by(path)
    try:
        epoch = plain["weights_epoch"]
        if epoch is None or not plain["training_weights"]:
            return None
        own = [record for record in plain["history"]["records"] if record["epoch"] == epoch]
        return record_from_plain(own[0]) if own else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _incomplete(path, error) from error


def check_whole(path: Path) -> None:
    """Holds every byte of a file of ours against its digest. Raises ModelFileError as `read` does."""
    try:
        with opened(path) as stream:
            _check_kind(path, stream)
            _check_digest(path, stream)
    except OSError as error:
        raise _unreadable(path, error) from error


def describe(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """Gives what `peakmark inspect` shows of the checkpoint read from `path`: plain values, digests worked out anew.

    Numbers of epochs are 1-based here, as in every place where a person reads them.
    """
    position, ended = checkpoint.position, checkpoint.weights_epoch
    return {
        "file": str(path),
        "size_bytes": path.stat().st_size,
        "format": FORMAT,
        "format_version": _said_by(path)["format_version"],
        "complete": checkpoint.complete,
        "architecture": checkpoint.architecture,
        "names": list(checkpoint.names),
        "parameters": count_parameters(checkpoint),
        "weights": _describe_weights(checkpoint),
        "epoch": None if checkpoint.is_imported else (position.epoch if ended is None else ended) + 1,
        "next": None
        if checkpoint.is_imported
        else {"epoch": position.epoch + 1, "phase": position.phase, "images_done": position.images},
        "step": position.step,
        "validated": checkpoint.validated,
        "fitness": checkpoint.fitness,
        "metrics": checkpoint.metrics,
        "best_fitness": checkpoint.best_fitness,
        "epochs_recorded": len(checkpoint.history.records),
        "settings": checkpoint.settings,
        "arithmetic": checkpoint.arithmetic,
        "provenance": checkpoint.provenance,
        "digests": digests(checkpoint),
    }


def count_parameters(checkpoint: Checkpoint) -> int:
    """Weights and biases; the statistics of batch norms are buffers and don't count as anyone counts."""
    return sum(tensor.numel() for name, tensor in checkpoint.model.items() if not name.endswith(STATISTICS))


def _describe_weights(checkpoint: Checkpoint) -> str:
    if checkpoint.is_imported:
        return "of another program, not validated here: they carry no metrics; no run can go on from this file"
    stripped = "" if checkpoint.complete else "; stripped for shipping: no run can go on from this file"
    return _describe_moment(checkpoint) + stripped


def _describe_moment(checkpoint: Checkpoint) -> str:
    averaged = checkpoint.provenance.get("averaged_epochs")
    if isinstance(averaged, list):
        return f"the average of those after epochs {', '.join(str(epoch + 1) for epoch in sorted(averaged))}, validated"
    if checkpoint.weights_epoch is None:
        return f"from within epoch {checkpoint.position.epoch + 1}, not validated: they carry no metrics"
    if not checkpoint.validated:
        return f"after epoch {checkpoint.weights_epoch + 1}, not validated: they carry no metrics"
    return f"after epoch {checkpoint.weights_epoch + 1}, validated"


def _check_kind(path: Path, stream: BinaryIO) -> None:
    """Refuses what can be told from the first bytes and the last, before anything else is read."""
    start = stream.read(len(_ZIP_START))
    if not start:
        raise ModelFileError(f"{path} is empty. {_RESTORE}")
    if start.startswith(_PICKLE_START):
        raise ModelFileError(_foreign_pickle(path, ()))
    if start != _ZIP_START:
        raise ModelFileError(
            f"{path} is not a model file: it begins like neither a PyTorch file nor a checkpoint of Peakmark, or its "
            f"beginning is damaged. Give a .pt file that Peakmark wrote."
        )
    try:
        has_end = zipfile.is_zipfile(stream)
    except zipfile.BadZipFile:
        # Raised, instead of False, for some damaged ends.
        has_end = False
    if not has_end:
        raise ModelFileError(f"{path} is cut off or damaged: its end is missing or wrong. {_RESTORE}")


def _torch_file(path: Path, stream: BinaryIO) -> TorchFile:
    _check_kind(path, stream)
    try:
        return TorchFile(stream)
    except UnreadableError as error:
        ours = _comment(stream).startswith(COMMENT_PREFIX)
        raise ModelFileError(
            f"{path} is damaged{'' if ours else ' or of another program'}: {error}. {_RESTORE}"
        ) from error


def _said_in(path: Path, file: TorchFile) -> Mapping[str, Any]:
    """Gives what a file says, with something that stands for each tensor; whatever it says may be endless."""
    said = file.root
    if not isinstance(said, Mapping) or said.get("format") != FORMAT:
        if file.classes:
            raise ForeignFileError(_foreign_pickle(path, file.classes))
        raise ForeignFileError(
            f"{path} is a PyTorch file, but no checkpoint of Peakmark: it doesn't say format: {FORMAT}. "
            f"Give a .pt file that Peakmark wrote."
        )
    version = said.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version!r:.40}; this Peakmark reads versions 1 to {FORMAT_VERSION}. "
            f"Use the Peakmark that wrote it, or a newer one."
        )
    return said


def _comment(stream: BinaryIO) -> bytes:
    stream.seek(max(0, stream.seek(0, 2) - COMMENT_BYTES))
    return stream.read()


def _check_digest(path: Path, stream: BinaryIO) -> None:
    if not _comment(stream).startswith(COMMENT_PREFIX):
        raise ModelFileError(f"{path} is damaged: it carries no digest, or a broken one. {_RESTORE}")
    computed, stored = digest_of_file(stream)
    if stored != computed.encode():
        raise ModelFileError(f"{path} is damaged: its bytes no longer agree with its digest. {_RESTORE}")


def _said_by(path: Path) -> Mapping[str, Any]:
    """As `_said_in`: a fraction of the time that it takes to read the tensors."""
    try:
        with opened(path) as stream:
            return _said_in(path, _torch_file(path, stream))
    except OSError as error:
        raise _unreadable(path, error) from error


def _checkpoint(path: Path, file: TorchFile) -> Checkpoint:
    try:
        return from_plain(as_today(file.plain()))
    except ForeignClassesError as error:
        raise ForeignFileError(_foreign_pickle(path, error.names)) from error
    except UnreadableError as error:
        raise ModelFileError(f"{path} is damaged: {error}. {_RESTORE}") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _incomplete(path, error) from error


def _incomplete(path: Path, error: Exception) -> ModelFileError:
    return ModelFileError(f"{path} is no complete checkpoint of Peakmark: {error!r:.300}. {_RESTORE}")


def _foreign_pickle(path: Path, code: Iterable[str]) -> str:
    """Names that no program would give its classes are left out: they were made to be shown."""
    names = [name for name in code if re.fullmatch(r"[\w.]{1,100}", name)][:_NAMES_SHOWN]
    named = f" ({', '.join(names)})" if names else ""
    return (
        f"{path} is a pickle of another program{named}: opening it could run code, so Peakmark doesn't. "
        f"Give a .pt file that Peakmark wrote."
    )


def _unreadable(path: Path, error: OSError) -> ModelFileError:
    if isinstance(error, FileNotFoundError):
        return ModelFileError(f"There is no file {path}. Check the spelling; nothing is downloaded.")
    if isinstance(error, IsADirectoryError):
        return ModelFileError(f"{path} is a folder; give a file in it, for example weights/best.pt.")
    return ModelFileError(f"{path} can't be read: {error.strerror or error}. Check its rights and the disk.")
