"""Data come from the web only with consent, whole, and as what they are; programs in a data.yaml are never run."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.web_server import WebServer

from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.data.web import known_sets
from peakmark.data.web.known_sets import COCO_CLASSES, KNOWN_SETS
from peakmark.errors import DataError, MachineError
from peakmark.files import download

PICTURE = cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes()


def archive(top: str = "set/", splits: tuple[str, ...] = ("images/train", "images/val")) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for split in splits:
            opened.writestr(f"{top}{split}/a.png", PICTURE)
            opened.writestr(f"{top}{split.replace('images', 'labels')}/a.txt", "0 .5 .5 .5 .5\n")
    return content.getvalue()


@pytest.fixture
def web(monkeypatch, tmp_path) -> Iterator[WebServer]:
    monkeypatch.setattr(download, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    with WebServer().running() as server:
        yield server


def data_yaml(folder: Path, where: Any, path: str = "") -> Path:
    file = folder / "set.yaml"
    text = f"{f'path: {path}' if path else ''}\ntrain: images/train\nval: images/val\nnames: [cat]\ndownload: {where}\n"
    file.write_text(text)
    return file


@pytest.mark.parametrize("top", ["set/", ""])
@pytest.mark.parametrize("path", ["", "datasets/set"])
def test_data_are_fetched_once_with_consent_and_read(web, tmp_path, top, path):
    url = web.put("/set.zip", archive(top))
    file = data_yaml(tmp_path, url, path)
    with pytest.raises(
        DataError, match=r"nothing is fetched unasked: write download=True to fetch http://127\.0\.0\.1"
    ):
        read_dataset(file, download=False)
    assert web.asked == []
    told: list[tuple[int, int]] = []
    spec = read_dataset(file, download=True, watch=lambda what: lambda done, of: told.append((done, of)))
    assert len(build_index(spec, "train")) == len(build_index(spec, "val")) == 1
    assert told[-1][0] == told[-1][1]
    # What is here is not asked about again.
    assert read_dataset(file) == spec
    assert len(web.asked) == 1
    assert not list((tmp_path / "cache/datasets").glob("*-archives"))
    assert not (tmp_path / "images").exists(), "nothing is written beside the user's files"


def test_data_that_are_here_are_never_fetched(web, tmp_path):
    file = data_yaml(tmp_path, web.put("/set.zip", archive()))
    (tmp_path / "images/train").mkdir(parents=True)
    assert read_dataset(file, download=True).root == tmp_path
    assert web.asked == []


def test_consent_is_asked_at_a_terminal_only_and_only_yes_is_yes(web, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    file = data_yaml(tmp_path, web.put("/set.zip", archive()))
    said = Terminal()
    monkeypatch.setattr(sys, "stderr", said)
    for answer in ("", "n\n", "nyes\n", "\n"):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        with pytest.raises(DataError, match="nothing is fetched unasked"):
            read_dataset(file, download=False)
    assert "Fetch http://127.0.0.1" in said.getvalue()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    with pytest.raises(DataError, match="once all else is right"):
        read_dataset(file)  # who asks in nobody's name is not answered
    assert web.asked == []
    assert len(list(read_dataset(file, download=False).splits)) == 2


def test_the_digest_is_checked_and_a_wrong_one_leaves_nothing(web, tmp_path):
    content = archive()
    digest = hashlib.sha256(content).hexdigest()
    url = web.put("/set.zip", content)
    with pytest.raises(MachineError, match="another file than was asked for"):
        read_dataset(data_yaml(tmp_path, f"{{url: '{url}', sha256: '{'0' * 64}'}}"), download=True)
    assert not list((tmp_path / "cache").rglob("*.png"))
    assert read_dataset(data_yaml(tmp_path, f"{{url: '{url}', sha256: '{digest}'}}"), download=True).names == ("cat",)


def test_a_fetch_that_was_cut_off_goes_on_at_the_next_call(web, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_TRIES", 1)
    content = archive()
    url = web.put("/set.zip", content, cuts=[100])
    file = data_yaml(tmp_path, url)
    with pytest.raises(MachineError, match=r"the next call goes on from there.*no network: fetch it on another one"):
        read_dataset(file, download=True)
    read_dataset(file, download=True)
    assert [asked for _, asked in web.asked] == [None, "bytes=100-"]


def test_an_archive_that_was_put_in_its_place_is_taken_and_a_broken_one_is_fetched_anew(web, tmp_path):
    file = data_yaml(tmp_path, f"{web.address}/set.zip")
    with pytest.raises(MachineError, match="fetch it yourself to") as refused:
        read_dataset(file, download=True)
    place = Path(str(refused.value).partition("fetch it yourself to ")[2].partition(". Where")[0])
    place.write_bytes(b"broken")
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        read_dataset(file, download=True)
    place.write_bytes(archive())
    assert set(read_dataset(file, download=True).splits) == {"train", "val"}
    assert len(web.asked) == 1


def test_several_archives_fill_one_folder(web, tmp_path):
    one, two = web.put("/a.zip", archive("", ("images/train",))), web.put("/b.zip", archive("", ("images/val",)))
    spec = read_dataset(data_yaml(tmp_path, f"['{one}', '{two}']"), download=True)
    assert [len(build_index(spec, split)) for split in ("train", "val")] == [1, 1]


@pytest.mark.parametrize(
    "program",
    [
        "bash data/scripts/get_coco.sh",
        "|\n  import os\n  os.system('touch ran')",
        "|\n  from x import y\n  y()",
        "curl x",
    ],
)
def test_a_program_in_a_data_yaml_is_said_and_never_run(tmp_path, program, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images/train").mkdir(parents=True)
    spec = read_dataset(data_yaml(tmp_path, program), download=True)
    assert any("is a program, which is never run" in note for note in spec.notes)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("ftp://x/y.zip", "must be the address of an archive"),
        ("7", "must be the address of an archive"),
        ("[1, https://x/y.zip]", "must be the address of an archive"),
        ("{url: https://x/y.zip, sha256: 12}", "64 hexadecimal digits"),
        ("{sha256: a}", "must be the address of an archive"),
    ],
)
def test_what_is_no_address_is_refused(tmp_path, where, words):
    with pytest.raises(DataError, match=words):
        read_dataset(data_yaml(tmp_path, where), download=True)


def test_an_address_without_encryption_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PEAKMARK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MachineError, match="not encrypted"):
        read_dataset(data_yaml(tmp_path, "http://example.org/x.zip"), download=True)


def test_known_names_have_their_addresses_and_come_from_there(web, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    assert (COCO_CLASSES[0], COCO_CLASSES[11], COCO_CLASSES[79]) == ("person", "stop sign", "toothbrush")
    place = "https://github.com/ultralytics/assets/releases/download/v0.0.0"
    assert [KNOWN_SETS[f"{name}.yaml"].address for name in ("coco8", "coco128")] == [
        f"{place}/coco8.zip", f"{place}/coco128.zip",
    ]  # fmt: skip
    with pytest.raises(DataError, match=rf"write download=True to fetch {place}/coco8\.zip"):
        read_dataset("coco8.yaml", download=False)
    for name, splits in (("coco8", ("images/train", "images/val")), ("coco128", ("images/train2017",))):
        url = web.put(f"/{name}.zip", archive(f"{name}/", splits))
        known = KNOWN_SETS[f"{name}.yaml"]
        monkeypatch.setitem(
            known_sets.KNOWN_SETS, known.name, known_sets.KnownSet(known.name, url, known.train, known.val)
        )
        spec = read_dataset(known.name, download=True)
        assert spec.names == COCO_CLASSES
        assert [len(build_index(spec, split)) for split in ("train", "val")] == [1, 1]


def test_a_file_of_a_known_name_goes_first_and_coco_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"(?s)without encryption.*annotations_trainval2017\.zip.*data=coco"):
        read_dataset("coco.yaml", download=True)
    (tmp_path / "images/train").mkdir(parents=True)
    (tmp_path / "coco.yaml").write_text("train: images/train\nnames: [mine]\n")
    assert read_dataset("coco.yaml").names == ("mine",)


def test_an_archive_that_would_leave_its_folder_leaves_nothing(web, tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("images/train/a.png", PICTURE)
        opened.writestr("../../out.txt", "x")
    with pytest.raises(DataError, match="leads out of the folder"):
        read_dataset(data_yaml(tmp_path, web.put("/set.zip", content.getvalue())), download=True)
    assert not list(tmp_path.rglob("out.txt"))
    assert not list(tmp_path.rglob("*.png"))
