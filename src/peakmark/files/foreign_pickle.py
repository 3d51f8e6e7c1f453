"""What does a pickle say, if nothing of it is ever run? The only place that reads pickles.

A pickle is a program for a small machine with a stack: it builds plain values, names classes and functions, and calls
them. This is such a machine that can't call: a name is only remembered, a call becomes a `ForeignObject` that holds
what was handed over. It also can't be worn out: the instructions are counted, no length is believed before the bytes
are seen to be there, and a dict's keys are values that are quick to hash, whatever they are equal to.

Python's own unpicklers were not made for files of strangers: one in C takes 8 GiB for a memo index of 2^29, and ends
the process when it hashes tuples nested a million deep. It must not know what the tree means.
"""

from __future__ import annotations

import gc
import re
import struct
from collections.abc import Callable
from typing import Any

from peakmark.files.foreign_values import ForeignName, ForeignObject, PickleError, Unpickled, append, called, put

MOST_BYTES = 64 << 20
_MOST_INSTRUCTIONS = 2_000_000
"""Under a second, and some 200 MB of the smallest objects. YOLOv8x in training has 150,000; every epoch adds 200."""
_MOST_NAMES = 10_000
_MOST_LINE_BYTES = 4096
_MOST_INTEGER_BYTES = 255
_FLOAT_BYTES = 9
_FLOATS = re.compile(rb"(?:G.{8}){1,4096}", re.DOTALL)


def read_pickle(data: bytes) -> Unpickled:
    """Reads a pickle of any protocol as plain data. Raises PickleError."""
    if len(data) > MOST_BYTES:
        raise PickleError(f"what it says takes {len(data):,} bytes, where at most {MOST_BYTES:,} are sensible")
    machine = _Machine(data)
    looks_for_garbage = gc.isenabled()
    # A pickle leaves none behind, and looking for it among so many new objects takes as long as making them.
    gc.disable()
    try:
        return machine.run()
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        if isinstance(error, PickleError):
            raise
        # A damaged pickle takes what isn't on the stack or in the memo, or hands an instruction what it can't take.
        raise PickleError("what it says is no whole pickle") from error
    finally:
        if looks_for_garbage:
            gc.enable()


