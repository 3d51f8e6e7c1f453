"""Sources: which pictures each kind means, in which order, and what is said where one can't be read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from peakmark.data import images
from peakmark.deploy import sources
from peakmark.deploy.frames import Frame
from peakmark.deploy.sources import open_source
from peakmark.errors import DataError, PeakmarkError
from peakmark.events import Event, Notice
from peakmark.nouns.images import ImageArray

Colour = tuple[int, int, int]
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def filled(colour_rgb: Colour, height: int = 12, width: int = 16) -> ImageArray:
    return np.full((height, width, 3), colour_rgb, dtype=np.uint8)


def write_image(path: Path, colour_rgb: Colour = RED, height: int = 12, width: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), filled(colour_rgb, height, width)[..., ::-1])
    return path


def write_video(path: Path, frames: int = 10, fps: float = 10.0, width: int = 64, height: int = 48) -> Path:
    """Frame k is grey of 10 * k."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    for number in range(frames):
        writer.write(np.full((height, width, 3), 10 * number, dtype=np.uint8))
    writer.release()
    return path


def read(source: object, vid_stride: int = 1) -> tuple[list[Frame], list[str]]:
    events: list[Event] = []
    frames = list(open_source(source, vid_stride=vid_stride, observer=events.append))
    return frames, [event.text for event in events if isinstance(event, Notice)]


def names(source: object) -> list[str]:
    frames, notices = read(source)
    assert notices == []
    return [frame.origin.name for frame in frames]


def refusal(source: object) -> str:
    """The message with which a source is refused at once, before anything is iterated."""
    with pytest.raises(PeakmarkError) as caught:
        open_source(source, observer=lambda event: None)
    return str(caught.value)


@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_one_file(tmp_path, as_type):
    path = write_image(tmp_path / "a.png", GREEN)
    [frame], notices = read(as_type(path))
    assert notices == []
    assert (frame.image == filled(GREEN)).all()
    assert (frame.origin.path, frame.origin.name, frame.origin.index, frame.origin.count) == (path, "a.png", 0, 1)
    assert frame.origin.kind == "image"


def test_a_folder_gives_its_pictures_by_name_and_nothing_else(tmp_path):
    for name in ("b.JPG", "a.png", "c.bmp", ".hidden.png", "deep/z.png"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.jpg").mkdir()
    write_video(tmp_path / "bb.mp4", frames=2)
    assert names(tmp_path) == ["a.png", "b.JPG", "bb.mp4", "bb.mp4", "c.bmp"]


def test_a_glob_is_sorted_and_can_go_into_sub_folders(tmp_path):
    for name in ("b/2.jpg", "a/3.jpg", "a/1.jpg", "a/1.png"):
        write_image(tmp_path / name)
    assert names(f"{tmp_path}/a/*.jpg") == ["1.jpg", "3.jpg"]
    assert names(f"{tmp_path}/**/*.jpg") == ["1.jpg", "3.jpg", "2.jpg"]
    assert names(f"{tmp_path}/a/*") == ["1.jpg", "1.png", "3.jpg"]


def test_a_file_may_have_a_name_that_looks_like_a_glob(tmp_path):
    write_image(tmp_path / "a[1].png")
    assert names(tmp_path / "a[1].png") == ["a[1].png"]


def test_a_text_list_is_relative_to_its_folder_else_to_the_working_directory(tmp_path, monkeypatch):
    write_image(tmp_path / "lists" / "near.png")
    write_image(tmp_path / "work" / "far.png")
    absolute = write_image(tmp_path / "elsewhere" / "abs.png")
    monkeypatch.chdir(tmp_path / "work")
    list_file = tmp_path / "lists" / "all.txt"
    list_file.write_text(f"far.png\n\n./near.png\r\n{absolute}\n", encoding="utf-8")
    assert names(list_file) == ["far.png", "near.png", "abs.png"]


def test_a_text_list_may_begin_with_a_byte_order_mark(tmp_path):
    write_image(tmp_path / "a.png")
    (tmp_path / "all.txt").write_bytes(b"\xef\xbb\xbfa.png\r\n")
    assert names(tmp_path / "all.txt") == ["a.png"]


def test_a_list_keeps_its_order_and_mixes_kinds(tmp_path):
    path = write_image(tmp_path / "z.png", RED)
    array_bgr = filled(BLUE)[..., ::-1]
    frames, _ = read([path, array_bgr, (Image.fromarray(filled(GREEN)), str(path))])
    assert [frame.origin.name for frame in frames] == ["z.png", "image1.jpg", "image2.jpg", "z.png"]
    assert [tuple(frame.image[0, 0]) for frame in frames] == [RED, BLUE, GREEN, RED]
    assert [(frame.origin.index, frame.origin.count) for frame in frames] == [(n, 4) for n in range(4)]


@pytest.mark.parametrize(
    ("array", "expected_rgb"),
    [
        (np.full((4, 5, 3), (1, 2, 3), np.uint8), (3, 2, 1)),
        (np.full((4, 5, 4), (1, 2, 3, 0), np.uint8), (3, 2, 1)),
        (np.full((4, 5), 7, np.uint8), (7, 7, 7)),
        (np.full((4, 5, 1), 7, np.uint8), (7, 7, 7)),
        (np.full((5, 4, 3), (1, 2, 3), np.uint8).transpose(1, 0, 2), (3, 2, 1)),
    ],
    ids=["bgr", "bgra", "grey", "grey with a channel", "not contiguous"],
)
def test_arrays_are_bgr_as_opencv_reads_them(array, expected_rgb):
    [frame], _ = read(array)
    assert frame.image.shape == (4, 5, 3)
    assert (frame.image == expected_rgb).all()
    assert frame.origin.path is None


def test_an_array_is_copied(tmp_path):
    array = np.zeros((4, 5, 3), np.uint8)
    [frame], _ = read(array)
    array[:] = 9
    assert not frame.image.any()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 3), np.float32), "float32, but uint8"),
        (np.zeros((1, 3, 4, 5), np.uint8), "shape (1, 3, 4, 5)"),
        (np.zeros((3, 4, 5), np.uint8), "shape (3, 4, 5)"),
        (np.zeros((0, 5, 3), np.uint8), "shape (0, 5, 3)"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, words):
    with pytest.raises(DataError, match="image0") as caught:
        read(array)
    assert words in str(caught.value)


