"""A folder of many files has its name when all of it is there, and never takes that of another one."""

from __future__ import annotations

import errno
import os

import pytest

from peakmark.errors import MachineError, SettingsError
from peakmark.files.new_folder import NewFolder


def test_a_folder_is_there_when_it_is_whole(tmp_path):
    with NewFolder(tmp_path / "deep" / "new") as folder:
        folder.write("a/b.txt", b"one")
        assert not folder.target.exists()
        folder.publish()
    assert (tmp_path / "deep/new/a/b.txt").read_bytes() == b"one"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["new"]


def test_an_error_leaves_nothing(tmp_path):
    def fill() -> None:
        with NewFolder(tmp_path / "new") as folder:
            folder.write("a", b"one")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "full folder", "dead link"])
def test_nothing_is_written_over_neither_at_the_start_nor_at_the_end(tmp_path, kind):
    target = tmp_path / "new"

    def take() -> None:
        if kind == "file":
            target.write_text("mine")
        elif kind == "dead link":
            target.symlink_to(tmp_path / "nowhere")
        else:
            target.mkdir()
            (target / "mine").write_text("mine")

    def fill() -> None:
        with NewFolder(target) as folder:
            folder.write("a", b"one")
            take()
            folder.publish()

    with pytest.raises((SettingsError, MachineError)):
        fill()
    assert not (target / "a").exists()
    with pytest.raises(SettingsError, match="nothing is written over"):
        NewFolder(target)


def test_an_empty_folder_is_nothing(tmp_path):
    (tmp_path / "new").mkdir()
    with NewFolder(tmp_path / "new") as folder:
        folder.write("a", b"one")
        folder.publish()
    assert (tmp_path / "new/a").is_file()


def test_files_are_linked_copied_or_pointed_at(tmp_path, monkeypatch):
    source = tmp_path / "source.bin"
    source.write_bytes(b"picture")
    (tmp_path / "pointer").symlink_to(source)

    def made(name: str, how, file=source):
        with NewFolder(tmp_path / name) as folder:
            folder.place("x/y.bin", file, how)
            folder.publish()
        return tmp_path / name / "x/y.bin", folder.copied

    linked, _ = made("link", "link", tmp_path / "pointer")
    assert os.path.samefile(linked, source)
    assert not linked.is_symlink(), "of a link, the file that it leads to"
    copied, _ = made("copy", "copy")
    assert not os.path.samefile(copied, source)
    assert made("symlink", "symlink")[0].resolve() == source

    def refuse(*args):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    fallen_back, count = made("other disk", "link")
    assert (fallen_back.read_bytes(), count) == (b"picture", 1)
    assert source.read_bytes() == b"picture"