class _Machine:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        """Where in the stack the open collections begin."""
        self._memo: dict[int, Any] = {}
        self._names: dict[str, ForeignName] = {}
        self._floats = 0

    def run(self) -> Unpickled:
        """Follows the instructions to their end. The few of which a file of tensors is made are followed right here."""
        data, at = self._data, 0
        stack, marks, memo = self._stack, self._marks, self._memo
        for done in range(_MOST_INSTRUCTIONS):
            code = data[at]
            at += 1
            if code == _LONG_BINPUT:
                memo[_LONG.unpack_from(data, at)[0]] = stack[-1]
                at += 4
            elif code == _BINGET:
                stack.append(memo[data[at]])
                at += 1
            elif code == _BININT1:
                stack.append(data[at])
                at += 1
            elif code == _MARK:
                marks.append(len(stack))
            elif code == _TUPLE:
                mark = marks.pop()
                items = tuple(stack[mark:])
                del stack[mark:]
                stack.append(items)
            elif code == _EMPTY_TUPLE:
                stack.append(())
            elif code == _BINUNICODE:
                start = at + 4
                at = start + _LONG.unpack_from(data, at)[0]
                if at > len(data):
                    raise IndexError
                stack.append(str(data[start:at], "utf-8", "surrogatepass"))
            elif code == _STOP:
                return Unpickled(stack.pop(), tuple(self._names), done + self._floats)
            else:
                self._at = at
                _INSTRUCTIONS[code](self)
                at = self._at
        raise PickleError(f"what it says has more than {_MOST_INSTRUCTIONS:,} instructions")

    # --- parts of an instruction

    def _bytes(self, count: int) -> bytes:
        start = self._at
        self._at = end = start + count
        if count < 0 or end > len(self._data):
            raise PickleError("what it says is cut off")
        return self._data[start:end]

    def _number(self, size_bytes: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._bytes(size_bytes), "little", signed=signed)

    def _line(self) -> str:
        return self._line_bytes(_MOST_LINE_BYTES).decode("utf-8")

    def _line_bytes(self, most: int) -> bytes:
        end = self._data.index(b"\n", self._at, self._at + most)
        line = self._data[self._at : end]
        self._at = end + 1
        return line

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    # --- plain values

    def skip(self) -> None:
        """PROTO has a byte behind it that changes nothing here."""
        self._bytes(1)

    def frame(self) -> None:
        """Frames say how much to read ahead; here all has been read."""
        self._bytes(8)

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def push_integer(self, size_bytes: int, *, signed: bool = False) -> None:
        self._stack.append(self._number(size_bytes, signed=signed))

    def push_long(self, size_bytes: int) -> None:
        count = self._number(size_bytes)
        if count > _MOST_INTEGER_BYTES:
            # No more is needed, and the text of a long number takes the square of its length to make.
            raise PickleError(f"it has a whole number of {count:,} bytes")
        self._stack.append(self._number(count, signed=True))

    def push_integer_line(self) -> None:
        line = self._line().removesuffix("L")
        self._stack.append(line == "01" if line in ("00", "01") else int(line[:_MOST_INTEGER_BYTES]))

    def push_floats(self) -> None:
        """A table of numbers comes as a run of floats: taken in one go, it costs a tenth."""
        run = _FLOATS.match(self._data, self._at - 1)
        if run is None:
            raise PickleError("what it says is cut off")
        self._at = run.end()
        self._stack.extend(value for (value,) in struct.iter_unpack(">xd", run.group()))
        self._floats += len(run.group()) // _FLOAT_BYTES

    def push_float_line(self) -> None:
        self._stack.append(float(self._line()))

    def push_text(self, size_bytes: int) -> None:
        self._stack.append(str(self._bytes(self._number(size_bytes)), "utf-8", "surrogatepass"))

    def push_text_line(self) -> None:
        self._stack.append(self._line_bytes(MOST_BYTES).decode("raw-unicode-escape"))

    def push_quoted_line(self) -> None:
        """A string of Python 2. What is escaped in it stays so: nothing that is looked at here ever is."""
        line = self._line()
        if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"":
            raise PickleError("what it says is no whole pickle")
        self._stack.append(line[1:-1])

    def push_bytes(self, size_bytes: int) -> None:
        self._stack.append(self._bytes(self._number(size_bytes)))

    def push_old_text(self, size_bytes: int) -> None:
        self._stack.append(self._bytes(self._number(size_bytes)).decode("latin-1"))

    # --- collections

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def pop_mark(self) -> None:
        self._since_mark()

    def duplicate(self) -> None:
        self._stack.append(self._stack[-1])

    def new_list(self) -> None:
        self._stack.append([])

    def new_dict(self) -> None:
        self._stack.append({})

    def new_set(self) -> None:
        self._stack.append(ForeignObject("builtins.set", ()))

    def list_since_mark(self) -> None:
        self._stack.append(self._since_mark())

    def tuple_since_mark(self) -> None:
        self._stack.append(tuple(self._since_mark()))

    def set_since_mark(self) -> None:
        self._stack.append(ForeignObject("builtins.frozenset", tuple(self._since_mark())))

    def dict_since_mark(self) -> None:
        made: dict[Any, Any] = {}
        put(made, self._since_mark())
        self._stack.append(made)

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._stack.append(items)

    def append(self) -> None:
        item = self._stack.pop()
        append(self._stack[-1], [item])

    def appends(self) -> None:
        items = self._since_mark()
        append(self._stack[-1], items)

    def set_item(self) -> None:
        item, key = self._stack.pop(), self._stack.pop()
        put(self._stack[-1], [key, item])

    def set_items(self) -> None:
        items = self._since_mark()
        put(self._stack[-1], items)

    # --- the memo

    def put(self, size_bytes: int) -> None:
        self._memo[self._number(size_bytes)] = self._stack[-1]

    def put_line(self) -> None:
        self._memo[int(self._line())] = self._stack[-1]

    def memoize(self) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def get(self, size_bytes: int) -> None:
        self._stack.append(self._memo[self._number(size_bytes)])

    def get_line(self) -> None:
        self._stack.append(self._memo[int(self._line())])

    # --- names and calls, none of which is made

    def _named(self, module: str, name: str) -> ForeignName:
        full = f"{module}.{name}"
        known = self._names.get(full)
        if known is None:
            if len(self._names) == _MOST_NAMES:
                raise PickleError(f"it names more than {_MOST_NAMES:,} classes")
            known = self._names[full] = ForeignName(full)
        return known

    def name(self) -> None:
        module = self._line()
        self._stack.append(self._named(module, self._line()))

    def stack_name(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str) or len(name) + len(module) > _MOST_LINE_BYTES:
            raise TypeError
        self._stack.append(self._named(module, name))

    def instance(self) -> None:
        self.name()
        named = self._stack.pop()
        self._stack.append(called(named, tuple(self._since_mark())))

    def object(self) -> None:
        named, *args = self._since_mark()
        self._stack.append(called(named, tuple(args)))

    def call(self) -> None:
        args = self._stack.pop()
        self._stack[-1] = called(self._stack[-1], args)

    def call_with_keywords(self) -> None:
        self._stack.pop()
        self.call()

    def build(self) -> None:
        state = self._stack.pop()
        made = self._stack[-1]
        # The attributes that an ordered dict may carry are let go of.
        if isinstance(made, ForeignObject):
            made.state = state

    def persistent(self) -> None:
        """Leaves on the stack what stands for something outside of the pickle: a tensor's bytes."""
        if not isinstance(self._stack[-1], tuple):
            raise TypeError


