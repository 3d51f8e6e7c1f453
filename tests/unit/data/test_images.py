"""Do images come out upright, in RGB, and whole or not at all?"""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from peakmark.data.images import (
    IMAGE_SUFFIXES,
    UnreadableImageError,
    decode,
    decode_with_remark,
    decode_with_time,
    probe,
)
from peakmark.deploy.predict import _MOST_BYTES_HELD
from peakmark.errors import DataError
from peakmark.settings.description import describe
from peakmark.settings.fields import AuditSettings, PredictSettings, Settings
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS

RED_LEFT = np.zeros((20, 40, 3), np.uint8)
RED_LEFT[:, :20] = (200, 10, 10)
RED_LEFT[:, 20:] = (10, 10, 200)


def _save(file: Path, **options: object) -> Path:
    Image.fromarray(RED_LEFT).save(file, **options)  # type: ignore[arg-type]
    return file


def test_colours_are_rgb(tmp_path: Path):
    np.testing.assert_array_equal(decode(_save(tmp_path / "a.png")), RED_LEFT)


@pytest.mark.parametrize("name", ["ä ö \U0001f40d.png", "caf\udce9.png"])
def test_any_file_name(tmp_path: Path, name: str):
    # The second name is a byte of Windows-1252 on a disk that expects UTF-8.
    file = tmp_path / name
    file.write_bytes(_save(tmp_path / "plain.png").read_bytes())
    assert decode(file).shape == (20, 40, 3)


def test_when_an_image_was_taken(tmp_path: Path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 12:34:56"
    exif[0x0132] = "2025:01:01 00:00:00"  # when it was edited
    assert decode_with_time(_save(tmp_path / "a.jpg", exif=exif))[1] == datetime(2024, 5, 6, 12, 34, 56)
    exif.get_ifd(0x8769)[0x9003] = "    :  :     :  :  "  # what some cameras write before their clock is set
    assert decode_with_time(_save(tmp_path / "b.jpg", exif=exif))[1] is None
    assert decode_with_time(_save(tmp_path / "c.jpg"))[1] is None


@pytest.mark.parametrize("verify", ["full", "fast"])
def test_exif_orientation_is_honoured(tmp_path: Path, verify: str):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: to be shown a quarter turn clockwise
    file = _save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = decode(file)
    assert image.shape == (40, 20, 3)
    assert image[5, 10, 0] > 150, "red was left, so it is on top now"
    facts = probe(file, verify)  # type: ignore[arg-type]
    assert (facts.width_px, facts.height_px) == (20, 40)


def test_grey_becomes_three_equal_channels(tmp_path: Path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), np.dstack([grey] * 3))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path, suffix: str):
    grey = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    file = tmp_path / f"a{suffix}"
    file.write_bytes(cv2.imencode(suffix, grey)[1].tobytes())
    np.testing.assert_array_equal(decode(file), np.dstack([grey >> 8] * 3))


def test_alpha_is_left_out(tmp_path: Path):
    alpha = np.full((20, 40, 1), 7, np.uint8)
    Image.fromarray(np.concatenate([RED_LEFT, alpha], axis=2)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), RED_LEFT)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm"])
@pytest.mark.parametrize("share", [0.999, 0.9, 0.5, 0.05, 0])
@pytest.mark.parametrize("verify", ["full", "fast"])
def test_a_cut_file_is_no_image(
    tmp_path: Path, write_image: Callable[..., None], suffix: str, share: float, verify: str
):
    file = tmp_path / f"a{suffix}"
    write_image(file, width_px=200, height_px=150)
    data = file.read_bytes()
    probe(file, verify)  # type: ignore[arg-type]
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnreadableImageError, match="replace the file"):
        probe(file, verify)  # type: ignore[arg-type]


def test_a_jpeg_with_a_thumbnail_is_cut_all_the_same(tmp_path: Path):
    thumbnail = io.BytesIO()
    Image.fromarray(RED_LEFT).save(thumbnail, "JPEG")
    file = _save(tmp_path / "a.jpg", exif=b"Exif\0\0" + thumbnail.getvalue())
    assert decode(file).shape == (20, 40, 3)
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode(file)


def test_odd_but_whole_jpegs_are_taken(tmp_path: Path):
    data = _save(tmp_path / "a.jpg").read_bytes()
    filled = data[:2] + b"\xff\xff" + data[2:]  # filling bytes before a marker are allowed
    (tmp_path / "b.jpg").write_bytes(filled)
    np.testing.assert_array_equal(decode(tmp_path / "b.jpg"), decode(tmp_path / "a.jpg"))


