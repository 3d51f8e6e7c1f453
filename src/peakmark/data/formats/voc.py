"""How is a data set written as PASCAL VOC? An XML file an image, and lists that say which image is in which split.

In the files of the VOC challenges the pixel in the corner is (1, 1) and a box counts its last pixel in, so its left
edge lies at xmin - 1 and its right one at xmax. Tools that came later write edges as they are. `first_pixel` says
which; unsaid, files that name a VOC challenge as their source are read the first way and all others the second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from peakmark.data.formats.annotated_set import (
    SPLITS,
    Account,
    AnnotatedImage,
    AnnotatedSet,
    Gathering,
    as_number,
    shown,
    split_called,
)
from peakmark.data.formats.plain_files import BadFileError, Element, read_xml
from peakmark.data.formats.source_images import SourceImages, safe_name
from peakmark.data.formats.wishes import Target, Wishes
from peakmark.data.images import IMAGE_SUFFIXES
from peakmark.data.source.listing import list_lines
from peakmark.errors import DataError

_LISTS = Path("ImageSets") / "Main"
_OF_A_CHALLENGE = re.compile(r"VOC\s?20\d\d", re.IGNORECASE)
_ENDINGS = list(dict.fromkeys([".jpg", ".png", ".jpeg", ".JPG", ".PNG", *sorted(IMAGE_SUFFIXES)]))
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DECIMALS = 5
"""Of a pixel: as many as a way through YOLO labels brings back."""


@dataclass(frozen=True, slots=True)
class _Record:
    """An annotation file and the split it is in."""

    file: Path
    stem: str
    """Its name without the ending, with folders inside the split."""
    split: str


def recognises(source: Path) -> bool:
    """Whether a folder looks like one: XML files in it, in Annotations, or in folders of splits."""
    if not source.is_dir():
        return False
    folders = [source / "Annotations", source, *(path for path in _folders_of_splits(source))]
    return any(folder.is_dir() and any(folder.glob("*.xml")) for folder in folders)


def has_splits(source: Path) -> bool:
    """Whether lists or folders say which image is in which split."""
    lists = [source / _LISTS / f"{split}.txt" for split in SPLITS]
    annotations = source / "Annotations" if (source / "Annotations").is_dir() else source
    return any(file.is_file() for file in lists) or bool(_folders_of_splits(annotations))


def read(source: Path, wishes: Wishes) -> AnnotatedSet:
    """Reads all annotations of a folder. Raises DataError where it is none of VOC, or no split can be told."""
    if not source.is_dir():
        raise DataError(f"{source}: a VOC data set is a folder of XML files; give that folder.")
    account = Account()
    records = list(_records(source, account))
    if not records:
        raise DataError(f"{source}: there is no XML file, neither in it nor in {source / 'Annotations'}.")
    gathering = Gathering(account, wishes.names, keep_difficult=wishes.keep_difficult, keep_crowds=wishes.keep_crowds)
    reader = _Reader(source, wishes, account, gathering)
    images = []
    for number, record in enumerate(records, start=1):
        if (image := reader.image_of(record)) is not None:
            images.append(image)
        wishes.progress(number, len(records))
    reader.say()
    found = sorted({annotation.name for image in images for annotation in image.objects})
    if wishes.names is None and found:
        account.note(f"VOC numbers no classes; they are taken in the order of their names: {shown(', '.join(found))}.")
    return AnnotatedSet(wishes.names or tuple(found), images, account)


class _Reader:
    def __init__(self, source: Path, wishes: Wishes, account: Account, gathering: Gathering) -> None:
        self._source, self._wishes, self._account, self._gathering = source, wishes, account, gathering
        self._images = SourceImages(account, wishes.max_image_pixels)
        self._folders: dict[tuple[str, Path], list[Path]] = {}
        self._from = [0, 0]
        """Files read by each first pixel."""
        self._other_names = 0

    def image_of(self, record: _Record) -> AnnotatedImage | None:
        where = str(record.file)
        try:
            root = read_xml(record.file)
            if root.tag != "annotation":
                raise BadFileError(f"line {root.line}: it begins with <{shown(root.tag)}>, not with <annotation>")
        except BadFileError as error:
            return self._images.leave_out("unreadable annotation", record.split, where, str(error), 0)
        objects = list(root.all("object"))
        path, name = self._image_file(record, root)
        image = self._images.open(path, name, record.split, _stated_size(root), where, len(objects))
        if image is None:
            return None
        first = self._wishes.first_pixel
        if first is None:
            first = 1 if _OF_A_CHALLENGE.search(root.text_of("source", "database")) else 0
        self._from[first] += 1
        for element in objects:
            self._take(image, element, first, record.file)
        return image

    def _image_file(self, record: _Record, root: Element) -> tuple[Path | None, str]:
        """Finds an image by the annotation's name, as the challenges do, or else by the name that stands in it."""
        inside = os.path.dirname(record.stem)
        folders = self._folders_of(record)
        stated = safe_name(root.text_of("filename"))
        suffix = os.path.splitext(stated or "")[1]
        endings = [suffix, *_ENDINGS] if suffix else _ENDINGS
        path = self._images.find((record.stem + ending for ending in endings), folders)
        if path is None and stated is not None:
            path = self._images.find([os.path.join(inside, stated), stated], folders)
        elif path is not None and stated is not None and os.path.splitext(stated)[0] != os.path.basename(record.stem):
            self._other_names += 1
        if path is None:
            return None, stated or f"{record.stem}.jpg"
        return path, os.path.join(inside, path.name)

    def _folders_of(self, record: _Record) -> list[Path]:
        """The folders that the image of an annotation may be in; the same list for all of a folder and split."""
        key = record.split, record.file.parent
        if key not in self._folders:
            given = [self._wishes.images] if self._wishes.images else []
            bases = [*given, self._source / "JPEGImages", self._source / "images", self._source, key[1]]
            self._folders[key] = [base / part for base in bases for part in (record.split, "")]
        return self._folders[key]

    def _take(self, image: AnnotatedImage, element: Element, first: int, file: Path) -> None:
        where = f"{file}, line {element.line}"
        box = element.first("bndbox")
        if box is None:
            turned = element.first("robndbox") is not None
            what = "a turned box, of which upright ones can't be made" if turned else "no bndbox"
            self._account.objects[image.split] += 1
            self._account.drop("box that is no box", where, f"the object has {what}")
            return
        values = [as_number(box.text_of(edge)) for edge in _EDGES]
        edges = (values[0] - first, values[1] - first, values[2], values[3])
        difficult = element.text_of("difficult") == "1"
        self._gathering.take(image, element.text_of("name"), edges, where, difficult=difficult)
        for mark in ("truncated", "occluded"):
            self._account.lost[f"marks {mark}"] += element.text_of(mark) == "1"
        self._account.lost["parts of objects"] += sum(1 for _ in element.all("part"))

    def say(self) -> None:
        account = self._account
        if self._from[1]:
            account.note(
                f"{self._from[1]:,} VOC files are read as those of the challenges: the first pixel is 1, so a box"
                " begins at xmin - 1."
            )
        if self._from[0]:
            account.note(
                f"{self._from[0]:,} VOC files are read as edges in pixels from 0, as labelling tools write them;"
                " first_pixel=1 reads them as those of the challenges."
            )
        if self._other_names:
            account.note(
                f"{self._other_names:,} VOC files name another image than their own name says; the image of the file's"
                " name was taken, as in the challenges."
            )


