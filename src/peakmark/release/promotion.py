"""How does a run become a release: weights, numbers, a card and checksums in a folder that nobody changes any more?

NAME/VERSION/ holds best.pt, summary.json, README.md and SHA256SUMS. It appears as one thing: on a disk by one rename;
in another store its SHA256SUMS comes last, and a version without it is no release, for us as for `sha256sum -c`.
Several may promote at the same time: each gets a version of its own. It must not know how files get there.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.checkpoint.digest import digest
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.strip import stripped
from peakmark.checkpoint.writer import save
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.files.durable import write_bytes, write_text
from peakmark.files.stores import Store, sha256_of_file
from peakmark.nouns.outcome import OVER
from peakmark.record.folder import RunFolder
from peakmark.record.plain_json import as_json
from peakmark.release.card import Subject, card, card_of_imported

CARD, SUMS = "README.md", "SHA256SUMS"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_NUMBERED = re.compile(r"v([0-9]+)")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a release."""

    name: str
    version: str | None
    """None: the next number, as v1, v2 ..."""
    license: str | None
    whole: bool
    """With the training state."""
    unfinished: bool
    """Whether a run that isn't over may be released."""


@dataclass(frozen=True, slots=True)
class Release:
    """What was put where."""

    name: str
    version: str
    place: str
    """Of the release's own folder."""
    files: tuple[str, ...]
    epoch: int | None
    """Of the weights, 1-based; None for those of another program."""
    notes: tuple[str, ...]
    """What the user should know of what lies beside it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a run has to release."""

    checkpoint: Checkpoint
    summary: Mapping[str, Any] | None
    """None for weights of another program, of which nothing was measured here."""
    summary_json: bytes = b""


def candidate_of(folder: RunFolder, *, unfinished: bool) -> Candidate:
    """Reads a run's best.pt and summary.json, which must tell of the same epoch.

    Raises ModelFileError where there is no best epoch, the run isn't over, or the two don't belong together.
    """
    summary_json, summary = _summary(folder)
    if summary["best"] is None:
        raise ModelFileError(
            f"{folder.path} has no best epoch, since nothing was validated: there is nothing to release."
        )
    if summary["outcome"] not in OVER and not unfinished:
        raise ModelFileError(
            f"{folder.path} is not over ({summary['outcome']}): resume it (peakmark resume {folder.path}), or write"
            " unfinished=True to release its best epoch so far."
        )
    checkpoint = read(folder.best)
    logged, own = summary["best"], json.loads(as_json([checkpoint.fitness, checkpoint.metrics]))
    epoch = None if checkpoint.weights_epoch is None else checkpoint.weights_epoch + 1
    if [epoch, *own] != [logged["epoch"], logged["fitness"], logged["metrics"]]:
        raise ModelFileError(
            f"{folder.best} doesn't belong to {folder.summary}: it is of epoch {epoch} with fitness {own[0]}, the"
            f" summary tells of epoch {logged['epoch']} with {logged['fitness']}. Wait until the run has ended, or have"
            f" its end completed: peakmark resume {folder.path}"
        )
    return Candidate(checkpoint, summary, summary_json)


def promote_to(store: Store, candidate: Candidate, wish: Wish) -> Release:
    """Puts a release into `store`, the folder of all releases. Raises SettingsError and MachineError."""
    _check_names(wish)
    shelf = store.inside(wish.name)
    there = shelf.names()
    unfinished = tuple(name for name in there if shelf.inside(name).read(SUMS) is None)
    for version in _versions(wish, there, unfinished, shelf):
        with shelf.staging() as staged:
            _fill(staged, candidate, wish, version)
            files = tuple(sorted(path.name for path in staged.iterdir()))
            if shelf.publish(staged, version, first=CARD, last=SUMS):
                epoch = candidate.summary["best"]["epoch"] if candidate.summary is not None else None
                place, notes = shelf.inside(version).place, _notes(shelf, unfinished)
                return Release(wish.name, version, place, files, epoch, notes)
    raise SettingsError([_taken(wish.version, shelf)])


def _versions(wish: Wish, there: tuple[str, ...], unfinished: tuple[str, ...], shelf: Store) -> Iterator[str]:
    """The version that was given, or one number after the other until it is free."""
    if wish.version is None:
        numbers = [int(match[1]) for match in map(_NUMBERED.fullmatch, there) if match]
        yield from (f"v{number}" for number in itertools.count(max(numbers, default=0) + 1))
    elif wish.version in unfinished:
        raise MachineError(
            f"{shelf.inside(wish.version).place} is no whole release (it has no {SUMS}): whoever wrote it was killed,"
            " or is still at it. Remove it if nobody is, or give another version=."
        )
    else:
        yield wish.version


def _fill(staged: Path, candidate: Candidate, wish: Wish, version: str) -> None:
    checkpoint = candidate.checkpoint
    subject = Subject(
        name=wish.name,
        version=version,
        license=wish.license,
        summary=candidate.summary or {"names": list(checkpoint.names)},
        provenance=checkpoint.provenance,
        architecture=checkpoint.architecture,
        model_digest=digest(checkpoint.model),
        settings=checkpoint.settings,
        whole=wish.whole and checkpoint.complete,
    )
    save(checkpoint if wish.whole else stripped(checkpoint), staged / "best.pt")
    if candidate.summary is not None:
        write_bytes(staged / "summary.json", candidate.summary_json)
    write_text(staged / CARD, card(subject) if candidate.summary is not None else card_of_imported(subject))
    write_text(staged / SUMS, "".join(f"{sha256_of_file(path)}  {path.name}\n" for path in sorted(staged.iterdir())))


def _summary(folder: RunFolder) -> tuple[bytes, Mapping[str, Any]]:
    try:
        content = folder.summary.read_bytes()
        summary = json.loads(content)
        if summary["format"] != "peakmark-summary":
            raise ValueError("it is none of Peakmark's")
    except FileNotFoundError as error:
        raise ModelFileError(
            f"{folder.path} has no summary.json, so its run has not ended; bring it to its end with: peakmark resume"
            f" {folder.path}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{folder.summary} can't be read ({error}); peakmark resume {folder.path} writes it anew."
        ) from error
    return content, summary


def _check_names(wish: Wish) -> None:
    wrong = [
        f"{setting}={value} can't be used: it becomes the name of a folder, so write letters, digits and . _ + - only."
        for setting, value in (("name", wish.name), ("version", wish.version))
        if value is not None and not _PLAIN_NAME.fullmatch(value)
    ]
    if wrong:
        raise SettingsError(wrong)


def _taken(version: str | None, shelf: Store) -> str:
    return f"version={version}: {shelf.place}/{version} is there already, and a release is never changed; give another."


def _notes(shelf: Store, unfinished: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        f"{shelf.inside(name).place} has no {SUMS} and is no release: whoever wrote it was killed, or is still at it."
        for name in unfinished
    )