@pytest.mark.parametrize("verify", ["full", "fast"])
def test_bytes_after_the_end_do_no_harm(tmp_path: Path, verify: str):
    file = _save(tmp_path / "a.jpg")
    file.write_bytes(file.read_bytes() + bytes(100_000))  # phones append a video
    assert probe(file, verify).width_px == 40  # type: ignore[arg-type]


def test_a_zeroed_end_is_found_by_a_quick_look(tmp_path: Path, write_image: Callable[..., None]):
    file = tmp_path / "a.jpg"
    write_image(file, width_px=600, height_px=400)
    data = file.read_bytes()
    file.write_bytes(data[:-80_000] + bytes(80_000))
    with pytest.raises(UnreadableImageError):
        probe(file, "fast")


def test_missing_file_folder_and_text(tmp_path: Path):
    with pytest.raises(UnreadableImageError, match="no such file"):
        decode(tmp_path / "none.png")
    with pytest.raises(UnreadableImageError, match="is a directory"):
        decode(tmp_path)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UnreadableImageError, match="not an image"):
        decode(tmp_path / "text.png")


def test_a_stumbling_disk_is_not_the_images_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(DataError, match="check the disk") as caught:
        decode(tmp_path / "a.png")
    assert not isinstance(caught.value, UnreadableImageError)


def test_digest_follows_the_content_only(tmp_path: Path):
    first = _save(tmp_path / "a.png")
    second = tmp_path / "b.png"
    second.write_bytes(first.read_bytes())
    for verify in ("full", "fast"):
        assert probe(first, verify) == probe(second, verify)
    assert probe(first, "full").digest != probe(first, "fast").digest


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_jpeg_has_the_very_pixels_that_opencv_gives(tmp_path: Path, orientation: int, subsampling: str):
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise = cv2.resize(np.random.default_rng(0).integers(0, 255, (9, 12, 3), dtype=np.uint8), (97, 61))
    file = tmp_path / "a.jpg"
    Image.fromarray(noise).save(file, exif=exif, subsampling=subsampling)
    by_opencv = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
    assert by_opencv is not None
    np.testing.assert_array_equal(decode(file), by_opencv[:, :, ::-1])


def _with_a_hole(file: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    data = bytearray(cv2.imencode(".jpg", noise)[1].tobytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    file.write_bytes(bytes(data))
    return file


def test_a_damaged_jpeg_is_remarked_and_says_nothing_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    file = _with_a_hole(tmp_path / "a.jpg")
    image, remark = decode_with_remark(file)
    assert image.shape == (120, 160, 3)
    assert remark.startswith("damaged (")
    assert "Corrupt JPEG" not in remark
    assert probe(file, "full").remark == remark
    assert capfd.readouterr() == ("", "")


def test_a_damaged_png_is_refused_and_says_nothing_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    file = _save(tmp_path / "a.png")
    data = bytearray(file.read_bytes())
    data[data.index(b"IDAT") + 12] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(UnreadableImageError, match="its part IDAT has another checksum"):
        decode(file)
    assert capfd.readouterr() == ("", "")


def test_an_avif_is_turned_upright(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decode(_save(tmp_path / "a.avif", exif=exif))
    assert image.shape == (40, 20, 3)
    assert image[5, 10, 0] > 150, "red was left, so it is on top now"


def test_alpha_of_a_tiff_darkens_nothing(tmp_path: Path):
    alpha = np.full((20, 40, 1), 7, np.uint8)
    Image.fromarray(np.concatenate([RED_LEFT, alpha], axis=2)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif"), RED_LEFT)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "PNG"])
def test_of_several_frames_the_first_is_taken_and_it_is_said(tmp_path: Path, kind: str):
    frames = [Image.new("RGB", (16, 12), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    file = tmp_path / f"a.{kind.lower()}"
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    image, remark = decode_with_remark(file)
    assert image[5, 5, 0] > 150
    assert "of which the first is taken" in remark
    assert decode_with_remark(_save(tmp_path / f"b.{kind.lower()}"))[1] == ""


def test_twelve_bits_in_sixteen_are_said(tmp_path: Path):
    grey = np.arange(0, 4096, 4, dtype=np.uint16).reshape(32, 32)
    for factor, said in ((1, True), (16, False)):
        (tmp_path / "a.png").write_bytes(cv2.imencode(".png", grey * factor)[1].tobytes())
        assert ("nearly black" in probe(tmp_path / "a.png", "full").remark) is said


def _png_of_one_bit(file: Path, side_px: int) -> Path:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side_px + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(side_px)) + packer.flush()
    head = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return file


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("verify", ["full", "fast"])
def test_a_picture_of_too_many_pixels_is_refused_before_it_costs_memory(tmp_path: Path, kind: str, verify: str):
    file = tmp_path / f"a.{kind}"
    if kind == "png":
        _png_of_one_bit(file, 30_000)
    else:
        data = bytearray(_save(file).read_bytes())
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 30_000, 30_000)
        file.write_bytes(bytes(data))
    script = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from peakmark.data.images import UnreadableImageError, probe\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    probe(Path(sys.argv[1]), sys.argv[2])\n"
        "except UnreadableImageError as error:\n    print(error.reason)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file), verify], capture_output=True, text=True, timeout=60, check=True
    )
    reason, grown_mib = done.stdout.splitlines()
    assert "900,000,000 px" in reason
    assert int(grown_mib) < 100


@pytest.mark.parametrize("verify", ["full", "fast"])
def test_a_pipe_is_no_image_and_is_not_waited_for(tmp_path: Path, verify: str):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImageError, match="a pipe or a device"):
        probe(tmp_path / "a.jpg", verify)  # type: ignore[arg-type]


@pytest.mark.parametrize("side_px", [13_400, 14_200, 30_000])
def test_the_limit_holds_for_formats_whose_header_pillow_reads(tmp_path, side_px):
    """Pillow refuses above a limit of its own, and not with an error that says how large an image is."""
    head = struct.pack("<2sIHHI", b"BM", 54 + 64, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, side_px, side_px, 1, 24, 0, 0, 2835, 2835, 0, 0)
    (tmp_path / "a.bmp").write_bytes(head + info + bytes(64))
    with pytest.raises(UnreadableImageError) as caught:
        decode(tmp_path / "a.bmp")
    assert ("more than the" in caught.value.reason) == (side_px**2 > MAX_IMAGE_PIXELS)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".avif", ".bmp", ".gif", ".jp2", ".ppm", ".png"])