def write(annotated: AnnotatedSet, target: Target) -> None:
    """Writes JPEGImages, Annotations and ImageSets/Main."""
    lists: dict[str, list[str]] = {split: [] for split in annotated.splits}
    for number, image in enumerate(annotated.images, start=1):
        stem, file, is_new = target.names.flat(image)
        lists[image.split].append(stem)
        if not is_new:
            continue
        target.folder.write(f"Annotations/{stem}.xml", _xml(image, file, target.first_pixel))
        target.progress(number, len(annotated.images))
        target.place(f"JPEGImages/{file}", image.path, image.embedded)
    for split, stems in lists.items():
        target.folder.write(str(_LISTS / f"{split}.txt"), "".join(f"{stem}\n" for stem in stems).encode())


def refuse_names(annotated: AnnotatedSet) -> None:
    """Raises DataError where a class can't be written in XML."""
    bad = [name for name in annotated.names if _NOT_IN_XML.search(name)]
    if bad:
        listed = ", ".join(map(shown, bad))
        raise DataError(f"the classes {listed} have characters that XML can't hold; rename them, or write to=coco.")


def _xml(image: AnnotatedImage, file: str, first_pixel: int) -> bytes:
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, tag: str, text: str = "") -> ElementTree.Element:
        child = ElementTree.SubElement(parent, tag)
        child.text = text or None
        return child

    add(root, "folder", "JPEGImages")
    add(root, "filename", file)
    size = add(root, "size")
    for tag, number in (("width", image.width_px), ("height", image.height_px), ("depth", 3)):
        add(size, tag, str(number))
    add(root, "segmented", "0")
    for each in image.objects:
        element = add(root, "object")
        add(element, "name", each.name)
        add(element, "difficult", "1" if each.difficult else "0")
        box = add(element, "bndbox")
        for edge, value in zip(_EDGES, each.box_xyxy_px, strict=True):
            add(box, edge, _px(value + first_pixel if edge in ("xmin", "ymin") else value))
    ElementTree.indent(root, "\t")
    text: bytes = ElementTree.tostring(root, encoding="utf-8")
    return text + b"\n"


