"""Fetching files: whole and the one that was meant, or not at all; what was cut off goes on; nothing but https."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web_server import WebServer

from peakmark.errors import MachineError
from peakmark.files import download
from peakmark.files.download import check_address, fetch
from peakmark.files.durable import PartialFile

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MOST = 10_000_000


@pytest.fixture
def web(monkeypatch) -> Iterator[WebServer]:
    monkeypatch.setattr(download, "_FIRST_PAUSE_S", 0.001)
    with WebServer().running() as server:
        yield server


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_whole_with_its_digest_and_its_progress(web, tmp_path):
    told: list[tuple[int, int | None]] = []
    found = fetch(
        web.put("/a.bin", CONTENT),
        tmp_path / "new" / "a.bin",
        sha256=DIGEST.upper(),
        most_bytes=MOST,
        progress=lambda done, total: told.append((done, total)),
    )
    assert found == DIGEST
    assert (tmp_path / "new" / "a.bin").read_bytes() == CONTENT
    assert names_in(tmp_path / "new") == ["a.bin"]
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_an_empty_file_and_one_of_unknown_length_come_whole(web, tmp_path):
    assert fetch(web.put("/e", b""), tmp_path / "e", most_bytes=0) == hashlib.sha256().hexdigest()
    assert fetch(web.put("/u", CONTENT, says_length=False), tmp_path / "u", most_bytes=MOST) == DIGEST


def test_a_connection_that_ends_is_taken_up_where_it_ended(web, tmp_path):
    url = web.put("/a", CONTENT, cuts=[100_000, 300_000, 1])
    assert fetch(url, tmp_path / "a", most_bytes=MOST) == DIGEST
    assert [asked for _, asked in web.asked] == [None, "bytes=100000-", "bytes=400000-", "bytes=400001-"]


def test_a_server_that_is_busy_is_asked_again_and_one_that_says_no_is_not(web, tmp_path):
    assert fetch(web.put("/a", CONTENT, statuses=[503, 429]), tmp_path / "a", most_bytes=MOST) == DIGEST
    with pytest.raises(MachineError, match="the server says 404"):
        fetch(f"{web.address}/none", tmp_path / "n", most_bytes=MOST)
    assert [path for path, _ in web.asked] == ["/a", "/a", "/a", "/none"]
    with pytest.raises(MachineError, match="503"):
        fetch(web.put("/b", CONTENT, statuses=[503] * 9), tmp_path / "b", most_bytes=MOST)
    assert [path for path, _ in web.asked].count("/b") == 5


def cut_off(web: WebServer, target: Path, **how: object) -> str:
    """A fetch that brings 1,000 bytes and is then given up."""
    url = web.put("/a", CONTENT, cuts=[1000, 0, 0, 0, 0, 0, 0], **how)
    with pytest.raises(MachineError, match="can't be fetched"):
        fetch(url, target, most_bytes=MOST)
    web.pages["/a"].cuts.clear()
    web.asked.clear()
    return url


def test_a_later_call_goes_on_where_an_earlier_one_was_given_up(web, tmp_path):
    url = cut_off(web, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert fetch(url, tmp_path / "a", most_bytes=MOST) == DIGEST
    assert web.asked == [("/a", "bytes=1000-")]
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("how", [{"tag": None}, {"tag": 'W/"weak"'}, {"ranges": False}])
def test_where_nothing_says_that_the_content_is_the_same_all_of_it_comes_again(web, tmp_path, how):
    url = cut_off(web, tmp_path / "a", **how)
    assert fetch(url, tmp_path / "a", most_bytes=MOST) == DIGEST
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_not_joined_to_what_it_was(web, tmp_path):
    url = cut_off(web, tmp_path / "a")
    web.put("/a", CONTENT[::-1], tag='"two"')
    fetch(url, tmp_path / "a", most_bytes=MOST)
    assert (tmp_path / "a").read_bytes() == CONTENT[::-1]


def test_what_another_address_left_is_not_added_to(web, tmp_path):
    cut_off(web, tmp_path / "a")
    fetch(web.put("/b", CONTENT[::-1]), tmp_path / "a", most_bytes=MOST)
    assert (tmp_path / "a").read_bytes() == CONTENT[::-1]


def test_a_part_that_was_damaged_on_the_disk_is_seen_and_not_kept(web, tmp_path):
    url = cut_off(web, tmp_path / "a")
    with PartialFile(tmp_path / "a") as part:
        damaged = part.path
    damaged.write_bytes(b"x" * 1000)
    with pytest.raises(MachineError, match="another file than was asked for"):
        fetch(url, tmp_path / "a", sha256=DIGEST, most_bytes=MOST)
    assert not (tmp_path / "a").exists()
    assert fetch(url, tmp_path / "a", sha256=DIGEST, most_bytes=MOST) == DIGEST


def test_another_digest_leaves_what_was_there(web, tmp_path):
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(MachineError, match=f"its SHA-256 is {DIGEST}, not {'0' * 64}"):
        fetch(web.put("/a", CONTENT), tmp_path / "a", sha256="0" * 64, most_bytes=MOST)
    assert (tmp_path / "a").read_bytes() == b"before"
    with pytest.raises(MachineError, match="64 hexadecimal digits"):
        fetch(web.put("/a", CONTENT), tmp_path / "a", sha256="0" * 63, most_bytes=MOST)


@pytest.mark.parametrize("says_length", [True, False])
def test_more_than_is_expected_is_not_kept(web, tmp_path, says_length):
    url = web.put("/a", CONTENT, says_length=says_length)
    with pytest.raises(MachineError, match="larger than 1 MB"):
        fetch(url, tmp_path / "a", most_bytes=len(CONTENT) - 1)
    assert not (tmp_path / "a").exists()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1000


def test_two_processes_do_not_write_the_same_file(web, tmp_path):
    with PartialFile(tmp_path / "a"), pytest.raises(MachineError, match="another process"):
        fetch(web.put("/a", CONTENT), tmp_path / "a", most_bytes=MOST)


def test_redirects_are_followed_and_only_to_where_a_file_may_come_from(web, tmp_path):
    web.put("/a", CONTENT)
    assert fetch(web.put("/moved", redirects_to="/a"), tmp_path / "a", most_bytes=MOST) == DIGEST
    for elsewhere in ("file:///etc/passwd", "http://example.org/a", "ftp://127.0.0.1/a"):
        with pytest.raises(MachineError, match=r"not encrypted|no address|is not allowed"):
            fetch(web.put("/moved", redirects_to=elsewhere), tmp_path / "b", most_bytes=MOST)
    with pytest.raises(MachineError):
        fetch(web.put("/loop", redirects_to="/loop"), tmp_path / "b", most_bytes=MOST)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.org/a", "not encrypted"),
        ("file:///etc/passwd", "no address"),
        ("ftp://example.org/a", "no address"),
        ("https:///a", "no address"),
        ("a.zip", "no address"),
        ("https://user:secret@example.org/a", "a name or password"),
        ("https://example.org:99999/a", "no address"),
        ("https://example.org/a b", "no address"),
        ("https://example.org/a\r\nHost: b", "no address"),
    ],
)
def test_an_address_that_nothing_is_fetched_from_is_refused(url, words):
    with pytest.raises(MachineError, match=words) as error:
        check_address(url)
    assert "secret" not in str(error.value)


def test_what_may_be_a_key_is_neither_shown_nor_stored(web, tmp_path):
    web.put("/a?token=secret", CONTENT, cuts=[1000, 0, 0, 0, 0, 0])
    with pytest.raises(MachineError) as error:
        fetch(f"{web.address}/a?token=secret", tmp_path / "a", most_bytes=MOST)
    assert "secret" not in str(error.value)
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_disk_that_refuses_is_not_taken_for_the_connection(web, tmp_path, monkeypatch):
    def full(part: PartialFile, data: bytes) -> None:
        raise MachineError("Can't write: no space left on device")

    monkeypatch.setattr(PartialFile, "append", full)
    with pytest.raises(MachineError, match="no space"):
        fetch(web.put("/a", CONTENT), tmp_path / "a", most_bytes=MOST)
    assert len(web.asked) == 1
