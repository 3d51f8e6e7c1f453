"""Durable files: the whole new file or the whole old one, and a sentence where the disk says no."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from peakmark.errors import MachineError
from peakmark.files import durable


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if ".peakmark-part" in path.name]


def test_writes_replace_and_make_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    durable.write_text(path, "one\r\nä\n")
    assert path.read_bytes() == "one\r\nä\n".encode()
    durable.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert leftovers(tmp_path) == []


def test_a_written_file_is_readable_for_the_group_as_any_other(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    durable.write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_one_content_under_several_names(tmp_path):
    names = tmp_path / "best.pt", tmp_path / "other" / "epoch1.pt", tmp_path / "last.pt"
    durable.write_durably(names, lambda stream: stream.write(b"x" * 10))
    durable.copy(names[0], tmp_path / "copy.pt")
    for name in (*names, tmp_path / "copy.pt"):
        assert name.read_bytes() == b"x" * 10
        # As a careless `torch.save` onto a weights file does: it must spoil that one only.
        name.write_bytes(b"spoiled")


def test_names_of_one_file_are_written_apart_again(tmp_path):
    first, second = tmp_path / "last.pt", tmp_path / "best.pt"
    durable.write_durably((first, second), lambda stream: stream.write(b"best"))
    durable.write_bytes(first, b"newer")
    assert second.read_bytes() == b"best"
    durable.write_durably((second, first), lambda stream: stream.write(b"both"))
    assert first.read_bytes() == second.read_bytes() == b"both"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOTTY, errno.EXDEV, errno.EINVAL])
def test_where_nothing_can_be_shared_names_are_copies(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no clones here")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    targets = (tmp_path / "a", tmp_path / "b")
    durable.write_durably(targets, lambda stream: stream.write(b"x"))
    assert [target.read_bytes() for target in targets] == [b"x", b"x"]
    assert leftovers(tmp_path) == []


def test_what_can_be_shared_is_not_written_again(tmp_path, monkeypatch):
    """A stand-in for a disk that clones; the bytes are the system's matter, and that no second copy follows is ours."""
    cloned = []

    def clone(copy, request, source):
        assert request == 0x40049409
        cloned.append(os.pwrite(copy, os.pread(source, 100, 0), 0))

    monkeypatch.setattr(fcntl, "ioctl", clone)
    monkeypatch.setattr(shutil, "copyfileobj", lambda *_: pytest.fail("copied as well"))
    targets = (tmp_path / "a", tmp_path / "b")
    durable.write_durably(targets, lambda stream: stream.write(b"weights"))
    assert [target.read_bytes() for target in targets] == [b"weights", b"weights"]
    assert cloned == [len(b"weights")]


def test_a_full_disk_is_no_reason_to_copy_instead(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    with pytest.raises(MachineError, match="Free some space"):
        durable.write_durably((tmp_path / "a", tmp_path / "b"), lambda stream: stream.write(b"x"))
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_reads_back_wrong_gets_no_name(tmp_path):
    checked = []

    def refuse_the_second(staged: Path) -> None:
        checked.append(staged)
        if len(checked) == 2:
            raise MachineError("the disk is failing")

    (tmp_path / "best.pt").write_bytes(b"old")
    targets = (tmp_path / "best.pt", tmp_path / "last.pt")
    with pytest.raises(MachineError, match="failing"):
        durable.write_durably(targets, lambda stream: stream.write(b"new"), refuse_the_second)
    assert (tmp_path / "best.pt").read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_a_failed_check_changes_no_name(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def refuse(staged: Path) -> None:
        assert staged.read_bytes() == b"new"
        raise ValueError("not what it should be")

    with pytest.raises(ValueError, match="not what it should be"):
        durable.write_durably((target,), lambda stream: stream.write(b"new"), refuse)
    assert target.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_publish_takes_a_file_that_someone_else_wrote(tmp_path):
    staged = durable.stage(tmp_path / "new" / "video.mp4")
    staged.write_bytes(b"frames")
    durable.publish(staged, tmp_path / "new" / "video.mp4")
    assert (tmp_path / "new" / "video.mp4").read_bytes() == b"frames"
    assert not staged.exists()


@pytest.mark.parametrize("name", ["n" * 250, "ä" * 120 + ".pt", "a." + "b" * 240, ".hidden", "no suffix."])
def test_any_name_can_be_staged(tmp_path, name):
    path = tmp_path / name
    durable.write_bytes(path, b"x")
    assert path.read_bytes() == b"x"
    durable.stage(path).write_bytes(b"torn")
    assert len(durable.clean_leftovers(tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_staged_name_ends_as_its_target_does(tmp_path):
    assert durable.stage(tmp_path / "street.mp4").suffix == ".mp4"


def test_leftovers_are_found_and_nothing_else(tmp_path):
    durable.stage(tmp_path / "best.pt").write_bytes(b"torn")
    (tmp_path / "best.pt").write_bytes(b"good")
    (tmp_path / ".hidden").write_bytes(b"mine")
    assert len(durable.clean_leftovers(tmp_path)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "best.pt"]


def test_append_line_closes_a_torn_line(tmp_path):
    path = tmp_path / "logs" / "journal"
    durable.append_line(path, "one")
    durable.append_line(path, "two")
    with open(path, "ab") as stream:
        stream.write(b'{"torn')
    durable.append_line(path, "three")
    assert path.read_text().splitlines() == ["one", "two", '{"torn', "three"]
    with pytest.raises(ValueError, match="one line"):
        durable.append_line(path, "a\nb")


def test_remove_is_content_with_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    durable.remove(path)
    durable.remove(path)
    durable.remove(tmp_path / "no folder" / "file")
    assert not path.exists()


def test_too_little_space_is_said_before_writing(tmp_path, monkeypatch):
    class Usage:
        free = 3_000_000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(MachineError, match=r"has 3\.0 MB free, but 2\.5 MB are to be written.*another disk"):
        durable.write_durably((tmp_path / "f",), lambda stream: None, expected_bytes=2_500_000)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder_is_a_sentence(tmp_path):
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(MachineError, match=r"Can't write .*f: .*choose another path"):
        durable.write_bytes(tmp_path / "runs" / "detect" / "f", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MachineError, match="There is a folder of this name"):
        durable.write_bytes(tmp_path / "folder", b"x")
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write_is_a_sentence(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(MachineError, match="Give yourself the right"):
            durable.write_bytes(tmp_path / "f", b"x")
    finally:
        tmp_path.chmod(0o700)
