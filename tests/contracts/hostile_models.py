"""Model files that were made to wear the machine out, by name, and how each is made.

Each is small on the disk (some have holes) and asks for gigabytes, minutes, or a stack without end. `write_all` leaves
them in a folder; `python hostile_models.py ask FOLDER DOOR` opens each through a door in its process and prints a line
of JSON for each: how long it took on the processor, how much memory was in use at most so far, and how it ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_FLOAT = b"ctorch\nFloatStorage\n"
_REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
_OURS = b"X\x06\0\0\0formatX\x08\0\0\0peakmarkX\x0e\0\0\0format_versionK\x04"
"""What a checkpoint says of itself; a hostile file says it too, to be looked into."""
MANY = 1_000_000


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _zip(path: Path, said: bytes, *, how: int = zipfile.ZIP_STORED, **entries: bytes) -> None:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("archive/data.pkl", said)
        for name, data in entries.items():
            archive.writestr(f"archive/{name.replace('__', '/')}", data)


def _pickled(*parts: bytes) -> bytes:
    """A checkpoint by its first words, with more in it."""
    return b"\x80\x02}(" + _OURS + b"".join(parts) + b"u."


def _tensor(key: str, count: int, stride: int = 1) -> bytes:
    storage = b"(" + _text("storage") + _FLOAT + _text(key) + _text("cpu") + b"J" + struct.pack("<i", count) + b"tQ"
    size, step = (b"(\x8a\x06" + number.to_bytes(6, "little") + b"t" for number in (count, stride))
    return _REBUILD + b"(" + storage + b"K\0" + size + step + b"\x89ccollections\nOrderedDict\n)RtR"


def swelling_pickle(path: Path, megabytes: int = 1024) -> None:
    """A pickle of a gigabyte in a megabyte."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("archive/data.pkl", "w", force_zip64=True) as stream,
    ):
        block = b"N" * (1 << 20)
        for _ in range(megabytes):
            stream.write(block)