_Instruction = Callable[[_Machine], None]
_LONG_BINPUT, _BINGET, _BININT1, _MARK, _TUPLE, _EMPTY_TUPLE, _BINUNICODE, _STOP = b"rhK(t)X."
_LONG = struct.Struct("<I")


def _unknown(machine: _Machine) -> None:
    raise PickleError("it has an instruction that no file of tensors needs")


def _with(method: Callable[..., None], *args: Any, **keywords: Any) -> _Instruction:
    def instruction(machine: _Machine) -> None:
        method(machine, *args, **keywords)

    return instruction


_KNOWN: dict[bytes, _Instruction] = {
    b"\x80": _Machine.skip,
    b"\x95": _Machine.frame,
    b"N": _with(_Machine.push, None),
    b"\x88": _with(_Machine.push, True),
    b"\x89": _with(_Machine.push, False),
    b")": _with(_Machine.push, ()),
    b"K": _with(_Machine.push_integer, 1),
    b"M": _with(_Machine.push_integer, 2),
    b"J": _with(_Machine.push_integer, 4, signed=True),
    b"\x8a": _with(_Machine.push_long, 1),
    b"\x8b": _with(_Machine.push_long, 4),
    b"I": _Machine.push_integer_line,
    b"L": _Machine.push_integer_line,
    b"G": _Machine.push_floats,
    b"F": _Machine.push_float_line,
    b"X": _with(_Machine.push_text, 4),
    b"\x8c": _with(_Machine.push_text, 1),
    b"\x8d": _with(_Machine.push_text, 8),
    b"V": _Machine.push_text_line,
    b"S": _Machine.push_quoted_line,
    b"T": _with(_Machine.push_old_text, 4),
    b"U": _with(_Machine.push_old_text, 1),
    b"B": _with(_Machine.push_bytes, 4),
    b"C": _with(_Machine.push_bytes, 1),
    b"\x8e": _with(_Machine.push_bytes, 8),
    b"\x96": _with(_Machine.push_bytes, 8),
    b"(": _Machine.mark,
    b"0": _Machine.pop,
    b"1": _Machine.pop_mark,
    b"2": _Machine.duplicate,
    b"]": _Machine.new_list,
    b"}": _Machine.new_dict,
    b"\x8f": _Machine.new_set,
    b"l": _Machine.list_since_mark,
    b"t": _Machine.tuple_since_mark,
    b"d": _Machine.dict_since_mark,
    b"\x91": _Machine.set_since_mark,
    b"\x85": _with(_Machine.tuple_of, 1),
    b"\x86": _with(_Machine.tuple_of, 2),
    b"\x87": _with(_Machine.tuple_of, 3),
    b"a": _Machine.append,
    b"e": _Machine.appends,
    b"\x90": _Machine.appends,
    b"s": _Machine.set_item,
    b"u": _Machine.set_items,
    b"q": _with(_Machine.put, 1),
    b"r": _with(_Machine.put, 4),
    b"p": _Machine.put_line,
    b"\x94": _Machine.memoize,
    b"h": _with(_Machine.get, 1),
    b"j": _with(_Machine.get, 4),
    b"g": _Machine.get_line,
    b"c": _Machine.name,
    b"\x93": _Machine.stack_name,
    b"i": _Machine.instance,
    b"o": _Machine.object,
    b"R": _Machine.call,
    b"\x81": _Machine.call,
    b"\x92": _Machine.call_with_keywords,
    b"b": _Machine.build,
    b"Q": _Machine.persistent,
}
_INSTRUCTIONS = [_KNOWN.get(bytes([code]), _unknown) for code in range(256)]
