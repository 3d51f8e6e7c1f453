"""Which settings are there? Every one, with its meaning, unit, range, default, and what it bears on.

What a setting does is not known here, only what it means; that it has its effect is a test.
"""

from __future__ import annotations

from typing import Literal

from peakmark.formula.terms import DEFAULT
from peakmark.settings import shared_settings as shared
from peakmark.settings.commands.benchmark import BenchmarkSettings
from peakmark.settings.commands.bring_in import ImportSettings
from peakmark.settings.commands.convert import ConvertSettings
from peakmark.settings.commands.doctor import DoctorSettings
from peakmark.settings.commands.export import ExportSettings
from peakmark.settings.commands.log import LogSettings, LogTo
from peakmark.settings.commands.search import FoldsSettings, SeedsSettings, TuneSettings
from peakmark.settings.commands.track import TrackSettings
from peakmark.settings.commands.use import GateSettings, PredictSettings, ValSettings
from peakmark.settings.commands.watch import WatchSettings
from peakmark.settings.declaration import (
    REQUIRED,
    BatchSize,
    Cache,
    Checkpoint,
    Classes,
    Devices,
    Layers,
    Optimizer,
    Period,
    Place,
    Real,
    SettingsModel,
    ShareOfSize,
    Text,
    Whole,
    setting,
)
from peakmark.settings.shared_words import (
    AUGMENTATION,
    CACHE,
    DETECTION,
    INPUT,
    LENGTH,
    LOSS,
    MACHINE,
    OPTIMISATION,
    OUTPUT,
    SEAM,
    BadLabels,
    Fitness,
    StopPhase,
    Verify,
)

__all__ = [
    "AUGMENTATION",
    "AuditSettings",
    "BenchmarkSettings",
    "CompareSettings",
    "ConvertSettings",
    "DoctorSettings",
    "ExportSettings",
    "FoldsSettings",
    "GateSettings",
    "ImportSettings",
    "LogSettings",
    "PredictSettings",
    "PromoteSettings",
    "ResumeSettings",
    "SeedsSettings",
    "Settings",
    "TrackSettings",
    "TuneSettings",
    "ValSettings",
    "WatchSettings",
]