def swelling_version(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", _pickled(), zipfile.ZIP_STORED)
        archive.writestr("archive/version", b"3" * (256 << 20))


def swelling_byteorder(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", _pickled(), zipfile.ZIP_STORED)
        archive.writestr("archive/byteorder", b"little" * (40 << 20))


def swelling_storage(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", _pickled(_text("model"), _tensor("0", 1 << 26)), zipfile.ZIP_STORED)
        archive.writestr("archive/data/0", bytes(256 << 20))


def overlapping_entries(path: Path) -> None:
    """A thousand entries that are the same bytes."""
    _zip(path, _pickled(), data__0=bytes(4 << 20))
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
        size = len(whole) - start - 22
        kept = whole[start : start + size]
    at = kept.rindex(b"PK\x01\x02")
    directory = kept
    for number in range(1, 1000):
        name = f"archive/data/{number}".encode()
        entry = kept[at:]
        head = bytearray(entry[:46])
        head[28:30] = struct.pack("<H", len(name))
        directory += bytes(head) + name
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1001, 1001, len(directory), start, 0)
    path.write_bytes(whole[:start] + directory + end)


def endless_directory(path: Path) -> None:
    """A million entries of nothing."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * MANY
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 4, 0)
    path.write_bytes(b"PK\x03\x04" + directory + end)


def memo_index(path: Path) -> None:
    _zip(path, b"\x80\x02Nr" + struct.pack("<I", 1 << 29) + b"." + bytes(64))


def memo_index_beyond(path: Path) -> None:
    _zip(path, b"\x80\x02Nr\xff\xff\xff\xff.")


def bytearray_of_gigabytes(path: Path) -> None:
    _zip(path, b"\x80\x05\x96" + struct.pack("<Q", 8 << 30) + b"a.")


def bytearray_by_call(path: Path) -> None:
    _zip(path, _pickled(_text("model"), b"cbuiltins\nbytearray\n\x8a\x05" + (8 << 30).to_bytes(5, "little") + b"\x85R"))


def bytes_of_gigabytes(path: Path) -> None:
    _zip(path, b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"a.")


def frame_of_gigabytes(path: Path) -> None:
    _zip(path, b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.")


def deep_tuples_hashed(path: Path) -> None:
    _zip(path, b"\x80\x02}N" + b"\x85" * MANY + b"Ns.")


def deep_tuples_in_a_set(path: Path) -> None:
    _zip(path, b"\x80\x04\x8f(N" + b"\x85" * MANY + b"\x90.")


def deep_lists(path: Path) -> None:
    _zip(path, _pickled(_text("settings"), b"]" * 900_000, b"a" * 899_999))


def deep_dicts_of_ours(path: Path) -> None:
    _zip(path, _pickled(_text("settings"), (b"}" + _text("a")) * 100_000, b"N", b"s" * 100_000))


def deep_objects(path: Path) -> None:
    _zip(path, b"\x80\x02ca\nb\nq\0" + b"h\0" * 300_000 + b"\x85R" * 300_000 + b".")


def laughing_lists(path: Path) -> None:
    """A list of two lists that are each a list of two lists: 2^60 of them."""
    doubled = b"".join(b"0](h%ch%ceq%c" % (number, number, number + 1) for number in range(1, 60))
    _zip(path, _pickled(_text("settings"), b"]q\x01" + doubled))


def list_in_itself(path: Path) -> None:
    _zip(path, _pickled(_text("settings"), b"]q\x01h\x01a"))


def many_globals(path: Path) -> None:
    _zip(path, b"\x80\x02" + b"".join(b"cm\n%d\n0" % number for number in range(MANY)) + b"N.")


def slow_codec(path: Path) -> None:
    text = _text("a" * 200_000 + "\u00fc")
    _zip(path, _pickled(_text("model"), b"c_codecs\nencode\n" + text + _text("punycode") + b"\x86R"))


def long_number(path: Path) -> None:
    count = 4 << 20
    _zip(path, _pickled(_text("ema_updates"), b"\x8b" + struct.pack("<I", count) + b"\x7f" * count))


def long_number_in_digits(path: Path) -> None:
    _zip(path, b"I" + b"9" * (4 << 20) + b"\n.")


def equal_hashes(path: Path) -> None:
    """Keys that all have the hash 0."""
    keys = (number * ((1 << 61) - 1) for number in range(1, 60_000))
    _zip(path, b"\x80\x02}(" + b"".join(b"\x8a\x0a" + key.to_bytes(10, "little") + b"N" for key in keys) + b"u.")


def one_storage_many_tensors(path: Path) -> None:
    count = 1 << 20
    tensors = b"".join(_text(f"t{number}") + _tensor("0", count) for number in range(10_000))
    _zip(path, _pickled(_text("model"), b"}(", tensors, b"u"), data__0=bytes(4 * count))


def tensor_beyond_its_bytes(path: Path) -> None:
    _zip(path, _pickled(_text("model"), b"}" + _text("w") + _tensor("0", 1 << 30) + b"s"), data__0=bytes(64))


def tensor_of_one_number(path: Path) -> None:
    _zip(path, _pickled(_text("model"), b"}" + _text("w") + _tensor("0", 1 << 30, 0) + b"s"), data__0=bytes(64))


def holes(path: Path) -> None:
    """A file of 512 GB that takes no room on the disk."""
    _zip(path, _pickled())
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    with open(path, "wb") as stream:
        stream.write(whole[:start])
        stream.seek(512 << 30)
        stream.write(whole[start:])


def a_million_marks(path: Path) -> None:
    _zip(path, b"\x80\x02" + b"(" * (4 * MANY) + b".")


def many_dicts(path: Path) -> None:
    _zip(path, b"\x80\x02" + b"}" * (30 * MANY) + b".")


def many_small_instructions(path: Path) -> None:
    """As many as are followed, each of the kind that takes most."""
    _zip(path, b"\x80\x04(" + b"}\x94" * 999_000 + b"t.")


def many_keys(path: Path) -> None:
    _zip(path, b"\x80\x02(" + b"}K\x01Ns" * 490_000 + b"t.")


def wide_text(path: Path) -> None:
    """Every character takes four bytes in memory."""
    _zip(path, b"\x80\x02" + _text("a" * (60 << 20) + "\U0001f600") + b".")


def floats_only(path: Path) -> None:
    _zip(path, b"\x80\x02(" + (b"G" + struct.pack(">d", 0.5)) * (7 * MANY) + b"t.")


def many_names(path: Path) -> None:
    """Ours in all but its weights, for ten million classes."""
    names = b"](" + b"h\x01" * 900_000 + b"e"
    _zip(path, _pickled(_text("x"), _text("cat") + b"q\x01", _text("names"), names))


def exported_program(path: Path) -> None:
    _zip(path, b"\x80\x02c__torch__\nModel\n)\x81.", code__model=b"x", constants=b"")


HOSTILE: dict[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (
        swelling_pickle, swelling_version, swelling_byteorder, swelling_storage, overlapping_entries, endless_directory,
        memo_index, memo_index_beyond, bytearray_of_gigabytes, bytearray_by_call, bytes_of_gigabytes,
        frame_of_gigabytes, deep_tuples_hashed, deep_tuples_in_a_set, deep_lists, deep_dicts_of_ours, deep_objects,
        laughing_lists, list_in_itself, many_globals, slow_codec, long_number, long_number_in_digits, equal_hashes,
        one_storage_many_tensors, tensor_beyond_its_bytes, tensor_of_one_number, holes, a_million_marks, many_dicts,
        many_small_instructions, many_keys, wide_text, floats_only, many_names, exported_program,
    )
}  # fmt: skip


QUICK = (
    "swelling_version", "overlapping_entries", "memo_index", "bytearray_of_gigabytes", "bytearray_by_call",
    "deep_tuples_hashed", "deep_dicts_of_ours", "laughing_lists", "list_in_itself", "many_globals", "slow_codec",
    "long_number", "equal_hashes", "one_storage_many_tensors", "tensor_beyond_its_bytes", "tensor_of_one_number",
    "holes", "exported_program",
)  # fmt: skip
"""Those that are made and answered at once, one of each kind."""
IN_OUR_FORM = (
    bytearray_by_call, deep_dicts_of_ours, deep_lists, laughing_lists, list_in_itself, slow_codec, many_names,
    one_storage_many_tensors, tensor_beyond_its_bytes, tensor_of_one_number,
)  # fmt: skip


def write_all(folder: Path, names: Iterable[str]) -> None:
    """Writes the files of these names; those that say that they are ours once more, with a digest that is right."""
    for name in names:
        HOSTILE[name](folder / f"{name}.pt")
        if HOSTILE[name] in IN_OUR_FORM:
            HOSTILE[name](folder / f"{name}-signed.pt")
            with_digest(folder / f"{name}-signed.pt")


def with_digest(path: Path) -> None:
    """Ends a file in the digest of its bytes, as one of ours: a digest proves nothing about who made it."""
    prefix = b"peakmark-sha256:"
    whole = path.read_bytes()
    body = whole[:-2] + struct.pack("<H", len(prefix) + 64) + prefix
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _in_a_run(path: Path) -> Path:
    """Puts a file where a run would have its newest state."""
    run = path.parent / "runs" / path.stem
    (run / "weights").mkdir(parents=True, exist_ok=True)
    os.link(path, run / "weights/last.pt")
    return run


def _doors() -> dict[str, Callable[[Path], Any]]:
    import peakmark
    from peakmark.run.weights import find_model, starting_model

    fresh = find_model("yolov8n.yaml")
    return {
        "YOLO": peakmark.YOLO,
        "inspect": peakmark.inspect,
        "strip": peakmark.strip,
        "import": lambda path: peakmark.import_model(path, path.with_suffix(".ours"), observer=lambda event: None),
        "promote": lambda path: peakmark.promote(path, path.parent / "releases"),
        "go on": lambda path: peakmark.YOLO("yolov8n.yaml").plan_resume(path, data="shapes"),
        "pretrained": lambda path: starting_model(fresh, str(path), ("a",), seed=0),
        "resume": lambda path: peakmark.YOLO("yolov8n.yaml").resume(_in_a_run(path)),
        "diagnose": lambda path: peakmark.diagnose(_in_a_run(path)),
    }


def ask(folder: Path, door: str) -> None:
    """Opens each file of a folder by one of the ways in which a model file comes in."""
    from peakmark.errors import PeakmarkError

    open_it = _doors()[door]
    # Where something goes wrong it ends this process, not the machine.
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    print(json.dumps({"file": "", "seconds": 0, "peak_bytes": _peak_bytes(), "ended": "started"}), flush=True)
    for path in sorted(folder.glob("*.pt")):
        start = time.process_time()
        try:
            open_it(path)
            ended = "opened"
        except PeakmarkError as error:
            ended = str(error)
        took = time.process_time() - start
        print(json.dumps({"file": path.name, "seconds": took, "peak_bytes": _peak_bytes(), "ended": ended}), flush=True)


if __name__ == "__main__":
    command, where, *words = sys.argv[1:]
    assert command == "ask"
    ask(Path(where), *words)
