"""A split that is made keeps groups whole, deals classes evenly, and is the same each time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.data.formats.annotated_set import Account, AnnotatedImage, AnnotatedSet, Annotation
from peakmark.data.formats.splitting import deal, make_split
from peakmark.data.formats.wishes import unwatched
from peakmark.errors import DataError
from peakmark.machine.streams import stream

BOX = (1.0, 1.0, 9.0, 9.0)


def pictures(folder: Path, names: list[str], pixels: list[np.ndarray], classes: list[str]) -> AnnotatedSet:
    images = []
    for name, picture, of in zip(names, pixels, classes, strict=True):
        path = folder / name
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        objects = [Annotation(each, BOX) for each in of]
        images.append(AnnotatedImage(name, "train", picture.shape[1], picture.shape[0], path, objects))
    return AnnotatedSet(tuple(sorted(set("".join(classes)))), images, Account())


def noise(number: int) -> np.ndarray:
    small = stream(1, "test", number).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC))


def test_classes_and_images_are_dealt_out_by_their_shares(tmp_path):
    # a is everywhere, b in a fifth, c in a twentieth of the images: by chance alone c would often miss a split.
    classes = ["a" + "b" * (n % 5 == 0) + "c" * (n % 20 == 0) for n in range(200)]
    annotated = pictures(
        tmp_path, [f"{n * 97 % 200}x{n}q.png" for n in range(200)], [noise(n) for n in range(200)], classes
    )
    make_split(annotated, (0.8, 0.1, 0.1), 0, unwatched)
    for name, of in (("a", 200), ("b", 40), ("c", 10)):
        for split, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
            found = sum(
                image.split == split for image in annotated.images for each in image.objects if each.name == name
            )
            assert abs(found - share * of) <= 1, (name, split, found)
    first = [image.split for image in annotated.images]
    make_split(annotated, (0.8, 0.1, 0.1), 0, unwatched)
    assert [image.split for image in annotated.images] == first
    make_split(annotated, (0.8, 0.1, 0.1), 1, unwatched)
    assert [image.split for image in annotated.images] != first
    make_split(annotated, (0.5, 0.5), 0, unwatched)
    assert annotated.splits == ("train", "val")


def test_what_belongs_together_is_in_one_split(tmp_path):
    """Near duplicates, copies by their names, and frames of sequences; none of it next to each other in the list."""
    names, pixels = [], []
    for n in range(30):
        names.append(f"{chr(97 + n % 26)}{'q' * (n // 26)}.png")
        pixels.append(noise(n))
        if n % 3 == 0:
            names.append(f"{'z' * 5}{names[-1]}")
            pixels.append(np.clip(pixels[-1].astype(int) + 12, 0, 255).astype(np.uint8))
    for frame in range(24):
        names.append(f"clip_{frame:03d}.png")
        pixels.append(np.roll(noise(500), frame, axis=1))
    order = stream(3, "test", 0).permutation(len(names)).tolist()
    annotated = pictures(tmp_path, [names[n] for n in order], [pixels[n] for n in order], ["a"] * len(names))
    make_split(annotated, (0.6, 0.4), 0, unwatched)
    split = {image.name: image.split for image in annotated.images}
    assert len({split[f"clip_{frame:03d}.png"] for frame in range(24)}) == 1
    twins = [name for name in names if name.startswith("zzzzz")]
    assert len(twins) == 10
    assert all(split[name] == split[name.removeprefix("zzzzz")] for name in twins)
    assert any("hang together in" in note for note in annotated.account.notes)


def test_a_split_that_groups_leave_empty_is_refused(tmp_path):
    annotated = pictures(tmp_path, [f"{c}.png" for c in "abcd"], [noise(1)] * 4, ["a"] * 4)
    with pytest.raises(DataError, match="val would have no image, since 4 images hang together in 1 group "):
        make_split(annotated, (0.5, 0.5), 0, unwatched)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=40),
    shares=st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5), (1.0, 0.0), (0.9, 0.0, 0.1)]),
)
def test_every_group_is_dealt_to_a_split_that_has_a_share(counts, shares):
    counts_GK = np.array([[*row, 1] for row in counts], float)
    split_G = deal(counts_GK, np.array(shares), 0)
    assert all(shares[split] > 0 for split in split_G)
    images = np.bincount(split_G, minlength=len(shares))
    assert np.all(images[np.array(shares) == 0] == 0)