def test_pil_images_equal_their_files(tmp_path):
    random = np.random.default_rng(0)
    for mode, shape in {"RGB": (8, 9, 3), "L": (8, 9), "RGBA": (8, 9, 4), "LA": (8, 9, 2)}.items():
        path = tmp_path / f"{mode}.png"
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8), mode).save(path)
        [from_pil], _ = read(Image.open(path))
        assert (from_pil.image == images.decode(path)).all(), mode


def test_16_bit_pil_images_equal_their_files_and_are_not_clipped(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)).save(path)
    [from_pil], _ = read(Image.open(path))
    [from_file], _ = read(path)
    assert (from_pil.image == from_file.image).all()
    assert from_pil.image[..., 0].tolist() == np.arange(256).reshape(16, 16).tolist()


def test_files_and_pil_images_are_turned_upright_by_exif(tmp_path):
    path = tmp_path / "turned.jpg"
    stored = np.zeros((40, 80, 3), np.uint8)
    stored[:, :40] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right: the stored left is the upper end
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    for source in (path, Image.open(path)):
        [frame], _ = read(source)
        assert frame.image.shape == (80, 40, 3)
        assert frame.image[:30].min() > 200
        assert frame.image[50:].max() < 50


def test_grey_alpha_and_16_bit_files_become_rgb_bytes(tmp_path):
    cv2.imwrite(str(tmp_path / "1grey.png"), np.full((4, 5), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "2alpha.png"), np.full((4, 5, 4), (1, 2, 3, 128), np.uint8))
    cv2.imwrite(str(tmp_path / "3deep.png"), np.full((4, 5, 3), 0x8000, np.uint16))
    frames, _ = read(tmp_path)
    assert [tuple(frame.image[0, 0]) for frame in frames] == [(9, 9, 9), (3, 2, 1), (128, 128, 128)]
    assert all(frame.image.dtype == np.uint8 and frame.image.shape == (4, 5, 3) for frame in frames)


def test_a_video_gives_its_frames_in_order(tmp_path):
    path = write_video(tmp_path / "clip.mp4", frames=10, fps=10)
    frames, notices = read(path)
    assert notices == []
    assert [frame.origin.index for frame in frames] == list(range(10))
    assert {(f.origin.count, f.origin.fps, f.origin.kind, f.origin.path) for f in frames} == {(10, 10.0, "video", path)}
    assert [round(frame.image.mean() / 10) for frame in frames] == list(range(10))


def test_a_video_stride_keeps_the_frame_numbers_and_the_duration(tmp_path):
    frames, notices = read(write_video(tmp_path / "clip.mp4", frames=10, fps=12), vid_stride=4)
    assert notices == []
    assert [frame.origin.index for frame in frames] == [0, 4, 8]
    assert [round(frame.image.mean() / 10) for frame in frames] == [0, 4, 8]
    assert frames[0].origin.fps == 3.0


