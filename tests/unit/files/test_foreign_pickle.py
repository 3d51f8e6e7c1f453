"""A pickle of another program is read as data: whatever it names, nothing of it runs and nothing is imported."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import torch

from peakmark.files.foreign_pickle import read_pickle
from peakmark.files.foreign_values import ForeignName, ForeignObject, PickleError
from peakmark.files.torch_file import TorchFile, UnreadableError


class Calls:
    """Pickles as a call, which an ordinary unpickler would make."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


class Thing:
    def __init__(self) -> None:
        self.number = 7
        self.values = {"a": [1, 2]}


def read_foreign(path: Path) -> TorchFile:
    return TorchFile(io.BytesIO(path.read_bytes()))


def _zipped(path: Path, data: bytes, *, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", data)
    return path


def _with_pickle(path: Path, data: bytes) -> Path:
    """The file again, with another pickle beside the same raw bytes."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in entries.items():
            archive.writestr(name, data if name.endswith("data.pkl") else old)
    return path


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("function", [os.system, os.mkdir, eval, exec])
def test_no_call_of_the_file_is_made(tmp_path: Path, protocol: int, function: Any):
    trap = tmp_path / "trap"
    by_name = {
        os.system: f"mkdir {trap}",
        os.mkdir: str(trap),
        eval: f"__import__('os').mkdir({str(trap)!r})",
        exec: f"import os; os.mkdir({str(trap)!r})",
    }
    evil = pickle.dumps({"model": Calls(function, by_name[function])}, protocol)
    file = read_foreign(_zipped(tmp_path / "evil.pt", evil))
    assert isinstance(file.root["model"], ForeignObject)
    assert file.root["model"].args == (by_name[function],)
    assert not trap.exists()
    pickle.loads(evil)
    assert trap.exists(), "the trap itself must work, or this test proves nothing"


def test_no_module_of_the_file_is_imported(tmp_path: Path):
    (tmp_path / "planted_module.py").write_text("raise SystemExit('imported')")
    sys.path.insert(0, str(tmp_path))
    try:
        file = read_foreign(_zipped(tmp_path / "m.pt", b"cplanted_module\nPayload\n)\x81."))
    finally:
        sys.path.remove(str(tmp_path))
    assert file.root.name == "planted_module.Payload"
    assert "planted_module" not in sys.modules


def test_every_opcode_that_resolves_names_is_inert(tmp_path: Path):
    inst = b"(S'true'\nios\nsystem\n."
    obj = b"(cos\nsystem\nS'true'\no."
    stack_global = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."
    for data in (inst, obj, stack_global):
        root = read_foreign(_zipped(tmp_path / "x.pt", data)).root
        assert root.name.endswith(".system")
        assert root.args == ("true",)


def test_state_can_replace_no_method_of_what_stands_for_an_object(tmp_path: Path):
    # BUILD with a dict would write attributes; here it is only kept.
    data = b"cevil\nThing\n)\x81}(S'append'\ncos\nsystem\nub."
    root = read_foreign(_zipped(tmp_path / "x.pt", data)).root
    assert root.state == {"append": ForeignName("os.system")}


def test_objects_keep_state_and_tensors_come_from_the_raw_bytes(tmp_path: Path):
    values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    stored: dict[str, Any] = {
        "thing": Thing(),
        "view": values[1:, ::2],
        "half": values.half(),
        "parameter": torch.nn.Parameter(values),
        "empty": torch.empty(0, 4),
        "bfloat": values.bfloat16(),
        "flags": values > 4,
    }
    torch.save(stored, tmp_path / "m.pt")
    file = read_foreign(tmp_path / "m.pt")
    assert file.root["thing"].state == {"number": 7, "values": {"a": [1, 2]}}
    for name in ("view", "half", "parameter", "empty", "bfloat", "flags"):
        tensor = file.tensor(file.root[name])
        assert tensor is not None
        assert tensor.dtype == stored[name].dtype
        assert torch.equal(tensor, stored[name].detach())
    assert file.tensor(file.root["thing"]) is None
    assert file.tensor({"a": 1}) is None


def test_a_tensor_cannot_reach_beyond_its_bytes(tmp_path: Path):
    torch.save({"t": torch.arange(4.0)}, tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        data = archive.read(name)
    assert data.count(b"K\x04\x85") == 1  # its size, (4,)
    file = read_foreign(_with_pickle(tmp_path / "m.pt", data.replace(b"K\x04\x85", b"K\x05\x85")))
    with pytest.raises(UnreadableError, match="a tensor in it reaches beyond its bytes"):
        file.tensor(file.root["t"])


def test_compressed_entries_are_refused_before_they_swell(tmp_path: Path):
    bomb = pickle.dumps(b"\0" * 1_000_000)
    with pytest.raises(UnreadableError):
        read_foreign(_zipped(tmp_path / "bomb.pt", bomb, compression=zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", b"garbage", b"\x80\x02]", b"(lp0\n0.", b"\x80\x02K\x01\x81.", b"\x82\x01.", b"\x80\x02c\n\n\x81."],
)
def test_damaged_pickles_are_refused_in_a_sentence(tmp_path: Path, data: bytes):
    with pytest.raises(UnreadableError, match=r"what it says|data in it|instruction"):
        read_foreign(_zipped(tmp_path / "x.pt", data))


def test_files_that_are_no_archives_are_refused(tmp_path: Path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("one/data.pkl", pickle.dumps(1))
        archive.writestr("two/data.pkl", pickle.dumps(2))
    for number, data in enumerate((b"", b"PK\x03\x04", struct.pack("<Q", 12), buffer.getvalue())):
        (tmp_path / f"{number}.pt").write_bytes(data)
        with pytest.raises(UnreadableError):
            read_foreign(tmp_path / f"{number}.pt")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(-(2**59), 2**59), inner, max_size=5)
    ),
    max_leaves=30,
)


@hypothesis.given(PLAIN, st.integers(0, 5))
def test_plain_values_are_what_python_says_that_they_are(value: Any, protocol: int):
    data = pickle.dumps(value, protocol)
    if protocol < 3 and (b"_codecs" in data or b"bytes" in data):
        return  # bytes are a call there
    assert repr(read_pickle(data).root) == repr(value)


def test_floats_are_read_in_runs_with_what_stands_between():
    rows = [[0.5, 1e300, float("inf"), 1, 2.5], (0.1,) * 5000, {"a": 1.5, "b": [2.0]}, 0.0]
    said = read_pickle(pickle.dumps(rows, 2))
    assert said.root == rows
    assert said.instructions > 5000


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=300)
def test_whatever_the_bytes_an_answer_comes(data: st.DataObject):
    """Flipped bytes, cut files, instructions in any order: data or a sentence, and nothing runs."""
    whole = data.draw(st.sampled_from(WHOLE))
    way = data.draw(st.sampled_from(("flipped", "cut", "any")))
    if way == "flipped":
        changed = bytearray(whole)
        for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
            changed[place] = data.draw(st.integers(0, 255))
        damaged = bytes(changed)
    elif way == "cut":
        damaged = whole[: data.draw(st.integers(0, len(whole)))]
    else:
        damaged = b"".join(data.draw(st.lists(st.sampled_from(PIECES), max_size=40))) + b"."
    CANARY.clear()
    with contextlib.suppress(PickleError):
        read_pickle(damaged)
    assert not CANARY


CANARY: list[str] = []


def sing(*args: Any) -> None:
    """What the files below would call, if anything called."""
    CANARY.append("sung")


WHOLE = [
    pickle.dumps({"model": Calls(sing, "a"), "names": {0: "cat"}, "lr": [0.5, 0.25], "big": 1 << 80}, protocol)
    for protocol in range(6)
]
_CALL = f"c{sing.__module__}\nsing\n".encode()
PIECES = [
    *(bytes([code]) for code in b"().0128NQR]abdelostu}\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94"),
    *(b"K\x01", b"h\x00", b"q\x00", b"M\x01\x02", b"U\x01a", b"X\x01\0\0\0a", b"G" + b"\x40" * 8, b"I1\n", b"p3\n"),
    *(_CALL, _CALL + b"(tR", b"i" + _CALL[1:], b"r\xff\xff\xff\x7f", b"j\x05\0\0\0", b"C\x02ab", b"F1.5\n", b"L9L\n"),
]


def test_the_canary_can_sing():
    CANARY.clear()
    pickle.loads(WHOLE[2])
    assert CANARY == ["sung"]
