"""How does a split become an index? Every image and label file is looked at once, and what can't be used is named.

It is decided here, once: unreadable images are left out and listed, bad label lines refuse the data set.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peakmark.data.images import Verify
from peakmark.data.source.data_yaml import DatasetSpec
from peakmark.data.source.indexed_split import Index
from peakmark.data.source.listing import Listing, label_folders, list_images, stray_labels
from peakmark.data.source.split_notes import (
    BadLabels,
    bad_lines_refused,
    no_objects_refused,
    none_chosen_refused,
    split_notes,
)
from peakmark.data.source.survey import Progress, Survey, survey_files
from peakmark.data.source.survey_store import load_survey, save_survey, survey_file
from peakmark.errors import DataError, MachineError
from peakmark.machine.cache_folder import cache_folder as user_cache_folder
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS


@dataclass(frozen=True, slots=True)
class SurveyedSplit:
    """A split as it is, with all that is wrong with it."""

    index: Index
    survey: Survey
    """Of every listed file, those that can't be read too."""
    listing: Listing
    orphans: tuple[str, ...]
    """Label files without an image."""
    beside: tuple[str, ...]
    """Label files beside their images, where labels are looked for elsewhere."""

    @property
    def bad_lines(self) -> tuple[str, ...]:
        """A sentence for each label line that can't be used; the index does without them."""
        return tuple(line for of_file in self.survey.bad_lines.values() for line in of_file)


def build_index(
    spec: DatasetSpec,
    split: str,
    *,
    verify: Verify = "full",
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    workers: int = 1,
    progress: Progress | None = None,
    cache_folder: Path | None = None,
    bad_labels: BadLabels = "refuse",
    classes: Sequence[int] | None = None,
    single_class: bool = False,
    background_is_enough: bool = False,
    with_outlines: bool = False,
) -> Index:
    """Looks at every image and label file of a split and makes its index; a second start looks only at what changed.

    Equal for any number of `workers` (threads). What was found is remembered in `cache_folder` (the user's, if None);
    where that can't be written, a warning says so. `single_class`: every class number is taken, as class 0. Raises
    `DataError`, before anything is trained, for a split that is missing or empty, without a readable image, without
    truths (or, if `background_is_enough`, without a label file), or with bad label lines (named), unless `bad_labels`
    says to do without them. `classes`: only truths of these numbers are taken, before `single_class` makes one class of
    them. `with_outlines`: polygons are more than the boxes around them, for its fingerprint too.
    """
    found = survey_split(
        spec,
        split,
        verify=verify,
        max_image_pixels=max_image_pixels,
        workers=workers,
        progress=progress,
        cache_folder=cache_folder,
        bad_labels=bad_labels,
        classes=classes,
        single_class=single_class,
        with_outlines=with_outlines,
    )
    if found.survey.bad_lines and bad_labels == "refuse":
        raise DataError(bad_lines_refused(split, found.survey))
    _refuse_useless(found, spec, background_is_enough)
    return found.index