def test_a_video_that_ends_early_is_reported(tmp_path):
    # In an AVI of JPEGs the number of frames stands at the beginning, so half of the file claims all of them.
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    random = np.random.default_rng(0)
    for _ in range(20):
        writer.write(random.integers(0, 256, (240, 320, 3), dtype=np.uint8))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames, notices = read(path)
    assert 0 < len(frames) < 20
    assert len(notices) == 1
    assert f"20 frames, but only {len(frames)}" in notices[0]


def test_an_unreadable_picture_that_was_found_is_reported_left_out_and_counted(tmp_path):
    for name in "adz":
        write_image(tmp_path / f"{name}.png")
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    (tmp_path / "list.txt").write_text("a.png\nb.jpg\nc.mp4\nd.png\nz.png\n")
    for source in (tmp_path, tmp_path / "*.*", tmp_path / "list.txt"):
        frames, notices = read(source)
        assert [frame.origin.name for frame in frames] == ["a.png", "d.png", "z.png"]
        assert "b.jpg" in notices[0]
        assert "c.mp4" in notices[1]
        assert "2 of 5" in notices[2]


@pytest.mark.parametrize("name", ["bad.jpg", "bad.mp4"])
def test_an_unreadable_picture_that_was_named_is_an_error(tmp_path, name):
    good = write_image(tmp_path / "good.png")
    bad = tmp_path / name
    bad.write_bytes(b"nothing that can be decoded")
    for source in (bad, [good, bad]):
        with pytest.raises(DataError, match=name):
            read(source)


def test_when_nothing_found_can_be_read_it_is_an_error(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match="None of the 2 files"):
        read(tmp_path)


def test_a_disk_that_fails_is_never_a_picture_left_out(tmp_path, monkeypatch):
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")

    def failing(path, most_px):
        raise DataError(f"{path}: reading it failed")

    monkeypatch.setattr(sources, "decode_with_remark", failing)
    with pytest.raises(DataError, match="reading it failed"):
        read(tmp_path)


def test_missing_sources_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no such file or folder" in refusal("nowhere.jpg")
    assert "nowhere.jpg" in refusal(["nowhere.jpg"])
    (tmp_path / "empty").mkdir()
    assert "no images or videos" in refusal(tmp_path / "empty")
    assert "no image or video file matches" in refusal("*.jpg")
    assert "list of sources is empty" in refusal([])
    (tmp_path / "list.txt").write_text("\n")
    assert "the list is empty" in refusal("list.txt")
    (tmp_path / "list.txt").write_text("\ngone.jpg\n")
    assert "line 2" in refusal("list.txt")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refusal("list.txt")
    assert "longer than the file system takes" in refusal("a" * 5000)


def test_sources_of_the_wrong_kind_are_refused_with_what_would_do(tmp_path):
    import torch

    for source in (None, -3, True, 1.5, {"a": 1}, b"bytes"):
        assert "Give an image or video file" in refusal(source)
    assert "streams are opened by" in refusal("ftp://example.org/a")
    assert "fetch it first" in refusal("https://example.org/a.jpg")
    assert "fetch it first" in refusal("https://example.org/a.mp4?x=1")
    assert "secret" not in refusal("https://me:secret@example.org/a.jpg")
    assert "permute" in refusal(torch.zeros(3, 4, 5))


def test_the_way_from_a_tensor_that_the_refusal_names_is_right():
    import torch

    tensor = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 4, 5)  # red, RGB
    array = (tensor.flip(0).permute(1, 2, 0) * 255).byte().cpu().numpy()
    [frame], _ = read(array)
    assert (frame.image == RED).all()


def test_nothing_is_read_before_it_is_asked_for(tmp_path, monkeypatch):
    for number in range(5):
        write_image(tmp_path / f"{number}.png")
    opened = []

    def recording(path, most_px):
        opened.append(path.name)
        return images.decode_with_remark(path, most_px)

    monkeypatch.setattr(sources, "decode_with_remark", recording)
    frames = open_source(tmp_path, observer=lambda event: None)
    assert opened == []
    next(frames)
    next(frames)
    assert opened == ["0.png", "1.png"]


def test_what_a_folder_holds_besides_pictures_is_named(tmp_path: Path):
    for name in ("a.mpo", "b.jfif", "c.jpg"):
        (tmp_path / name).write_bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    for name in ("d.heic", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    events: list[Event] = []
    frames = list(open_source(tmp_path, observer=events.append))
    assert [frame.origin.name for frame in frames] == ["a.mpo", "b.jfif", "c.jpg"]
    (said,) = (event.text for event in events if isinstance(event, Notice))
    assert "1 of 6 files" in said
    assert "d.heic" in said
