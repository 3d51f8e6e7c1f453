"""How much do a training's numbers move with the seed, and with the images that are held out? One table of many runs.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.api.many.group import Group, is_over, open_group
from peakmark.api.model.results import TrainResults
from peakmark.api.model.yolo import YOLO
from peakmark.api.watching import watching
from peakmark.data.audit.contradictions import Contradiction, LookedAt, contradictions, findings_of
from peakmark.data.audit.findings import Finding, counted
from peakmark.data.folds import Folds, make_folds, write_folds
from peakmark.data.index import build_index
from peakmark.errors import SettingsError
from peakmark.evaluate.uncertainty import Estimate
from peakmark.events import Notice, Observer, unwatched
from peakmark.files.durable import write_text
from peakmark.machine.cores import granted_cores
from peakmark.record.plain_json import as_json
from peakmark.report.pages.audit_page import write_audit_page
from peakmark.search.verdict import spread
from peakmark.settings.chosen_classes import class_numbers
from peakmark.settings.declaration import SettingsModel
from peakmark.settings.fields import FoldsSettings, SeedsSettings, Settings

_METRICS = ("map50_95", "map50", "precision", "recall")
_LEAST_CONFIDENCE = 0.01
"""Of what is kept of a held-out model's detections."""


@dataclass(frozen=True, slots=True)
class RepeatedRun:
    """One of the trainings."""

    name: str
    folder: Path
    fitness: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Repeated:
    """Trainings that differ in one thing, side by side."""

    folder: Path
    runs: tuple[RepeatedRun, ...]
    spread: Mapping[str, Estimate]
    """fitness, map50_95, map50, precision, recall: the mean over the runs with its 95 % interval."""
    deviations: Mapping[str, float]
    """The standard deviation of each between runs; NaN for one run."""
    done: bool
    """Whether all are trained; else `resume=FOLDER` goes on."""
    text: str
    findings: tuple[Finding, ...] = ()
    """Of folds: labels that the held-out models contradict, the surest of each kind first."""

    def to_json(self) -> str:
        return as_json(self, indent=2)


def seeds(data: str | Path | None = None, *, observer: Observer | None = None, **settings: Any) -> Repeated:
    """Trains with the seeds 0 to n - 1, and says how far the seed alone moves the numbers.

    `settings`: those of `peakmark seeds --help`, and of a training. Raises as `tune` does.
    """
    given = _given(SeedsSettings, data, settings)
    if "seed" in given:
        raise SettingsError([f"seed={given['seed']}: the seeds are 0 to n - 1; leave it out, and say how many by n=."])
    with watching(observer) as observe:
        group = open_group(SeedsSettings, given, observe)
        trained = list[RepeatedRun]()
        for seed in range(group.wishes.n):
            observe(Notice(f"Seed {seed}, one of {group.wishes.n}."))
            results = group.train(f"seed{seed}", observe, seed=seed)
            if not is_over(results):
                return _side_by_side(group, trained, "seeds", of=group.wishes.n)
            trained.append(_run(f"seed{seed}", results))
        return _written(_side_by_side(group, trained, "seeds", of=group.wishes.n))


def folds(data: str | Path | None = None, *, observer: Observer | None = None, **settings: Any) -> Repeated:
    """Deals the images of train and val into k folds, trains k times, each time with another fold held out.

    Every image is so looked at by a model that has never seen it: out-of-fold.json holds what it finds, and the labels
    that it contradicts are told, the surest first. `settings`: those of `peakmark folds --help`, and of a training.
    Raises as `tune` does.
    """
    given = _given(FoldsSettings, data, settings)
    with watching(observer) as observe:
        group = open_group(FoldsSettings, given, observe)
        dealt, files = _dealt(group, observe)
        trained, seen = list[RepeatedRun](), list[LookedAt]()
        for number, file in enumerate(files, 1):
            observe(Notice(f"Fold {number} of {len(files)} is held out."))
            name = f"fold{number}"
            results = group.train(f"held-out{number}", observe, data=file)
            if not is_over(results):
                return _side_by_side(group, trained, "folds", of=len(files))
            trained.append(_run(name, results))
            seen += _looked_at(results, dealt, number - 1, group.settings())
        names = ("object",) if group.settings().single_cls else group.spec.names
        found = contradictions(seen, names)
        write_text(group.folder / "out-of-fold.json", as_json(_out_of_fold(seen, found)) + "\n")
        findings = findings_of(found)
        sizes = {f"fold{number + 1}": _size(seen, f"fold{number + 1}") for number in range(len(files))}
        write_audit_page(
            group.folder, str(group.training["data"]), findings, sizes, names, group.settings().max_image_pixels
        )
        return _written(_side_by_side(group, trained, "folds", of=len(files), findings=findings))


