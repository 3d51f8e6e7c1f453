"""What files take: each once, however many names it has."""

from __future__ import annotations

from peakmark.files.disk import bytes_in, free_bytes


def test_a_file_with_two_names_counts_once(tmp_path):
    (tmp_path / "one.pt").write_bytes(b"12345")
    (tmp_path / "other.pt").hardlink_to(tmp_path / "one.pt")
    (tmp_path / "third.pt").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    assert bytes_in(tmp_path) == 10


def test_where_there_is_nothing_nothing_is_taken(tmp_path):
    assert bytes_in(tmp_path / "none") == 0
    assert free_bytes(tmp_path) > 0
