"""What should somebody read about a split that can be used, and why can't it be used otherwise? In sentences.

It is told facts and decides nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peakmark.data.source.listing import Listing
from peakmark.data.source.survey import Survey, label_file

BadLabels = Literal["refuse", "drop", "drop_image"]
"""refuse: nothing starts with a label line that can't be used. drop: it goes without the line, drop_image: without the
whole image."""

MANY_UNLABELLED = 0.2
"""Share of a split's images without a label file from which that is more than a hint: labels may have been lost."""

_SHOWN_BAD_LINES = 20
_SHOWN_FILES = 5


def split_notes(
    split: str,
    survey: Survey,
    listing: Listing,
    orphans: Sequence[str],
    beside: Sequence[str],
    folders: Mapping[str, str],
    bad_labels: BadLabels,
) -> list[str]:
    """Says what the user should know. `orphans`: label files without image; `beside`: those beside images, not used."""
    notes = [*_about_images(split, survey, listing), *_about_label_files(split, survey, orphans, beside, folders)]
    if duplicates := int(survey.duplicates.sum()):
        files = _files_where(survey, survey.duplicates)
        notes.append(f"{split}: {duplicates} label lines repeat another one and are left out: {files}.")
    if clipped := int(survey.clipped.sum()):
        files = _files_where(survey, survey.clipped)
        notes.append(f"{split}: {clipped} boxes reach over the edge of their image and are cut there: {files}.")
    if mixed := _mixed_rows(survey, folders):
        notes.append(f"{split}: {mixed}")
    if survey.bad_lines and bad_labels != "refuse":
        lines = [line for of_file in survey.bad_lines.values() for line in of_file]
        what = "the lines are" if bad_labels == "drop" else f"their {len(survey.bad_lines)} images are"
        notes.append(
            f"{split}: {len(lines)} label lines of {len(survey.bad_lines)} files can't be used;"
            f" bad_labels={bad_labels}: {what} left out. {_some(lines)}."
        )
    return notes


def _about_images(split: str, survey: Survey, listing: Listing) -> list[str]:
    notes = []
    if survey.reasons:
        named = [f"{survey.files[row]} ({survey.reasons[row]})" for row in sorted(survey.reasons)]
        notes.append(
            f"{split}: {len(named)} of {len(survey.files)} images can't be read and are left out: {_some(named)}."
        )
    if survey.remarks:
        named = [f"{survey.files[row]}: {survey.remarks[row]}" for row in sorted(survey.remarks)]
        notes.append(remarks_note(split, named, len(survey.files)))
    if listing.listed_again:
        notes.append(f"{split}: {listing.listed_again} images are listed more than once; each is taken once.")
    if listing.hidden:
        notes.append(
            f"{split}: {len(listing.hidden)} images in hidden folders or with hidden names are not used:"
            f" {_some(listing.hidden)}."
        )
    if listing.others:
        notes.append(
            f"{split}: {len(listing.others)} files in its folders are not of a kind that is read as an image and are"
            f" not used: {_some(listing.others)}."
        )
    return notes


def _about_label_files(
    split: str, survey: Survey, orphans: Sequence[str], beside: Sequence[str], folders: Mapping[str, str]
) -> list[str]:
    notes = []
    without = unlabelled(survey)
    if beside:
        labels = folders[os.path.dirname(beside[0])]
        notes.append(
            f"{split}: {len(beside)} label files lie beside their images and are not used, since the labels of this"
            f" folder are in {labels}: {_some(beside)}. Move them there."
        )
    if len(without) > MANY_UNLABELLED * len(survey.files):
        files = _some([survey.files[row] for row in without])
        notes.append(
            f"{split}: {len(without)} of {len(survey.files)} images have no label file and are taken as background,"
            f" without objects: {files}. Where they really show nothing, an empty .txt file says so."
        )
    if orphans:
        notes.append(f"{split}: {len(orphans)} label files have no image and are not used: {_some(orphans)}.")
    return notes


def remarks_note(split: str, named: Sequence[str], images: int) -> str:
    """Says of images that can be used what is odd about them. `named`: file and remark of each, out of `images`."""
    return f"{split}: {len(named)} of {images} images are used but should be seen: {_some(named)}."


def unlabelled(survey: Survey) -> list[int]:
    """Gives the rows of the images that have no label file."""
    return [row for row in np.flatnonzero(~survey.has_label_file).tolist() if row not in survey.reasons]


