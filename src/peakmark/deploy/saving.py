"""Under which names are the results of a whole source saved, as they come, with bounded memory?

FOLDER/NAME.jpg or NAME.mp4, FOLDER/labels/NAME.txt (NAME_N.txt for frame N of a video, from 1), FOLDER/labelme,
FOLDER/predictions.json and FOLDER/predictions.csv. A final name appears when its content is whole. Must not know models
or how sources are opened.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from peakmark.deploy.frames import Origin, SavedName
from peakmark.deploy.picture_files import PICTURE_SUFFIXES, write_picture
from peakmark.deploy.results import Results
from peakmark.deploy.tables import CsvTable, JsonTable
from peakmark.deploy.video import VideoCopy
from peakmark.errors import DataError, PeakmarkError
from peakmark.events import Notice, Observer


@dataclass(frozen=True, slots=True)
class Shown:
    """What is drawn into annotated copies."""

    boxes: bool = True
    labels: bool = True
    confidence: bool = True


EVERYTHING: Final = Shown()


def open_saver(
    folder: Path,
    *,
    observer: Observer,
    pictures: bool = True,
    line_width: int | None = None,
    shown: Shown = EVERYTHING,
    crops: bool = False,
    txt: bool = False,
    txt_conf: bool = False,
    json: bool = False,
    csv: bool = False,
    labelme: bool = False,
    tracked: bool = False,
) -> PredictionSaver:
    """Gives a saver of annotated copies, `crops`, label files and tables into `folder`.

    `shown`: what is drawn into the copies; `crops`: what is in each box; `txt_conf`: label files with confidence;
    `tracked`: whether results have the ids of tracked objects, for which the table then has a column.
    `observer` is told where two sources of one name had to be told apart. Raises `MachineError`.
    """
    writers: list[Writer] = []
    if pictures:
        writers.append(AnnotatedCopies(folder, line_width, shown))
    if crops:
        writers.append(Crops(folder / "crops"))
    if txt:
        writers.append(LabelFiles(folder / "labels", txt_conf))
    if json:
        writers.append(JsonTable(folder / "predictions.json"))
    if csv:
        writers.append(CsvTable(folder / "predictions.csv", tracked))
    if labelme:
        writers.append(LabelMeFiles(folder / "labelme"))
    return PredictionSaver(folder, writers, observer)


class Writer(Protocol):
    """One kind of file that results are saved to."""

    def add(self, result: Results, name: SavedName) -> None: ...
    def finish(self) -> None: ...
    def discard(self) -> None: ...


class PredictionSaver:
    """Saves results one after the other; use it in a `with` block.

    Leaving the block finishes what is open, also where whoever iterates over the results has had enough. An error takes
    it away: what has its final name is whole.
    """

    def __init__(self, folder: Path, writers: list[Writer], observer: Observer) -> None:
        self._folder = folder
        self._writers = writers
        self._names = _Names(observer)
        self._is_live = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A camera has no end of its own: however it is ended, what was saved is all that there is.
        enough = (GeneratorExit, KeyboardInterrupt, PeakmarkError) if self._is_live else GeneratorExit
        whole = kind is None or issubclass(kind, enough)
        # The stack runs all of them: one that fails must not keep the others from finishing.
        with ExitStack() as stack:
            for writer in self._writers:
                stack.callback(writer.finish if whole else writer.discard)

    def add(self, result: Results) -> None:
        """Saves one result. Raises `MachineError`, and `DataError` where the source itself lies in the folder."""
        path, self._is_live = result.origin.path, result.origin.live
        if path is not None and path.resolve().is_relative_to(self._folder.resolve()):
            remedy = "Choose another project or name, or a copy could take the place of its source."
            raise DataError(f"{path} lies in {self._folder}, where the predictions are to be saved. {remedy}")
        name = self._names.of(result.origin)
        for writer in self._writers:
            writer.add(result, name)


class AnnotatedCopies:
    """Pictures with their boxes, in the format of the source where that can be written; videos as mp4."""

    def __init__(self, folder: Path, line_width: int | None, shown: Shown) -> None:
        self._folder = folder
        self._shown = shown
        self._line_width = line_width
        self._video: VideoCopy | None = None
        self._video_item = ""

    def add(self, result: Results, name: SavedName) -> None:
        """Writes a picture, or appends a frame to its video."""
        shown = self._shown
        annotated = result.plot(self._line_width, labels=shown.labels, conf=shown.confidence, boxes=shown.boxes)
        if result.origin.kind == "video":
            self._video_for(result, name).add(annotated)
        else:
            suffix = Path(result.origin.name).suffix
            suffix = suffix if suffix.lower() in PICTURE_SUFFIXES else ".jpg"
            write_picture(self._folder / f"{name.item}{suffix}", annotated)

    def _video_for(self, result: Results, name: SavedName) -> VideoCopy:
        if self._video is None or self._video_item != name.item:
            self.finish()
            height, width = result.orig_shape
            self._video = VideoCopy(self._folder / f"{name.item}.mp4", result.origin.fps, width, height)
            self._video_item = name.item
        return self._video

    def finish(self) -> None:
        """Gives the video that is open its name."""
        video, self._video = self._video, None
        if video is not None:
            video.finish()

    def discard(self) -> None:
        """Takes the video that is open away."""
        if self._video is not None:
            self._video.discard()


class Crops:
    """What is inside each box, as CLASS/NAME.jpg."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, result: Results, name: SavedName) -> None:
        """Writes a picture for each box."""
        result.save_crop(self._folder, f"{name.picture}.jpg")

    def finish(self) -> None:
        """Nothing is open: each file is whole."""

    def discard(self) -> None:
        """Nothing is open: each file is whole."""


