"""Which mistakes can a user meet? Every error here says in one sentence what is wrong and what to do about it.

The command line prints the text of a `PeakmarkError` without a traceback and exits with its `exit_code`. Anything else
that escapes is a defect of ours. This file knows no other file of the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class PeakmarkError(Exception):
    """Something the user can fix. The message names the file, line or setting, the value, and the remedy."""

    exit_code = 2


class SettingsError(PeakmarkError):
    """One or more settings are wrong; all of them are listed at once, a line each."""

    def __init__(self, violations: Iterable[str]) -> None:
        self.violations = tuple(violations)
        super().__init__("\n".join(self.violations))


class DataError(PeakmarkError):
    """The data.yaml, a label file or an image can't be used as it is."""


class ModelFileError(PeakmarkError):
    """A model name or file is not what it should be (missing, foreign, damaged, another architecture)."""


class MachineError(PeakmarkError):
    """The machine says no: a folder can't be written, the disk is full, the memory is too small, no such device."""

    exit_code = 3


class TrainingError(PeakmarkError):
    """A run had to end before its time; what stood on disk still stands and the run can be resumed."""

    exit_code = 4


def how_to_install(extra: str) -> str:
    """Names the command that brings the libraries of an extra, from where Peakmark itself came."""
    return f"pip install 'peakmark[{extra}]', or in a checkout pip install '.[{extra}]'"


class Mistakes:
    """Gathers what a user has to fix, so that all of it is told at once."""

    def __init__(self, found_before: Iterable[str] = ()) -> None:
        texts = tuple(found_before)
        self._errors: list[PeakmarkError] = [SettingsError(texts)] if texts else []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keeps an error of the block for later."""
        try:
            yield
        except PeakmarkError as error:
            self._errors.append(error)

    def tell(self) -> None:
        """Raises what was found: one as it is, several as one list."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise SettingsError(line for error in self._errors for line in str(error).splitlines())
