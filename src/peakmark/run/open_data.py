"""Which images does a run see, and how are they opened? The one place where settings become indexes and caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from peakmark.data.audit.density import density_notes
from peakmark.data.audit.object_size import small_objects_notes
from peakmark.data.audit.quick import quick_notes
from peakmark.data.augment.plan import least_side
from peakmark.data.cache import CacheMode, ImageCache
from peakmark.data.choice import choice_notes
from peakmark.data.dataset import DatasetSpec
from peakmark.data.device_images import DeviceImages
from peakmark.data.index import build_index
from peakmark.data.loader import Images
from peakmark.data.source.indexed_split import Index
from peakmark.data.source.split_notes import BadLabels, rows_of_other_kinds
from peakmark.distributed.launched import processes_here
from peakmark.errors import Mistakes, SettingsError
from peakmark.evaluate.fitness import Fitness, FitnessFunction
from peakmark.evaluate.protocol import cap_for, most_of_a_class, protocol_in_words
from peakmark.machine.cores import granted_cores
from peakmark.machine.devices import Arithmetic, Augmentation
from peakmark.machine.memory import available_bytes
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import STRIDES
from peakmark.run.fitness import open_fitness
from peakmark.settings.chosen_classes import class_numbers
from peakmark.settings.fields import Settings, ValSettings
from peakmark.settings.recipe import Since
from peakmark.train.advice import MOST_WORKERS
from peakmark.validation.validation import ValidationSet

_CACHE_SHARE = 0.25
"""Of the free memory, by all processes of a run: above it, cache=auto reads from disk: it would crowd out training."""


@dataclass(frozen=True, slots=True)
class OpenData:
    """The images that a run is about, opened and checked."""

    spec: DatasetSpec
    names: tuple[str, ...]
    train_index: Index
    val_index: Index | None
    fitness: Fitness | None
    """What makes an epoch best; None where nothing is validated."""
    thresholds: Thresholds
    """What counts as a detection in a validation."""
    side_px: int
    """Of the images that are trained on."""
    classes: tuple[int, ...] | None = None
    """Numbers of the classes whose objects are used; None for all."""

    @property
    def splits(self) -> dict[str, Index]:
        """The indexes by the names of their splits; val only where it is validated on."""
        return {"train": self.train_index, **({"val": self.val_index} if self.val_index else {})}

    @property
    def protocol(self) -> str:
        """What the numbers of a validation mean."""
        index = self.val_index
        most = most_of_a_class(index.image_of_truth, index.classes) if index is not None else 0
        return protocol_in_words(cap_for(most), self.thresholds.unusual())

    @property
    def train_objects_per_class(self) -> tuple[int, ...]:
        return self.train_index.objects_per_class(len(self.names))

    @property
    def warnings(self) -> tuple[str, ...]:
        found = quick_notes(self.train_index, self.val_index, self.names)
        if self.val_index is not None:
            rows = rows_of_other_kinds(self.train_index.rows, self.val_index.rows)
            dense = density_notes(self.val_index, self.thresholds.max_detections)
            found = (*self.val_index.warnings, *rows, *found, *dense)
        small = small_objects_notes(self.train_index, self.side_px)
        choices = (choice_notes(index, self.classes, self.spec.names) for index in self.splits.values())
        chosen = [note for notes in choices for note in notes]
        return (*self.spec.notes, *chosen, *self.train_index.warnings, *found, *small)

    @property
    def val_fingerprint(self) -> str | None:
        return self.val_index.fingerprint if self.val_index else None


def open_data(settings: Settings, spec: DatasetSpec, function: FitnessFunction | None, version: int) -> OpenData:
    """Indexes what the settings ask for, by a version of the rules of training.

    Raises DataError, and SettingsError where a batch can't be normalised or no epoch could be judged.
    """
    names = ("object",) if settings.single_cls else spec.names
    classes = chosen_in(settings, spec.names)
    found = Mistakes()
    train_index, val_index = None, None
    open_split = partial(
        open_index,
        settings,
        spec,
        bad_labels=settings.bad_labels,
        max_image_pixels=settings.max_image_pixels,
        classes=classes,
        single_class=settings.single_cls,
    )
    with found.gathered():
        train_index = open_split("train", with_outlines=version >= Since.POLYGONS_ARE_TURNED)
    with found.gathered():
        if settings.val:
            val_index = open_split("val")
    found.tell()
    assert train_index is not None
    train_index = train_index.first(settings.fraction)
    check_no_lone_value(settings, len(train_index))
    fitness = open_fitness(settings.fitness, names, val_index, function)
    limits = thresholds_of(settings, names)
    return OpenData(spec, names, train_index, val_index, fitness, limits, settings.imgsz, classes)


def by_number(settings: Settings, names: Sequence[str]) -> Settings:
    """Gives the settings with their classes by number: runs that choose the same are the same, by name or number."""
    return settings.model_copy(update={"classes": chosen_in(settings, names)})


def chosen_in(settings: Settings, names: Sequence[str]) -> tuple[int, ...] | None:
    """Gives the classes that a training chooses among those of its data. Raises SettingsError for others."""
    return class_numbers(settings.classes, names, f"data={settings.data}")


def open_index(
    settings: Settings | ValSettings,
    spec: DatasetSpec,
    split: str,
    *,
    bad_labels: BadLabels,
    max_image_pixels: int,
    classes: Sequence[int] | None,
    single_class: bool,
    with_outlines: bool = False,
) -> Index:
    """Indexes a split; every image is looked at once, by all cores, since nothing else runs yet.

    A validation by itself takes a split of background images too: it counts false alarms.
    """
    return build_index(
        spec,
        split,
        verify=settings.verify,
        max_image_pixels=max_image_pixels,
        workers=granted_cores(),
        bad_labels=bad_labels,
        classes=classes,
        single_class=single_class,
        background_is_enough=isinstance(settings, ValSettings),
        with_outlines=with_outlines,
    )


def open_validation_set(
    settings: Settings, index: Index, names: tuple[str, ...], arithmetic: Arithmetic
) -> ValidationSet:
    """Opens a split for the validations of a run."""
    images = open_images(index, settings, arithmetic)
    workers = workers_of(settings, arithmetic)
    return ValidationSet(index, images, workers, 2 * settings.batch, names, thresholds_of(settings, names))


def open_images(index: Index, settings: Settings, arithmetic: Arithmetic) -> Images:
    """Opens the images of one split for a run, on the device where its arithmetic augments them there."""
    if arithmetic.augmentation == "torch":
        return DeviceImages(index, settings.imgsz, arithmetic.device)
    return open_cache(index, settings.imgsz, settings.cache)


def open_cache(index: Index, side_px: int, mode: str, *, square: bool = False) -> ImageCache:
    """Makes the image cache for one split; auto is memory where all of it fits in a quarter of what is free.

    `square`: as of a letterbox.
    """
    if mode == "auto":
        needed = sum(
            box.inner_width_px * box.inner_height_px * 3
            for box in map(ImageCache(index, side_px, "off").letterbox, range(len(index)))
        )
        # Each process keeps images of its own: a mosaic of any microbatch may want any of them.
        needed *= processes_here().on_this_machine
        mode = "ram" if needed <= _CACHE_SHARE * available_bytes() else "off"
    known: dict[str, CacheMode] = {"ram": "ram", "disk": "disk", "off": "off"}
    return ImageCache(index, side_px, known[mode], square=square)


def augmentation_of(settings: Settings) -> Augmentation:
    """What carries plans out under these settings: images that are kept on the device are augmented there."""
    return "torch" if settings.cache == "device" else "opencv"


def workers_of(settings: Settings | ValSettings, arithmetic: Arithmetic) -> int:
    """Threads that prepare images, where the user doesn't say how many. They change no number, only the pace.

    On a processor the network uses every core, and a thread that takes one away for a moment makes the others wait: on
    2 cores an epoch without workers is faster than with one. Beside a GPU the cores have nothing else to do, and are
    shared by the processes; how many threads torch has says nothing there, since torchrun gives it one.
    """
    if settings.workers is not None:
        return settings.workers
    cores = granted_cores() // processes_here().on_this_machine
    return min(MOST_WORKERS, max(1, cores) if arithmetic.on_gpu else arithmetic.threads // 4)


def thresholds_of(settings: Settings, names: Sequence[str]) -> Thresholds:
    """What counts as a detection in a run's validations."""
    # United classes can't be told apart in what is detected: there only truths are chosen.
    classes = None if settings.single_cls else chosen_in(settings, names)
    return Thresholds(settings.conf, settings.iou, settings.max_det, classes=classes)


def check_no_lone_value(settings: Settings, images: int) -> None:
    """Refuses a microbatch of one image of 32 px: the coarsest map has one value, of which a norm knows no spread.

    A batch that is a share of the memory is looked at once it is settled.
    """
    if settings.batch < 1:
        return
    parts = settings.parts or processes_here().size  # at the most
    batches = {min(settings.batch, images), images % settings.batch} - {0}
    if least_side(settings) == STRIDES[-1] and any(batch // parts <= 1 for batch in batches):
        raise SettingsError(
            [
                f"batch={settings.batch}: one of the {images} training images would be alone in its microbatch, and at"
                f" {least_side(settings)} px there is nothing to normalise it by; take another batch or a larger imgsz."
            ]
        )
