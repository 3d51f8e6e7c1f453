"""How is a data set written for YOLO? A text file an image, a line an object, in fractions of the image's size.

Ten decimals are written: a box of five decimals of a pixel comes back to the last of them from images of up to 60,000
pixels. Six, as most tools write, are off by a hundredth of a pixel in large images. What a line may be, and which file
belongs to which image, is asked where a training asks it.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import yaml

from peakmark.data.formats.annotated_set import Account, AnnotatedImage, AnnotatedSet, Box, Gathering, shown
from peakmark.data.formats.source_images import SourceImages
from peakmark.data.formats.wishes import Target, Wishes
from peakmark.data.source.data_yaml import DatasetSpec, read_data_yaml
from peakmark.data.source.labels import label_folder, read_labels
from peakmark.data.source.listing import list_images
from peakmark.errors import DataError

DATA_YAML = "data.yaml"
_DECIMALS = 10
_PX_DECIMALS = 5


def recognises(source: Path) -> bool:
    """Whether this is a data.yaml, or a folder with one."""
    return yaml_of(source) is not None


def yaml_of(source: Path) -> Path | None:
    """Gives the data.yaml that a source is, or has in it where there is one alone."""
    if source.is_file():
        return source if source.suffix.lower() in (".yaml", ".yml") else None
    if not source.is_dir():
        return None
    found = sorted(source.glob("*.y*ml"))
    named = [path for path in found if path.stem in ("data", "dataset")]
    return named[0] if len(named) == 1 else found[0] if len(found) == 1 else None


def read(source: Path, wishes: Wishes) -> AnnotatedSet:
    """Reads every split of a data.yaml. Raises DataError where that can't be read."""
    file = yaml_of(source)
    if file is None:
        raise DataError(f"{source}: a YOLO data set is described by a data.yaml; give its path.")
    spec = read_data_yaml(file)
    account = Account(notes=list(spec.notes))
    gathering = Gathering(account, wishes.names, keep_difficult=wishes.keep_difficult, keep_crowds=wishes.keep_crowds)
    files = [(split, file) for split in spec.splits for file in list_images(spec, split).files]
    bases = {split: _base(spec, split, [file for of, file in files if of == split]) for split in spec.splits}
    finder = SourceImages(account, wishes.max_image_pixels)
    folders: dict[str, str] = {}
    images = []
    for number, (split, file_) in enumerate(files, start=1):
        image = _image(spec, split, Path(file_), bases[split], folders, finder, account, gathering)
        if image is not None:
            images.append(image)
        wishes.progress(number, len(files))
    return AnnotatedSet(wishes.names or spec.names, images, account)


def write(annotated: AnnotatedSet, target: Target) -> None:
    """Writes images/SPLIT, labels/SPLIT and a data.yaml whose paths are relative to it."""
    numbers = {name: number for number, name in enumerate(annotated.names)}
    for number, image in enumerate(annotated.images, start=1):
        name = target.names.nested(image)
        target.progress(number, len(annotated.images))
        target.place(f"images/{image.split}/{name}", image.path, image.embedded)
        lines = [f"{numbers[each.name]} {_fractions(each.box_xyxy_px, image)}\n" for each in image.objects]
        # An empty file too: it says that somebody looked and there is nothing.
        label = PurePosixPath(name).with_suffix(".txt")
        target.folder.write(f"labels/{image.split}/{label}", "".join(lines).encode())
    content = {split: f"images/{split}" for split in annotated.splits} | {"names": dict(enumerate(annotated.names))}
    target.folder.write(DATA_YAML, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def _image(
    spec: DatasetSpec,
    split: str,
    path: Path,
    base: str,
    folders: dict[str, str],
    finder: SourceImages,
    account: Account,
    gathering: Gathering,
) -> AnnotatedImage | None:
    parent = os.path.dirname(path)
    if parent not in folders:
        folders[parent] = label_folder(parent)
    file = Path(folders[parent]) / f"{path.stem}.txt"
    try:
        content = file.read_bytes() if file.is_file() else b""
    except OSError as error:
        finder.leave_out("unreadable annotation", split, str(file), f"it can't be read ({error.strerror})", 0)
        return None
    account.lost["images without a label file, taken as images without objects"] += not file.is_file()
    parsed = read_labels(content, len(spec.names), spec.keypoints)
    count = len(parsed.classes) + len(parsed.bad_lines) + parsed.duplicates
    name = os.path.relpath(path, base).replace(os.sep, "/")
    image = finder.open(path, name, split, None, str(path), count)
    if image is None:
        return None
    account.objects[split] += len(parsed.bad_lines) + parsed.duplicates
    for sentence in parsed.bad_lines:
        place, _, text = sentence.partition(": ")
        account.drop("bad label line", f"{file}, {place}", shown(text))
    if parsed.duplicates:
        text = f"{parsed.duplicates} of its lines are there already"
        account.drop("repeated object", str(file), text, objects=parsed.duplicates)
    if parsed.clipped:
        account.change("box over the edge", str(file), f"{parsed.clipped} of its boxes were cut at the edge")
    account.lost["outlines"] += parsed.polygons
    for number, box in zip(parsed.classes, parsed.boxes_cxcywh_norm, strict=True):
        gathering.take(image, spec.names[number], _pixels(box, image), str(file))
    return image


def _base(spec: DatasetSpec, split: str, files: list[str]) -> str:
    """The folder that the images' names in the target are relative to."""
    sources = spec.splits[split]
    if len(sources) == 1 and sources[0].is_dir():
        return str(sources[0])
    return os.path.commonpath([os.path.dirname(file) for file in files])


def _pixels(box: Box, image: AnnotatedImage) -> Box:
    cx, cy, width, height = box
    left, right = (cx - width / 2) * image.width_px, (cx + width / 2) * image.width_px
    top, bottom = (cy - height / 2) * image.height_px, (cy + height / 2) * image.height_px
    return (
        round(left, _PX_DECIMALS), round(top, _PX_DECIMALS), round(right, _PX_DECIMALS), round(bottom, _PX_DECIMALS)
    )  # fmt: skip


def _fractions(box: Box, image: AnnotatedImage) -> str:
    left, top, right, bottom = box
    width, height = image.width_px, image.height_px
    values = (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height
    return " ".join(f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".") for value in values)