class LabelFiles:
    """A label file for each picture and each frame."""

    def __init__(self, folder: Path, with_confidence: bool) -> None:
        self._folder = folder
        self._with_confidence = with_confidence

    def add(self, result: Results, name: SavedName) -> None:
        """Writes the label file."""
        result.save_txt(self._folder / f"{name.picture}.txt", save_conf=self._with_confidence)

    def finish(self) -> None:
        """Nothing is open: each file is whole."""

    def discard(self) -> None:
        """Nothing is open: each file is whole."""


class LabelMeFiles:
    """A LabelMe file for each picture, and for each frame, which then lies beside it as a picture."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, result: Results, name: SavedName) -> None:
        """Writes the file."""
        result.save_labelme(self._folder / f"{name.picture}.json")

    def finish(self) -> None:
        """Nothing is open: each file is whole."""

    def discard(self) -> None:
        """Nothing is open: each file is whole."""


class _Names:
    """Gives each picture, each video and each frame of it a name that no other one has."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._taken: set[str] = set()
        self._video: Path | str | None = None
        self._video_item = ""

    def of(self, origin: Origin) -> SavedName:
        if origin.kind == "image":
            name = self._new(Path(origin.name).stem, origin)
            return SavedName(item=name, picture=name)
        # Not by the number alone: of a camera the first picture that is looked at may be its hundredth.
        video = origin.path or origin.name
        if origin.index == 0 or video != self._video:
            self._video = video
            self._video_item = self._new(Path(origin.name).stem, origin)
        return SavedName(self._video_item, self._new(f"{self._video_item}_{origin.index + 1}", origin))

    def _new(self, stem: str, origin: Origin) -> str:
        name, number = stem, 2
        # Compared without case: on some disks A.jpg and a.jpg are one file. A dash: clip_2 is the second frame of clip.
        while name.casefold() in self._taken:
            name, number = f"{stem}-{number}", number + 1
        self._taken.add(name.casefold())
        if name != stem:
            self._observer(Notice(f"{origin.text} is saved as {name}: {stem} is taken by another source."))
        return name