def _mixed_rows(survey: Survey, folders: Mapping[str, str]) -> str:
    """Where some rows are boxes and others polygons: which files differ from the rest, and in which line first."""
    boxes, polygons = survey.row_kinds[:, 0], survey.row_kinds[:, 2]
    both = int(boxes.sum()), int(polygons.sum())
    if not all(both):
        return ""
    fewer_are_boxes = both[0] < both[1]
    fewer, first = (boxes, survey.row_kinds[:, 1]) if fewer_are_boxes else (polygons, survey.row_kinds[:, 3])
    kinds = ("boxes", "polygons") if fewer_are_boxes else ("polygons", "boxes")
    rows = np.flatnonzero(fewer).tolist()
    places = _some([f"{label_file(survey.files[row], folders)[0]}, line {first[row]}" for row in rows[:_SHOWN_FILES]])
    more = f" and {len(rows) - _SHOWN_FILES} more files" if len(rows) > _SHOWN_FILES else ""
    return (
        f"{min(both)} of {sum(both)} label lines are {kinds[0]}, the others {kinds[1]}; of a polygon the box around it"
        f" is taken. They begin at {places}{more}."
    )


def rows_of_other_kinds(train: tuple[int, int], val: tuple[int, int]) -> tuple[str, ...]:
    """Tells where one split has boxes and the other polygons: measured against each other, and seldom meant so.

    Each split's good lines that are boxes, and those that are polygons.
    """
    boxes, polygons = zip(train, val, strict=True)
    if not (any(boxes) and any(polygons) and 0 in boxes and 0 in polygons):
        return ()
    kinds = ("boxes", "polygons") if boxes[0] else ("polygons", "boxes")
    said = f"The labels of train are {kinds[0]}, those of val {kinds[1]}"
    return (f"{said}; of a polygon the box around it is taken.",)


def bad_lines_refused(split: str, survey: Survey) -> str:
    """Says which label lines can't be used, how many they are, and how to go on without them."""
    bad_lines = [line for of_file in survey.bad_lines.values() for line in of_file]
    shown = "\n".join(f"  {line}" for line in bad_lines[:_SHOWN_BAD_LINES])
    more = len(bad_lines) - _SHOWN_BAD_LINES
    rest = f"\n  ... and {more} more" if more > 0 else ""
    count = "1 label line is" if len(bad_lines) == 1 else f"{len(bad_lines)} label lines are"
    files = "1 file" if len(survey.bad_lines) == 1 else f"{len(survey.bad_lines)} files"
    share = f"{len(survey.bad_lines) / len(survey.files):.2%} of {len(survey.files)}"
    return (
        f"{split}: {count} wrong, in {files} ({share}); nothing was started. Correct or delete them, or go on without"
        f" them: bad_labels=drop leaves out the lines, bad_labels=drop_image the images.\n{shown}{rest}"
    )


def no_objects_refused(split: str, places: str, survey: Survey, folders: Mapping[str, str]) -> str:
    """Says why a split without a single object can't be used."""
    found = int(survey.has_label_file.sum())
    if found:
        remedy = (
            "no epoch could be judged by it: add images with objects, or write val=False. peakmark val takes such a set"
            " and counts false alarms"
            if split != "train"
            else "there is nothing to learn from it: add images with objects"
        )
        return f"{split} is {places}: its {found} label files name no object, all is background, so {remedy}."
    others = _labels_of_others(folders)
    return (
        f"{split} is {places}: its {len(survey.files)} images have no labels at all; put .txt files of the images' "
        f"names where the last `images` of their path reads `labels`, or beside the images.{others}"
    )


def none_chosen_refused(split: str, places: str, unchosen: int) -> str:
    """Says why a split can't be used that has objects, but none of a chosen class."""
    remedy = "no epoch could be judged by it" if split != "train" else "there is nothing to learn from it"
    return (
        f"{split} is {places}: none of its {unchosen:,} objects is of the classes that are chosen, so {remedy}; choose"
        " others with classes=, or leave it out."
    )


def _labels_of_others(folders: Mapping[str, str]) -> str:
    """Labels in another format are lost in silence where only .txt files count."""
    counts: dict[str, int] = {}
    for folder in dict.fromkeys((*folders.values(), *folders)):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            suffix = os.path.splitext(name)[1].lower()
            if suffix in (".xml", ".json"):
                counts[suffix] = counts.get(suffix, 0) + 1
    if not counts:
        return ""
    named = " and ".join(f"{count} {suffix}" for suffix, count in counts.items())
    return f" There are {named} files: labels in another format, to be converted to YOLO's first."


def _files_where(survey: Survey, counts: NDArray[np.int32]) -> str:
    return "in " + _some([survey.files[row] for row in np.flatnonzero(counts)])


def _some(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_SHOWN_FILES])
    return f"{shown} and {len(items) - _SHOWN_FILES} more" if len(items) > _SHOWN_FILES else shown