def survey_split(
    spec: DatasetSpec,
    split: str,
    *,
    verify: Verify = "full",
    max_image_pixels: int = MAX_IMAGE_PIXELS,
    workers: int = 1,
    progress: Progress | None = None,
    cache_folder: Path | None = None,
    bad_labels: BadLabels = "refuse",
    classes: Sequence[int] | None = None,
    single_class: bool = False,
    with_outlines: bool = False,
) -> SurveyedSplit:
    """Does what `build_index` does and refuses nothing but a split that is missing or empty."""
    listing = list_images(spec, split)
    class_count = None if single_class else len(spec.names)
    store = survey_file(cache_folder or user_cache_folder(), spec, split, verify, max_image_pixels, class_count)
    known = load_survey(store)
    survey = survey_files(
        listing.files,
        class_count,
        spec.keypoints,
        verify=verify,
        max_image_pixels=max_image_pixels,
        workers=workers,
        known=known,
        progress=progress,
    )
    warnings: list[str] = []
    try:
        # Saved before anybody complains: whoever corrects a label line needn't wait for all images again.
        if survey is not known:
            save_survey(store, survey)
    except MachineError as error:
        warnings.append(f"What was found in {split} can't be remembered for the next start. {error}")
    ignored = {str(source) for sources in spec.splits.values() for source in sources}
    folders = label_folders(listing.files)
    orphans, beside = stray_labels(folders, ignored)
    warnings += split_notes(split, survey, listing, orphans, beside, folders, bad_labels)
    index = _index_from(survey, spec, split, verify, max_image_pixels, tuple(warnings), bad_labels)
    index = index if classes is None else index.of_classes(classes)
    index = index.as_single_class() if single_class else index
    index = index if with_outlines else replace(index, outlines=None)
    return SurveyedSplit(index, survey, listing, tuple(orphans), tuple(beside))


def _index_from(
    survey: Survey,
    spec: DatasetSpec,
    split: str,
    verify: Verify,
    max_image_pixels: int,
    warnings: tuple[str, ...],
    bad_labels: BadLabels,
) -> Index:
    folder = _folder_of(survey.files, spec.root)
    files = tuple(file[len(folder) :].lstrip(os.sep) for file in survey.files)
    bad = {row: len(lines) for row, lines in sorted(survey.bad_lines.items()) if row not in survey.reasons}
    whole = Index(
        split=split,
        folder=Path(folder),
        files=files,
        widths_px=survey.sizes_px[:, 0],
        heights_px=survey.sizes_px[:, 1],
        digests=survey.digests,
        offsets=survey.offsets,
        boxes_cxcywh_norm=survey.boxes_cxcywh_norm,
        classes=survey.classes,
        unreadable=tuple((survey.files[row], survey.reasons[row]) for row in sorted(survey.reasons)),
        warnings=warnings,
        verify=verify,
        labelled=survey.has_label_file,
        rows=(int(survey.row_kinds[:, 0].sum()), int(survey.row_kinds[:, 2].sum())),
        bad_labels=bad_labels,
        max_image_pixels=max_image_pixels,
        dropped=tuple((files[row], lines) for row, lines in bad.items()) if bad_labels != "refuse" else (),
        remarked=frozenset(files[row] for row in survey.remarks),
        outlines=survey.outlines if len(survey.outline_points_norm) else None,
    )
    left_out = {*survey.reasons, *(bad if bad_labels == "drop_image" else ())}
    return whole.select([row for row in range(len(whole)) if row not in left_out]) if left_out else whole


def _folder_of(files: Sequence[str], root: Path) -> str:
    """The folder that all files are under: the root, or else the deepest one, so that a copy has equal names."""
    inside = os.path.join(root, "")
    return (
        str(root) if all(file.startswith(inside) for file in files) else os.path.commonpath(map(os.path.dirname, files))
    )


def _refuse_useless(found: SurveyedSplit, spec: DatasetSpec, background_is_enough: bool) -> None:
    index, survey = found.index, found.survey
    places = ", ".join(map(str, spec.splits[index.split]))
    if len(index) == 0:
        if not index.unreadable:
            raise DataError(f"{index.split} is {places}: all of its images have bad label lines; correct these.")
        file, reason = index.unreadable[0]
        raise DataError(
            f"{index.split} is {places}: none of its {len(index.unreadable)} images can be read, the first one being "
            f"{file} ({reason}); correct the path or replace the images."
        )
    if len(index.classes) == 0 and index.unchosen is not None and index.unchosen.any() and not background_is_enough:
        raise DataError(none_chosen_refused(index.split, places, int(index.unchosen.sum())))
    if len(index.classes) == 0 and not (background_is_enough and survey.has_label_file.any()):
        raise DataError(no_objects_refused(index.split, places, survey, label_folders(survey.files)))