class Settings(SettingsModel):
    """The settings of a training run."""

    model: Text = setting(
        "yolov8n.yaml", "yolov8n, s, m, l or x (.yaml), or a checkpoint to fine-tune", INPUT, "content"
    )
    data: Text = shared.data()
    download: bool = shared.download()
    pretrained: Checkpoint = setting(
        None, "a checkpoint whose weights the run starts from", INPUT, "content", unset="random weights"
    )
    imgsz: Whole = setting(640, "side of the square images, a multiple of 32", INPUT, "result", unit="px", ge=32)
    fraction: Real = setting(1.0, "share of the training images that is used", INPUT, "result", gt=0, le=1)
    bad_labels: BadLabels = shared.bad_labels()
    max_image_pixels: Whole = shared.max_image_pixels()
    classes: Classes = shared.classes(added=True)
    single_cls: bool = setting(False, "treat all classes as one", INPUT, "result")
    seed: Whole = setting(0, "the number that every random draw is keyed by", INPUT, "result", ge=0)

    epochs: Whole = setting(100, "passes over the training images", LENGTH, "result", ge=1)
    val: bool = setting(True, "validate after an epoch; without it no epoch can be best", LENGTH, "result")
    val_period: Whole = setting(
        1, "validate every n-th epoch (the last one always)", LENGTH, "result", unit="epochs", ge=1
    )
    fitness: Fitness = setting(
        DEFAULT,
        "what makes an epoch best: map50_95, map50, f1, classic, balanced, weights {map50: 0.3, recall: 0.7}, or a"
        " formula such as precision where recall >= 0.95",
        LENGTH,
        "result",
    )
    patience: Whole = setting(
        100, "stop after this many epochs without a better one (0: never)", LENGTH, "result", unit="epochs", ge=0
    )
    min_delta: Real = setting(0.0, "least gain that patience takes for a better epoch", LENGTH, "result", ge=0)
    stop_phase: StopPhase = setting(
        "close",
        "where patience ends before mosaic is closed: close runs the closing epochs first, now ends at once",
        LENGTH,
        "result",
    )
    time: Real | None = setting(
        None,
        "stop after this much training, over all resumes of the run; a larger one at a resume goes on",
        LENGTH,
        "execution",
        unit="hours",
        unset="no limit",
        gt=0,
    )

    batch: BatchSize = setting(
        16,
        "images a microbatch; -1, or a share such as 0.7: as many as fit into it of the memory, up to nbs",
        OPTIMISATION,
        "result",
        unit="images",
    )
    nbs: Whole | None = setting(
        None,
        "nominal batch: gradients gather up to it before an update",
        OPTIMISATION,
        "result",
        unit="images",
        unset="64, or down to the batch where the run would make too few updates",
        ge=1,
    )
    parts: Whole | None = setting(
        None,
        "microbatches that a batch is cut into, for as many processes to share; each has its own batch statistics",
        OPTIMISATION,
        "result",
        unset="1, or one for each process where there would be too few microbatches to share out",
        ge=1,
        added=True,
    )
    optimizer: Optimizer = setting("auto", "auto chooses by the length of the run", OPTIMISATION, "result")
    lr0: Real | None = setting(
        None, "learning rate", OPTIMISATION, "result", unset="0.01, or what optimizer=auto chooses", gt=0, le=1
    )
    lrf: Real = setting(0.01, "share of lr0 that is left at the end", OPTIMISATION, "result", ge=0, le=1)
    cos_lr: bool = setting(False, "the rate falls along a cosine instead of a line", OPTIMISATION, "result")
    momentum: Real | None = setting(
        None,
        "momentum of SGD, beta1 of Adam and AdamW",
        OPTIMISATION,
        "result",
        unset="0.937, or what optimizer=auto chooses",
        ge=0,
        lt=1,
    )
    weight_decay: Real = setting(0.0005, "on weights, not on biases and norms", OPTIMISATION, "result", ge=0, le=1)
    warmup_epochs: Real = setting(3.0, "length of the warm-up", OPTIMISATION, "result", unit="epochs", ge=0)
    warmup_momentum: Real = setting(0.8, "momentum that the warm-up starts from", OPTIMISATION, "result", ge=0, lt=1)
    warmup_bias_lr: Real | None = setting(
        None,
        "learning rate of the biases that the warm-up starts from",
        OPTIMISATION,
        "result",
        unset="0.1, or 0 with optimizer=auto",
        ge=0,
        le=1,
    )
    clip_grad: Real = setting(10.0, "longest gradient, by its norm (0: not clipped)", OPTIMISATION, "result", ge=0)
    freeze: Layers = setting(
        (), "layers that are not trained: the first n, or a list such as [0,1,2]; 0 to 21", OPTIMISATION, "result"
    )
    max_nonfinite: Whole = setting(
        3, "updates in a row, skipped as not finite, that end the run", OPTIMISATION, "result", unit="updates", ge=1
    )

    mosaic: Real = setting(1.0, "chance of a mosaic of four images", AUGMENTATION, "result", ge=0, le=1)
    close_mosaic: Whole | None = setting(
        None,
        "last epochs without mosaic (0: none)",
        AUGMENTATION,
        "result",
        unit="epochs",
        unset="10, a third of a shorter run",
        ge=0,
    )
    mixup: Real = setting(0.0, "chance of blending with a second image", AUGMENTATION, "result", ge=0, le=1)
    cutmix: Real = setting(
        0.0,
        "chance of a rectangle cut out of a second image, where nothing is blended",
        AUGMENTATION,
        "result",
        ge=0,
        le=1,
    )
    hsv_h: Real = setting(0.015, "hue shift up to", AUGMENTATION, "result", unit="of the colour circle", ge=0, le=1)
    hsv_s: Real = setting(0.7, "saturation changed by up to this share", AUGMENTATION, "result", ge=0, le=1)
    hsv_v: Real = setting(0.4, "brightness changed by up to this share", AUGMENTATION, "result", ge=0, le=1)
    degrees: Real = setting(0.0, "rotation up to, both ways", AUGMENTATION, "result", unit="degrees", ge=0, le=180)
    translate: Real = setting(0.1, "shift up to, both ways", AUGMENTATION, "result", unit="of the side", ge=0, le=1)
    scale: Real = setting(0.5, "size changed by up to this share", AUGMENTATION, "result", ge=0, le=1)
    shear: Real = setting(0.0, "shear up to, both ways", AUGMENTATION, "result", unit="degrees", ge=0, lt=90)
    perspective: Real = setting(0.0, "perspective up to", AUGMENTATION, "result", unit="per px", ge=0, le=0.01)
    fliplr: Real = setting(0.5, "chance of a left-right flip", AUGMENTATION, "result", ge=0, le=1)
    flipud: Real = setting(0.0, "chance of an upside-down flip", AUGMENTATION, "result", ge=0, le=1)
    multi_scale: ShareOfSize = setting(
        0.0, "imgsz varies from batch to batch by up to this share (True: 0.5)", AUGMENTATION, "result", ge=0, le=1
    )

    conf: Real = setting(0.001, "least confidence of a detection in a validation", DETECTION, "result", ge=0, lt=1)
    iou: Real = setting(
        0.7, "overlap from which a validation drops the weaker of two boxes", DETECTION, "result", ge=0, le=1
    )
    max_det: Whole = setting(300, "most detections an image in a validation", DETECTION, "result", ge=1)

    box: Real = setting(7.5, "weight of the box loss", LOSS, "result", ge=0)
    cls: Real = setting(0.5, "weight of the class loss", LOSS, "result", ge=0)
    cls_pw: Real = setting(
        0.0,
        "weighs each class in the class loss by its inverse frequency to this power (0: not, 1: fully)",
        LOSS,
        "result",
        added=True,
        ge=0,
        le=1,
    )
    dfl: Real = setting(1.5, "weight of the distribution loss", LOSS, "result", ge=0)

    device: Devices | None = setting(
        None,
        "where it runs: cpu, cuda, cuda:1 or just the GPU's number; several GPUs as 0,1,2,3",
        MACHINE,
        "execution",
        unset="the best there is",
    )
    processes: Whole | None = setting(
        None,
        "processes that compute it together; their number changes nothing of the result",
        MACHINE,
        "execution",
        unset="1, or one for each GPU of device",
        ge=1,
    )
    process_timeout: Real = setting(
        300.0,
        "how long a process waits for another before the run ends with a word of which one is missing",
        MACHINE,
        "execution",
        unit="s",
        gt=0,
    )
    amp: bool = setting(True, "mixed precision where the device gains by it", MACHINE, "result")
    threads: Whole | None = setting(
        None,
        "threads that a processor computes with; another number gives other last digits",
        MACHINE,
        "execution",
        unset="the processors that this process may use, or OMP_NUM_THREADS",
        ge=1,
    )
    deterministic: bool = setting(True, "only kernels that give the same bits each time", MACHINE, "result")
    compile: bool = setting(False, "compile the network for this machine before its first step", MACHINE, "result")
    workers: Whole | None = shared.workers()
    cache: Cache = setting("auto", CACHE, MACHINE, "execution")
    profile: bool = setting(False, "say after some steps where the time goes and what would help", MACHINE, "output")
    verify: Verify = shared.verify()
    watch: bool = setting(
        False, "show the run to a browser on this machine while it goes, as peakmark watch does", MACHINE, "execution"
    )

    project: Text = shared.project("the run's")
    name: Text = shared.name("train", of="the run's folder")
    exist_ok: bool = shared.exist_ok()
    keep: Whole = setting(
        3, "keep the weights of the best n epochs (1: only best.pt)", OUTPUT, "output", unit="epochs", ge=1
    )
    average: bool = setting(
        True, "at the end, try the average of the kept best weights: averaged.pt, if it is better", OUTPUT, "output"
    )
    save_period: Period = setting(0, "keep epochN.pt every n epochs (0: none)", OUTPUT, "output", unit="epochs", ge=0)
    save_interval: Real = setting(
        10.0,
        "save last.pt inside long epochs, this far apart (0: only at their ends)",
        OUTPUT,
        "output",
        unit="minutes",
        ge=0,
    )
    backup: Place | None = setting(
        None,
        "folder or URL (s3://, gs:// ...) that each new best.pt is copied to",
        OUTPUT,
        "output",
        unset="no copy",
    )
    log_to: LogTo = setting(
        None,
        "send the numbers of each epoch to tensorboard, mlflow or wandb, e.g. tensorboard,mlflow",
        OUTPUT,
        "output",
        unset="nowhere",
    )
    plots: bool = shared.plots()