def _given(kind: type[SettingsModel], data: str | Path | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    return dict(settings) if data is None else {**settings, "data": data}


def _dealt(group: Group[FoldsSettings], observe: Observer) -> tuple[Folds, list[Path]]:
    """The folds, made again at each start: they are a function of the data, the settings and the seed."""
    settings, spec = group.settings(), group.spec
    indexes = {
        split: build_index(
            spec,
            split,
            verify=settings.verify,
            max_image_pixels=settings.max_image_pixels,
            workers=granted_cores(),
            bad_labels=settings.bad_labels,
            classes=class_numbers(settings.classes, spec.names, f"data={settings.data}"),
            single_class=settings.single_cls,
        )
        for split in ("train", "val")
        if split in spec.splits
    }
    dealt = make_folds(indexes, len(spec.names), group.wishes.k, settings.seed, granted_cores())
    whole = f"; {counted(dealt.groups, 'group')} of images that belong together are whole" if dealt.groups else ""
    observe(Notice(f"{len(dealt.pool):,} images in {group.wishes.k} folds{whole}."))
    return dealt, write_folds(dealt, spec, group.folder / "data")


def _looked_at(results: TrainResults, dealt: Folds, fold: int, settings: Settings) -> list[LookedAt]:
    """What the model of a fold finds in the images that were held out of its training."""
    entries = dealt.entries(fold)
    model = YOLO(results.best or results.last)
    paths = [str(entry.path) for entry in entries]
    found = model.predict(
        paths,
        stream=True,
        conf=_LEAST_CONFIDENCE,
        device=settings.device,
        max_image_pixels=settings.max_image_pixels,
        observer=unwatched,
    )
    return [
        LookedAt(
            entry.path,
            f"fold{fold + 1}",
            entry.width_px,
            entry.height_px,
            entry.boxes_cxcywh_norm,
            entry.classes,
            result.boxes.xyxy.cpu().numpy(),
            result.boxes.cls.cpu().numpy().astype(int),
            result.boxes.conf.cpu().numpy(),
        )
        for entry, result in zip(entries, found, strict=True)
    ]


def _out_of_fold(seen: Sequence[LookedAt], found: Sequence[Contradiction]) -> dict[str, Any]:
    by_file: dict[Path, list[dict[str, Any]]] = {}
    for each in found:
        case = {"kind": each.kind, "sure": each.sure, "says": each.says, "boxes_cxcywh_norm": each.boxes_cxcywh_norm}
        by_file.setdefault(each.image.file, []).append(case)
    images = [
        {
            "file": image.file,
            "held_out_in": image.split,
            "found": [
                {"class": int(number), "score": float(score), "box_xyxy_px": box.tolist()}
                for number, score, box in zip(
                    image.found_class_D, image.found_score_D, image.found_xyxy_px, strict=True
                )
            ],
            "contradictions": by_file.get(image.file, []),
        }
        for image in seen
    ]
    return {"format": "peakmark-out-of-fold", "format_version": 1, "images": images}


def _size(seen: Sequence[LookedAt], fold: str) -> tuple[int, int]:
    of = [image for image in seen if image.split == fold]
    return len(of), sum(len(image.truth_class_G) for image in of)


def _run(name: str, results: TrainResults) -> RepeatedRun:
    metrics = {each: results.metrics.get(each, math.nan) for each in _METRICS}
    return RepeatedRun(name, results.save_dir, math.nan if results.fitness is None else results.fitness, metrics)


def _side_by_side(
    group: Group[Any], trained: Sequence[RepeatedRun], command: str, *, of: int, findings: tuple[Finding, ...] = ()
) -> Repeated:
    columns = {"fitness": [run.fitness for run in trained]}
    columns |= {name: [run.metrics[name] for run in trained] for name in _METRICS}
    means = {name: spread(values) for name, values in columns.items() if values}
    deviations = {name: mean.standard_error * math.sqrt(len(trained)) for name, mean in means.items()}
    done = len(trained) == of
    if not done:
        text = f"{len(trained)} of {of} are trained. Go on with: peakmark {command} resume={group.folder}"
    else:
        fitness = means["fitness"]
        text = (
            f"Fitness {fitness.value:.4f} on average of {of} {command}, {fitness.low:.4f} to {fitness.high:.4f} with"
            f" 95 % certainty; a single run lies {deviations['fitness']:.4f} from it (one standard deviation)."
        )
        if command == "folds":
            text += " Folds share most of their training images, so the interval is somewhat too narrow."
    return Repeated(group.folder, tuple(trained), means, deviations, done, text, findings)


def _written(repeated: Repeated) -> Repeated:
    write_text(repeated.folder / "runs.json", repeated.to_json() + "\n")
    return repeated