def test_the_limit_of_pillow_is_not_ours(tmp_path, monkeypatch, suffix):
    """It holds for the whole process; an image beyond it would come out lying on its side, without a word."""
    pixels = np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    turns = suffix in (".jpg", ".tif", ".avif", ".png")
    options: dict[str, Any] = {"exif": exif} if turns else {}
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **options)
    with monkeypatch.context() as patched:
        patched.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        limited = decode(tmp_path / f"a{suffix}")
    assert limited.shape == ((150, 100, 3) if turns else (100, 150, 3))
    assert np.array_equal(limited, decode(tmp_path / f"a{suffix}"))


def test_a_webp_that_pillow_does_not_open_is_no_image_and_no_traceback(tmp_path, monkeypatch):
    Image.new("RGB", (100, 150)).save(tmp_path / "a.webp")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImageError, match="more than Pillow opens of its format"):
        decode(tmp_path / "a.webp")


def test_the_docs_name_what_is_read():
    page = (Path(__file__).parents[3] / "docs/how-it-works.md").read_text(encoding="utf-8")
    section = page[page.index("**Which pictures are read.**") : page.index("**Rows of other tasks.**")]
    named = section[: section.index("Files of other kinds")]
    assert set(re.findall(r"`(\.\w+)`", named)) == IMAGE_SUFFIXES
    assert f"over {MAX_IMAGE_PIXELS:,} px" in section
    for kind in (Settings, PredictSettings, AuditSettings):
        assert describe(kind)["max_image_pixels"].default == str(MAX_IMAGE_PIXELS)
    assert f"over {_MOST_BYTES_HELD // 2**20} MiB" in section


def test_a_damaged_header_of_a_jpeg_makes_it_unreadable_and_nothing_else(tmp_path: Path):
    """The library below looks up what a header says in tables of its own, and what isn't there is a KeyError."""
    file, rng = tmp_path / "a.jpg", np.random.default_rng(0)
    whole = _save(tmp_path / "b.jpg").read_bytes()
    for number in range(300):
        data = bytearray(whole)
        for place in rng.integers(2, 700 if number % 2 else 40, 1 + number % 5):
            data[min(place, len(data) - 3)] = rng.integers(256)
        file.write_bytes(data)
        with contextlib.suppress(UnreadableImageError):
            assert decode(file).shape[2] == 3
    file.write_bytes(b"\xff\xd8 this is no JPEG \xff\xd9")
    with pytest.raises(UnreadableImageError):
        decode(file)
