"""How does a model leave as a file of another program? Settings, data and weights come together; parity is judged here.

It composes what the rooms below offer and computes nothing itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from peakmark.api.asking import checked
from peakmark.api.model.trained import Trained, data_of, say_what_is_guessed, trained_of
from peakmark.api.model.validate import OpenedSplit, open_split
from peakmark.checkpoint.digest import digest
from peakmark.checkpoint.format import IMPORTED, protocol_in
from peakmark.data.cache import ImageCache, padded
from peakmark.data.dataset import DatasetSpec
from peakmark.errors import ModelFileError
from peakmark.evaluate.validator import Validated
from peakmark.events import Notice, Observer
from peakmark.export.about import About
from peakmark.export.exported import ExportedModel, RuntimePredictor, as_input, torch_runtime
from peakmark.export.exporting import Exported, export_to
from peakmark.export.format import Format, Options, Order, Suppression
from peakmark.export.network import ExportedNetwork
from peakmark.export.parity import (
    OutputDifference,
    Parity,
    compare_accuracy,
    compare_detections,
    compare_outputs,
    input_variants,
)
from peakmark.export.registry import format_named
from peakmark.geometry.letterbox import STRIDE_PX
from peakmark.machine.cores import default_threads
from peakmark.machine.streams import stream
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import Detector
from peakmark.nouns.images import Detections, FloatArray
from peakmark.run.open_data import open_index
from peakmark.run.weights import ModelSource
from peakmark.settings.fields import ExportSettings, ValSettings
from peakmark.settings.parse import parse
from peakmark.settings.settings_file import with_file

_USED_AGAIN = (
    *("imgsz", "conf", "iou", "max_det", "classes", "single_cls", "fitness", "bad_labels", "max_image_pixels"),
    *("amp", "deterministic", "box", "cls", "dfl"),
)
"""Settings of a training that a validation repeats."""
_AS_IN_VAL = ("model", "imgsz", "workers", "verify", "data")
_BATCHES_COMPARED = 2
_COMPARED_AT_CONFIDENCE = 0.001
_MADE_DATA = "shapes"


class Reference:
    """What the model itself finds on the images of a comparison: found once, whatever is compared with it."""

    def __init__(self) -> None:
        self._found: Validated | None = None

    def found(self, validate: Callable[[], Validated]) -> Validated:
        """Validates at the first call."""
        if self._found is None:
            self._found = validate()
        return self._found


def export_model(
    source: ModelSource,
    model: Detector,
    given: Mapping[str, Any],
    observe: Observer,
    agree: Callable[[Parity], bool],
    into: Path | None = None,
    reference: Reference | None = None,
) -> Exported:
    """Writes `model`, the network of `source`, beside its file, or into a folder.

    `reference`: shared by exports that are compared on the same images. Raises PeakmarkErrors, ParityError among them.
    """
    trained = dataclasses.replace(trained_of(source, "exported"), arithmetic=None)
    given = with_file(ExportSettings, {**given, "model": source.name})
    # Before the data are looked at: what a format doesn't know needs no data to be said.
    asked = parse(ExportSettings, given).settings
    known = format_named(asked.format, asked.model_dump())
    given |= {"data": data_of(trained, given.get("data"))}
    parsed, spec = checked(ExportSettings, given)
    wishes = parsed.settings
    say_what_is_guessed(trained, observe)
    trained = _as_exported(trained, wishes)
    options = _options(wishes, trained)
    order = Order(
        network=ExportedNetwork(model),
        options=options,
        about=_about(source, model, trained, options),
        weights=model.state_dict(),
        calibration=_Calibration.of(wishes, trained, spec) if wishes.int8 else None,
    )
    judge = _Judge(model, wishes, trained, spec, options, observe, reference or Reference())
    for note in parsed.notes:
        observe(Notice(note))
    beside = _beside(source)
    target = known.target(beside if into is None else into / beside.name, options)
    return export_to(
        target,
        known,
        order,
        threads=default_threads(),
        judge=judge,
        agree=agree,
        said=_said(source, known, options),
    )


def _as_exported(trained: Trained, wishes: ExportSettings) -> Trained:
    """What is known of the weights, as images are prepared for the file, in float32."""
    settings = {**trained.settings, "amp": False}
    if wishes.imgsz is not None:
        settings["imgsz"] = wishes.imgsz
    return dataclasses.replace(trained, settings=settings, square=not wishes.dynamic)


def _options(wishes: ExportSettings, trained: Trained) -> Options:
    own = trained.settings
    inside = Suppression(
        iou=own["iou"] if wishes.iou is None else wishes.iou,
        max_detections=own["max_det"] if wishes.max_det is None else wishes.max_det,
    )
    return Options(
        side_px=-(-int(own["imgsz"]) // STRIDE_PX) * STRIDE_PX,
        dynamic=wishes.dynamic,
        half=wishes.half,
        int8=wishes.int8,
        suppression=inside if wishes.nms else None,
        batch=wishes.batch,
        opset=wishes.opset,
    )


def _about(source: ModelSource, model: Detector, trained: Trained, options: Options) -> About:
    inside = options.suppression
    return About(
        names=trained.names,
        side_px=options.side_px,
        square=not options.dynamic,
        batch=None if options.dynamic else options.batch,
        precision="int8" if options.int8 else "float16" if options.half else "float32",
        suppression=None if inside is None else {"iou": inside.iou, "max_det": inside.max_detections},
        architecture=model.architecture,
        weights_digest=digest(model.state_dict()),
        settings={name: trained.settings[name] for name in _USED_AGAIN if name in trained.settings},
        lineage=_lineage(source),
        protocol=_protocol(source),
    )


def _lineage(source: ModelSource) -> dict[str, Any]:
    """Where the weights come from, without a path of this machine."""
    known: dict[str, Any] = {"license": None, IMPORTED: None}
    if (origin := source.origin) is not None:
        known |= {"license": origin.get("license"), IMPORTED: dict(origin)}
    if (checkpoint := source.checkpoint) is not None and source.loaded is None:
        data = {name: value for name, value in (checkpoint.provenance.get("data") or {}).items() if name != "yaml"}
        ended = checkpoint.weights_epoch
        known |= {
            "epoch": None if ended is None else ended + 1,
            "fitness": checkpoint.fitness,
            "metrics": checkpoint.metrics,
            "data": data,
            "created_at": checkpoint.provenance.get("created_at"),
        }
    return known


def _protocol(source: ModelSource) -> str | None:
    """What the metrics in the lineage mean; None where there are none."""
    checkpoint = source.checkpoint
    if checkpoint is None or source.loaded is not None or checkpoint.metrics is None:
        return None
    return protocol_in(checkpoint.history.segments[-1].comparable)


def _beside(source: ModelSource) -> Path:
    """The file of the model, or for one without a file its name in the folder one is in."""
    path = Path(source.name)
    return path if path.suffix in (".pt", ".safetensors") else Path(path.stem)


def _said(source: ModelSource, known: Format, options: Options) -> dict[str, Any]:
    return {"format": known.name, "model": Path(source.name).name, "options": dataclasses.asdict(options)}


@dataclass(frozen=True, slots=True)
class _Calibration:
    """Training images, drawn by a stream: the same for every export of a set."""

    cache: ImageCache
    numbers: tuple[int, ...]

    @staticmethod
    def of(wishes: ExportSettings, trained: Trained, spec: DatasetSpec) -> _Calibration:
        as_val = parse(ValSettings, {**{name: getattr(wishes, name) for name in _AS_IN_VAL}, "split": "train"}).settings
        index = open_index(
            as_val,
            spec,
            "train",
            bad_labels="drop",
            max_image_pixels=trained.settings["max_image_pixels"],
            classes=None,
            single_class=False,
        )
        drawn = stream(0, "calibration").permutation(len(index))[: wishes.calibrate]
        cache = ImageCache(index, trained.settings["imgsz"], square=trained.square)
        return _Calibration(cache, tuple(sorted(int(number) for number in drawn)))

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[FloatArray]:
        for number in self.numbers:
            image = padded(self.cache.load(number), self.cache.letterbox(number))
            yield np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32) * np.float32(1 / 255)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Holds a written file against the model, on validation images."""

    model: Detector
    wishes: ExportSettings
    trained: Trained
    spec: DatasetSpec
    options: Options
    observe: Observer
    reference: Reference

    def __call__(self, exported: ExportedModel) -> Parity:
        """Says what was found out. Raises ModelFileError where the data's classes are not the model's."""
        with_classes = self.trained.names == self.spec.names or bool(self.trained.settings["single_cls"])
        if not with_classes and (self.wishes.data != _MADE_DATA or self._loses_something):
            raise ModelFileError(
                f"data={self.wishes.data}: its classes are not the model's; export with data of the same classes."
                + (f" data={_MADE_DATA} compares boxes and scores alone." if not self._loses_something else "")
            )
        trained = self.trained if with_classes else dataclasses.replace(self.trained, names=self.spec.names)
        split = self._split(trained)
        reference = torch_runtime(self.model)
        outputs = self._outputs(exported, reference, split)
        accuracy = None
        if with_classes:
            by_torch = dataclasses.replace(exported, about=_free(exported.about), runtime=reference)
            found = self.reference.found(lambda: split.validate(by_torch, self.observe))
            accuracy = compare_accuracy(found, split.validate(exported, self.observe))
        return Parity(outputs, accuracy, self.wishes.max_drop if self._loses_something else None)

    @property
    def _loses_something(self) -> bool:
        return self.wishes.half or self.wishes.int8

    def _split(self, trained: Trained) -> OpenedSplit:
        asked = {name: getattr(self.wishes, name) for name in _AS_IN_VAL}
        inside = self.options.suppression
        if inside is not None:
            asked |= {"iou": inside.iou, "max_det": inside.max_detections}
        split = open_split(trained, parse(ValSettings, asked).settings, self.spec, self.observe)
        index = split.data.index
        if 0 < self.wishes.images < len(index):
            drawn = stream(0, "images of parity").permutation(len(index))[: self.wishes.images]
            chosen = index.select(sorted(int(number) for number in drawn))
            cache = ImageCache(chosen, trained.settings["imgsz"], square=trained.square)
            return dataclasses.replace(split, data=dataclasses.replace(split.data, index=chosen, images=cache))
        return split

    def _outputs(self, exported: ExportedModel, reference: Any, split: OpenedSplit) -> OutputDifference:
        seen = list(islice(split.data.batches(), _BATCHES_COMPARED))
        batches = [as_input(batch.batch.images_BCHW) for batch in seen]
        variants = list(input_variants(batches, exported.about.batch, STRIDE_PX))
        if exported.about.suppression is None:
            return compare_outputs(exported.runtime, reference, variants)
        inside = exported.about.suppression
        limits = Thresholds(_COMPARED_AT_CONFIDENCE, inside["iou"], int(inside["max_det"]))
        pairs: list[tuple[Detections, Detections]] = []
        for one_class_per_box in (False, True):
            by_file, by_torch = (
                RuntimePredictor(runtime, about, limits, one_class_per_box=one_class_per_box)
                for runtime, about in ((exported.runtime, exported.about), (reference, _free(exported.about)))
            )
            for images in variants:
                pairs += zip(by_file.of_input(images), by_torch.of_input(images), strict=True)
        shapes = tuple(dict.fromkeys((len(each), each.shape[2], each.shape[3]) for each in variants))
        return compare_detections(pairs, shapes)


_free = partial(dataclasses.replace, suppression=None, batch=None, precision="float32")
"""What is said of the network by torch: any number of images, and suppression by whoever uses it."""
