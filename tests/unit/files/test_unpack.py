"""Archives of strangers: plain files come out whole; what leads elsewhere, is no file, or swells is refused."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from peakmark.errors import DataError, PeakmarkError
from peakmark.files import unpack as module
from peakmark.files.new_folder import NewFolder
from peakmark.files.unpack import unpack

MOST = 10_000_000


def unpacked(archive: Path, target: Path, most_bytes: int = MOST) -> dict[str, bytes]:
    with NewFolder(target) as folder:
        unpack(archive, folder, most_bytes=most_bytes)
        folder.publish()
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def zip_of(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def tar_of(path: Path, *members: tuple[str, bytes | None, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return path


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_plain_files_and_folders_come_out_as_they_were(tmp_path, ending):
    files = {"a/b.txt": b"one", "c.bin": bytes(range(256)) * 100, "empty": b""}
    archive = tmp_path / f"x{ending}"
    if ending == ".zip":
        zip_of(archive, ("a/", b""), *files.items())
    else:
        kinds = [("a", None, tarfile.DIRTYPE), *((name, content, tarfile.REGTYPE) for name, content in files.items())]
        tar_of(archive, *kinds, mode=f"w:{ending[5:]}")
    assert unpacked(archive, tmp_path / "out") == files


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zip up": (lambda path: zip_of(path, ("../x", b"")), "leads out"),
    "zip up inside": (lambda path: zip_of(path, ("a/../../x", b"")), "leads out"),
    "zip root": (lambda path: zip_of(path, ("/x", b"")), "leads out"),
    "zip windows": (lambda path: zip_of(path, ("..\\x", b"")), "leads out"),
    "zip drive": (lambda path: zip_of(path, ("C:/x", b"")), "leads out"),
    "zip folder up": (lambda path: zip_of(path, ("../x/", b"")), "leads out"),
    "zip long name": (lambda path: zip_of(path, ("x" * 300, b"")), "leads out"),
    "zip link": (lambda path: zip_of(path, (_link(), b"/etc/passwd")), "link or a device"),
    "zip bomb": (lambda path: zip_of(path, ("x", bytes(40_000_000))), "swells"),
    "zip of too much": (lambda path: zip_of(path, *((f"{n}", bytes(4_000_000)) for n in range(3))), "swells"),
    "zip twice": (lambda path: zip_of(path, ("./x", b"1"), ("x", b"2")), "there twice"),
    "zip file as folder": (lambda path: zip_of(path, ("x", b"1"), ("x/y", b"2")), "x/y"),
    "tar up": (lambda path: tar_of(path, ("../x", b"1", tarfile.REGTYPE)), "leads out"),
    "tar link": (lambda path: tar_of(path, ("x", None, tarfile.SYMTYPE)), "link or a device"),
    "tar hard link": (lambda path: tar_of(path, ("x", None, tarfile.LNKTYPE)), "link or a device"),
    "tar device": (lambda path: tar_of(path, ("x", None, tarfile.CHRTYPE)), "link or a device"),
    "tar pipe": (lambda path: tar_of(path, ("x", None, tarfile.FIFOTYPE)), "link or a device"),
    "tar bomb": (lambda path: tar_of(path, ("x", bytes(40_000_000), tarfile.REGTYPE)), "swells"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_could_do_harm_is_refused_and_nothing_stays(case, tmp_path):
    make, words = BAD[case]
    archive = make(tmp_path / "x.zip")
    with pytest.raises(PeakmarkError, match=words):
        unpacked(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive_is_named(content, tmp_path):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip"):
        unpacked(tmp_path / "x.zip", tmp_path / "out")


def test_a_damaged_archive_is_named_and_leaves_nothing(tmp_path):
    archive = zip_of(tmp_path / "x.zip", ("a", bytes(range(256)) * 1000))
    content = bytearray(archive.read_bytes())
    content[200:240] = bytes(40)
    archive.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        unpacked(archive, tmp_path / "out")
    tar = tar_of(tmp_path / "y.tar.gz", ("a", bytes(range(256)) * 1000, tarfile.REGTYPE))
    tar.write_bytes(tar.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"y\.tar\.gz"):
        unpacked(tar, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_text_that_shrinks_well_is_no_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FREE_TO_SWELL", 1000)
    lines = b"".join(b"%d 0.5 0.5 0.25 0.25\n" % (n % 80) for n in range(20_000))
    assert unpacked(zip_of(tmp_path / "x.zip", ("labels.txt", lines)), tmp_path / "out") == {"labels.txt": lines}
