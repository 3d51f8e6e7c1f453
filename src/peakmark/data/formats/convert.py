"""How does a data set get from one format to another? Read whole, split where that is asked for, written whole.

Nothing is written before everything was read, nothing over what is there, and nothing of the source is touched. What
was not taken is counted, named, and written beside the result.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from peakmark.data.audit.findings import counted
from peakmark.data.formats.annotated_set import Account, AnnotatedSet, NotTaken
from peakmark.data.formats.naming import TargetNames
from peakmark.data.formats.registry import FORMATS, Format, recognised
from peakmark.data.formats.splitting import make_split
from peakmark.data.formats.wishes import Progress, Target, Wishes, unwatched
from peakmark.errors import DataError
from peakmark.files.new_folder import How, NewFolder

REPORT = "converted.json"
_MOST_NAMED = 5

Watch = Callable[[str], Progress]
"""Told what is done next, gives who is told how far it is."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a data set."""

    source: Path
    target: Path
    source_format: str
    target_format: str
    data: Path
    """What `data=` takes."""
    names: tuple[str, ...]
    before: dict[str, tuple[int, int]]
    """Images and objects of each split, as they were met."""
    after: dict[str, tuple[int, int]]
    objects_per_class: dict[str, int]
    dropped: tuple[NotTaken, ...]
    """Everything that is not in the target, each with its file and place."""
    changed: tuple[NotTaken, ...]
    """What is in the target otherwise than it was written."""
    notes: tuple[str, ...]

    def dropped_by_kind(self) -> dict[str, int]:
        """Counts objects, and images where no object was left out with them."""
        counts: Counter[str] = Counter()
        for each in self.dropped:
            counts[each.kind] += each.objects or each.images
        return dict(counts.most_common())

    def to_json(self) -> str:
        """Gives all of it as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, default=str)


def convert_set(
    source: Path,
    target: Path,
    *,
    target_format: str,
    source_format: str | None = None,
    wishes: Wishes | None = None,
    shares: Sequence[float] | None = None,
    seed: int = 0,
    how: How = "link",
    watch: Watch = lambda what: unwatched,
) -> Conversion:
    """Writes the data set at `source` into a new folder `target`.

    `shares`: of train, val and test in a new split; None keeps the one there is. `how`: what becomes of image files.
    Raises DataError for a source that can't be read or leaves nothing, SettingsError for a target that is there, and
    MachineError.
    """
    with NewFolder(target) as folder:
        chosen = source_format or recognised(source)
        into = FORMATS[target_format]
        wishes = replace(wishes or Wishes(), keep_crowds=into.keeps_crowds, progress=watch("reading"))
        annotated = FORMATS[chosen].read(source, wishes)
        account = annotated.account
        before = {split: (account.images[split], account.objects[split]) for split in account.images}
        _refuse_nothing(annotated, source)
        if into.check is not None:
            into.check(annotated)
        if shares is not None:
            _note_old_split(annotated)
            make_split(annotated, shares, seed, watch("looking for what belongs together"))
        first_pixel = wishes.first_pixel or 0
        into.write(annotated, Target(folder, TargetNames(account), how, first_pixel, watch("writing")))
        _note_what_is_lost(annotated, into)
        _note_files(account, folder, how)
        done = _conversion(annotated, before, source, target, chosen, target_format)
        folder.write(REPORT, (done.to_json() + "\n").encode())
        folder.publish()
    return done


def _conversion(
    annotated: AnnotatedSet,
    before: dict[str, tuple[int, int]],
    source: Path,
    target: Path,
    source_format: str,
    target_format: str,
) -> Conversion:
    per_class: Counter[str] = Counter(each.name for image in annotated.images for each in image.objects)
    account = annotated.account
    data = target / FORMATS[target_format].description
    return Conversion(
        source=source,
        target=target,
        source_format=source_format,
        target_format=target_format,
        data=data,
        names=annotated.names,
        before=before,
        after=annotated.counts(),
        objects_per_class={name: per_class[name] for name in annotated.names},
        dropped=tuple(account.dropped),
        changed=tuple(account.changed),
        notes=tuple(account.notes),
    )


def _refuse_nothing(annotated: AnnotatedSet, source: Path) -> None:
    """Raises DataError where nothing is left to be written, with the first reasons."""
    if annotated.images and annotated.names:
        return
    reasons = [f"\n  {each.where}: {each.text}" for each in annotated.account.dropped]
    more = f"\n  and {len(reasons) - _MOST_NAMED:,} more" if len(reasons) > _MOST_NAMED else ""
    what = "no image can be used" if not annotated.images else "no object can be used, so there are no classes"
    hint = ""
    if any(each.kind == "missing image" for each in annotated.account.dropped):
        hint = "; images=FOLDER says where the images are"
    raise DataError(f"source={source}: {what}{hint}.{''.join(reasons[:_MOST_NAMED])}{more}")


def _note_old_split(annotated: AnnotatedSet) -> None:
    if len(annotated.splits) > 1:
        annotated.account.note(f"The split of the source ({', '.join(annotated.splits)}) is replaced by a new one.")


def _note_what_is_lost(annotated: AnnotatedSet, into: Format) -> None:
    account = annotated.account
    for what, count in account.lost.items():
        if count:
            account.note(
                f"Not kept, since only boxes are: {count:,} {what}." if ":" not in what else _counted(what, count)
            )
    difficult = sum(each.difficult for image in annotated.images for each in image.objects)
    if difficult and not into.keeps_difficult:
        account.note(
            f"Marked difficult: {counted(difficult, 'object')}, ordinary in the target, which has no such mark;"
            " difficult=drop leaves them out."
        )
    lacking = {"train", "val"} - set(annotated.splits)
    if lacking:
        account.note(f"There is no {' and no '.join(sorted(lacking))}, which a training needs.")


def _counted(what: str, count: int) -> str:
    which, _, becomes = what.partition(": ")
    return f"{count:,} {which}: {becomes}."


def _note_files(account: Account, folder: NewFolder, how: How) -> None:
    if how == "link" and folder.copied:
        account.note(f"{folder.copied:,} images were copied, since they can't be linked on that disk.")
    elif how == "link":
        account.note(
            "The images are the source's own files under a second name (hard links): they stay when the source is"
            " deleted, and who writes into one writes into both; files=copy makes copies."
        )