class ResumeSettings(SettingsModel):
    """How a run is resumed. Every setting of the run itself may be given beside these, and is changed then."""

    schedule: Literal["hold", "stretch"] | None = setting(
        None,
        "hold goes on at the rate and in the phase that were reached, stretch lays both over the new number of epochs",
        SEAM,
        "result",
        unset="hold where epochs are added, stretch where they are taken away",
    )
    probe: Literal["quick", "full"] | None = setting(
        None,
        "quick compares the restored state with the file, full also validates its weights again",
        SEAM,
        "execution",
        unset="full where device, libraries or settings changed",
    )
    watch: Whole = setting(
        3, "epochs that are held against those before (0: none)", SEAM, "execution", unit="epochs", ge=0
    )
    on_break: Literal["warn", "pause", "stop"] = setting(
        "warn",
        "where the run broke: say so, or save and pause, or save and stop with an error",
        SEAM,
        "execution",
    )


class AuditSettings(SettingsModel):
    """The settings of an audit of a data set."""

    data: Text = shared.data()
    download: bool = shared.download()
    bad_labels: BadLabels = shared.bad_labels()
    max_image_pixels: Whole = shared.max_image_pixels()
    classes: Classes = shared.classes()
    single_cls: bool = setting(False, "look at all classes as one", INPUT, "result")
    fix: Literal["split"] | None = setting(
        None,
        "split writes lists of a split in which nothing is torn apart; the data stay",
        OUTPUT,
        "output",
        unset="none",
    )
    project: Text = shared.project("the audit's")
    name: Text = shared.name("audit")
    exist_ok: bool = shared.exist_ok()


