"""How is a data set audited? The part of the facade that needs no model: it loads no torch and computes nothing itself.

Every image is looked at, every label line read, and what is found is written down: findings, examples to look at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peakmark.api.asking import checked_with_data
from peakmark.data.audit.duplicates import check_duplicates, find_duplicates
from peakmark.data.audit.findings import Finding, Severity, worst, worst_first
from peakmark.data.audit.labels import check_labels
from peakmark.data.audit.pool import Pool, look_at
from peakmark.data.audit.repair import Repair, repair_split, write_split
from peakmark.data.audit.sequences import check_torn, find_torn
from peakmark.data.audit.shift import check_shift
from peakmark.data.audit.size import check_size
from peakmark.data.choice import choice_notes
from peakmark.data.dataset import DatasetSpec
from peakmark.data.index import SurveyedSplit, survey_split
from peakmark.events import Notice, Observer, unwatched
from peakmark.files.durable import write_text
from peakmark.machine.cores import granted_cores
from peakmark.record.folder import create_run_folder
from peakmark.record.plain_json import as_json
from peakmark.report.pages.audit_page import write_audit_page
from peakmark.settings.chosen_classes import class_numbers, in_words
from peakmark.settings.fields import AuditSettings

_FILE = "audit.json"
_FOR_THE_SAME_CHOICE = (
    "fix=split: of equal files with equal labels one is kept, and labels count as they were looked at here: train on"
    " the repaired lists with the same classes= and single_cls=."
)


@dataclass(frozen=True, slots=True)
class RepairedSplit:
    """Lists of a split in which nothing is torn apart."""

    data_yaml: Path
    images: dict[str, int]
    moved: int
    """Images that are in another split than before."""
    left_out: int
    """Further copies of a file with the same labels."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in a data set."""

    data: str
    images: dict[str, int]
    """Per split, those that can be read."""
    objects: dict[str, int]
    fingerprints: dict[str, str] = field(repr=False)
    findings: tuple[Finding, ...]
    """Worst first."""
    folder: Path
    """Where it is written down."""
    repaired: RepairedSplit | None = None
    """What `fix=split` wrote."""
    classes: tuple[str, ...] = ()
    """Those whose objects were looked at."""
    single_cls: bool = False
    """Whether these were taken for one class."""

    @property
    def severity(self) -> Severity | None:
        """That of the worst finding; None where there is none."""
        return worst(self.findings)

    def to_json(self) -> str:
        """Gives all of it as JSON."""
        return as_json({"severity": self.severity, "audit": self}, indent=2)


def audit(data: str | Path | None = None, *, observer: Observer | None = None, **settings: Any) -> Audit:
    """Looks for what could spoil a training on this data set or its numbers; writes what it finds into a folder.

    `settings`: those of `peakmark audit --help`. The data are not touched. Raises SettingsError and DataError with
    every mistake at once, and MachineError.
    """
    observe = observer or unwatched
    parsed, spec = checked_with_data(AuditSettings, settings if data is None else {**settings, "data": data})
    assert spec is not None  # an audit can't do without
    wishes = parsed.settings
    for note in spec.notes:
        observe(Notice(note))
    classes = class_numbers(wishes.classes, spec.names, f"data={wishes.data}")
    names = ("object",) if wishes.single_cls else spec.names
    splits = _survey(spec, wishes, classes, observe)
    indexes = {split: found.index for split, found in splits.items()}
    for note in (note for index in indexes.values() for note in choice_notes(index, classes, spec.names)):
        observe(Notice(note))
    findings = [finding for found in splits.values() for finding in check_labels(found, names)]
    findings += check_size(indexes, names, None if wishes.single_cls else classes)
    observe(Notice(f"Looking for duplicates among {sum(map(len, indexes.values())):,} images."))
    pool = look_at(indexes, workers=granted_cores())
    duplicates, torn = find_duplicates(pool), find_torn(pool)
    findings += check_duplicates(pool, duplicates)
    findings += check_torn(pool, torn)
    findings += check_shift(pool, names)
    folder, said = create_run_folder(Path(wishes.project), wishes.name, exist_ok=wishes.exist_ok)
    for note in said:
        observe(Notice(note))
    repair = repair_split(pool, duplicates, torn) if wishes.fix == "split" else None
    if repair is not None and (classes is not None or wishes.single_cls):
        observe(Notice(_FOR_THE_SAME_CHOICE))
    if repair is not None and (empty := [split for split, images in repair.splits.items() if not images]):
        observe(Notice(_cannot_be_repaired(empty), serious=True))
        repair = None
    done = Audit(
        data=str(spec.made_from or spec.yaml),
        classes=spec.names if classes is None else tuple(spec.names[number] for number in classes),
        single_cls=wishes.single_cls,
        images={split: len(index) for split, index in indexes.items()},
        objects={split: len(index.classes) for split, index in indexes.items()},
        fingerprints={split: index.fingerprint for split, index in indexes.items()},
        findings=worst_first(findings),
        folder=folder.path,
        repaired=_written(repair, pool, spec, folder.path / "repaired") if repair else None,
    )
    write_text(folder.path / _FILE, done.to_json() + "\n")
    sizes = {split: (done.images[split], done.objects[split]) for split in indexes}
    looked_at = [*_of_classes(classes, spec.names), *(["single_cls=True"] if wishes.single_cls else [])]
    title = ", ".join([done.data, *looked_at])
    write_audit_page(folder.path, title, done.findings, sizes, names, wishes.max_image_pixels)
    return done


def _written(repair: Repair, pool: Pool, spec: DatasetSpec, folder: Path) -> RepairedSplit:
    images = {split: len(of) for split, of in repair.splits.items()}
    return RepairedSplit(write_split(repair, pool, spec, folder), images, repair.moved, repair.left_out)


def _cannot_be_repaired(empty: list[str]) -> str:
    return (
        f"fix=split: {' and '.join(empty)} would be empty, since all its images belong together with others;"
        " nothing was written. Take images for it that were recorded at another time or place."
    )


def _of_classes(classes: tuple[int, ...] | None, names: tuple[str, ...]) -> list[str]:
    return [] if classes is None else [in_words(classes, names)]


def _survey(
    spec: DatasetSpec, wishes: AuditSettings, classes: tuple[int, ...] | None, observe: Observer
) -> dict[str, SurveyedSplit]:
    splits = {}
    for split in spec.splits:
        observe(Notice(f"{split}: reading every image and label."))
        # A training turns polygons as such, a validation sees the boxes around them: one fingerprint for both doors.
        splits[split] = survey_split(
            spec,
            split,
            max_image_pixels=wishes.max_image_pixels,
            workers=granted_cores(),
            bad_labels=wishes.bad_labels,
            classes=classes,
            single_class=wishes.single_cls,
            with_outlines=split == "train",
        )
        observe(Notice(f"{split}: {len(splits[split].index):,} images, {splits[split].index.contents}."))
    return splits