def _px(value: float) -> str:
    """A whole number where it is one: most readers of VOC take nothing else."""
    rounded = round(value, _DECIMALS)
    return str(int(rounded)) if rounded == int(rounded) else f"{rounded:.{_DECIMALS}f}".rstrip("0")


def _stated_size(root: Element) -> tuple[float, float] | None:
    """Gives the size that a file states; many tools write 0 where they don't know it."""
    width, height = as_number(root.text_of("size", "width")), as_number(root.text_of("size", "height"))
    return (width, height) if width > 0 and height > 0 else None


def _records(source: Path, account: Account) -> Iterator[_Record]:
    annotations = source / "Annotations" if (source / "Annotations").is_dir() else source
    lists = _lists(source, account)
    if lists:
        yield from _listed(annotations, lists, account)
        return
    folders = _folders_of_splits(annotations)
    for folder in folders or [annotations]:
        split = split_called(folder.name) if folders else None
        if split is None:
            account.note("No split is named, so all images are in train; split=0.8,0.1,0.1 makes one.")
        for file in sorted(folder.rglob("*.xml")):
            yield _Record(file, file.relative_to(folder).with_suffix("").as_posix(), split or "train")


def _folders_of_splits(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and split_called(path.name)]
    return sorted(found, key=lambda path: SPLITS.index(split_called(path.name) or "train"))


def _lists(source: Path, account: Account) -> dict[str, list[tuple[str, str]]]:
    """Gives the images that the lists name for each split, with where they stand."""
    found: dict[str, list[tuple[str, str]]] = {}
    named = {split: source / _LISTS / f"{split}.txt" for split in SPLITS}
    if not named["train"].is_file() and (both := source / _LISTS / "trainval.txt").is_file():
        account.note(f"{both} is taken as train, since there is no train.txt.")
        named["train"] = both
    for split, file in named.items():
        if file.is_file():
            found[split] = [(line.split()[0], f"{file}, line {number}") for number, line in list_lines(file)]
    return found


def _listed(annotations: Path, lists: dict[str, list[tuple[str, str]]], account: Account) -> Iterator[_Record]:
    there = {path.relative_to(annotations).with_suffix("").as_posix() for path in annotations.rglob("*.xml")}
    listed: set[str] = set()
    for split, entries in lists.items():
        seen: set[str] = set()
        for stem, where in entries:
            if stem in seen:
                account.change("image listed twice", where, f"{shown(stem)} is in {split} already")
                continue
            seen.add(stem)
            listed.add(stem)
            if stem in there:
                yield _Record(annotations / f"{stem}.xml", stem, split)
            else:
                account.images[split] += 1
                text = f"there is no {shown(stem)}.xml in {annotations}"
                account.drop("missing annotation", where, text, objects=0, images=1)
    for stem in sorted(there - listed):
        text = "no list of a split names it"
        account.images["in no split"] += 1
        account.drop("image in no split", str(annotations / f"{stem}.xml"), text, objects=0, images=1)