class CompareSettings(SettingsModel):
    """The settings of a comparison of runs. Which runs is an argument of its own, not a setting."""

    fitness: Fitness | None = setting(
        None,
        "what runs are compared by, as in a training",
        LENGTH,
        "result",
        unset="what their best epochs were chosen by, or map50_95 where that differs",
    )
    project: Text = shared.project("the comparison's")
    name: Text = shared.name("compare")
    exist_ok: bool = shared.exist_ok()


class PromoteSettings(SettingsModel):
    """How a run's best epoch is released. Which run is an argument of its own, not a setting."""

    to: Place = setting(REQUIRED, "folder or URL (s3://, gs:// ...) of all releases", OUTPUT, "output")
    name: Text | None = setting(
        None, "name of the release; its versions lie in a folder of this name", OUTPUT, "output", unset="the run's name"
    )
    version: Text | None = setting(
        None, "version, e.g. v3 or 1.2.0; one that is there is never changed", OUTPUT, "output", unset="the next number"
    )
    license: Text | None = setting(
        None, "licence of the model, for its card, e.g. Apache-2.0", OUTPUT, "output", unset="none is named"
    )
    whole: bool = setting(False, "release the training state too, so that a run can go on from it", OUTPUT, "output")
    unfinished: bool = setting(False, "release the best epoch of a run that isn't over", OUTPUT, "output")
