"""A checkpoint's pickle, run by a machine that knows the opcodes torch writes and no others.

A pickle is a program, and Python's own unpickler obeys it: a place in its memo of 2^28, a string of
4 GB or a call of one allowed function upon what another one made are its right. Filtering what such
a program may name is not enough. This machine has no memo but the next place, no length that the
file does not hold, and nothing to call: the two functions that torch names are known by what they
stand for. Every opcode costs one step and a bounded number of bytes, and steps are counted.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ExportError, bare, shown

MOST_BYTES = 8 << 20  # of a pickle; Mini-Omni's has 50 thousand
MOST_STEPS = 200_000  # some 45 a tensor
NEWEST_PROTOCOL = 5

Make = Callable[..., Any]


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle names; only a name, whatever it is."""

    module: str
    name: str


class Machine:
    """Runs one pickle.

    `known` names every global that it may mention, with what a call of it makes (None: nothing, it
    is no function); `persistent` makes what a reference outside stands for.
    """

    def __init__(
        self, path: Path, code: bytes, known: dict[Global, Make | None], persistent: Make
    ) -> None:
        self.path, self.code, self.known, self.persistent = path, code, known, persistent
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # the stack's height at each open mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the pickle holds; raises ExportError for anything that torch does not write."""
        for _ in range(MOST_STEPS):
            (opcode,) = self.take(1)
            if opcode == pickle.STOP[0]:
                return self._end()
            step = STEPS.get(opcode)
            if step is None:
                raise self.refused(f"holds the pickle opcode {chr(opcode)!r}, which torch does not "
                                   "write")
            step(self)
        raise self.refused(f"holds more than {MOST_STEPS} pickle opcodes")

    def refused(self, why: str) -> ExportError:
        return ExportError(f"{self.path} {why}; it was not loaded")

    def _end(self) -> Any:
        value = self.pop()
        if self.stack or self.marks:
            raise self.refused("leaves its pickle unfinished")
        return value

    def take(self, count: int) -> bytes:
        """The next bytes of the code."""
        if count > len(self.code) - self.at:
            raise self.refused("has a pickle that is cut short")
        self.at += count
        return self.code[self.at - count : self.at]

    def number(self, form: str) -> Any:
        """The next number of the code, of `struct`'s form."""
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return value

    def line(self) -> str:
        """The code's next line."""
        end = self.code.find(b"\n", self.at)
        if end < 0:
            raise self.refused("has a pickle that is cut short")
        return self.text(end + 1 - self.at).removesuffix("\n")

    def text(self, length: int) -> str:
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refused("holds text that is no UTF-8") from None

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self, kind: type = object) -> Any:
        """The value on top of the stack, which must be of `kind`."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.refused("takes more values from its pickle than it holds")
        value = self.stack.pop()
        if not isinstance(value, kind):
            raise self.refused(f"uses {shown(value)} as a {kind.__name__}")
        return value

    def pop_mark(self) -> list[Any]:
        """All values above the last mark."""
        if not self.marks:
            raise self.refused("closes a group in its pickle that it did not open")
        height = self.marks.pop()
        values = self.stack[height:]
        del self.stack[height:]
        return values

    def top(self, kind: type) -> Any:
        """The value on top of the stack, left there."""
        value = self.pop(kind)
        self.push(value)
        return value

    def get(self, place: int) -> None:
        if place not in self.memo:
            raise self.refused(f"refers to value {place} of its pickle, which is not there")
        self.push(self.memo[place])

    def put(self, place: int) -> None:
        if place > len(self.memo):  # they are numbered one after the other
            raise self.refused(f"numbers a value of its pickle {place}")
        self.memo[place] = self.top(object)

    def name(self, module: str, name: str) -> None:
        known = Global(module, name)
        if known not in self.known:
            raise ExportError(
                f"{self.path} asks for {bare(module)}.{bare(name)}; a checkpoint holds tensors and "
                "plain containers, nothing else, so it was not loaded"
            )
        self.push(known)

    def call(self) -> None:
        arguments, function = self.pop(tuple), self.pop(Global)
        make = self.known[function]
        if make is None:
            raise self.refused(f"calls {function.module}.{function.name}")
        try:
            self.push(make(*arguments))
        except TypeError:  # another number of arguments
            name = f"{function.module}.{function.name}"
            raise self.refused(f"calls {name} in another way than torch does") from None

    def refer(self) -> None:
        self.push(self.persistent(self.pop()))

    def set_items(self, items: list[Any]) -> None:
        """Keys and values in turn, into the dict on top of the stack."""
        target = self.top(dict)
        if len(items) % 2:
            raise self.refused("holds a key without a value")
        for key, value in zip(items[::2], items[1::2]):
            if type(key) not in (str, int):  # hashing a tuple may take forever
                raise self.refused(f"uses {shown(key)} as a name")
            if key in target:
                raise self.refused(f"holds two values of the name {shown(key)}")
            target[key] = value

    def drop_state(self) -> None:
        """An OrderedDict's own attributes: torch keeps version numbers there."""
        self.pop(dict)
        self.top(dict)


def _set_item(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items([key, value])


def _append(m: Machine) -> None:
    value = m.pop()
    m.top(list).append(value)


def _appends(m: Machine) -> None:
    values = m.pop_mark()
    m.top(list).extend(values)


def _set_items(m: Machine) -> None:
    values = m.pop_mark()
    m.set_items(values)


def _tuple(m: Machine, length: int) -> None:
    m.push(tuple(reversed([m.pop() for _ in range(length)])))


def _stack_global(m: Machine) -> None:
    name, module = m.pop(str), m.pop(str)
    m.name(module, name)


def _protocol(m: Machine) -> None:
    if m.number("B") > NEWEST_PROTOCOL:
        raise m.refused("has a pickle of an unknown protocol")


STEPS: dict[int, Callable[[Machine], Any]] = {
    opcode[0]: step
    for opcode, step in [
        (pickle.PROTO, _protocol),
        (pickle.FRAME, lambda m: m.number("<Q")),  # a hint for readers of streams
        (pickle.MARK, lambda m: m.marks.append(len(m.stack))),
        (pickle.EMPTY_DICT, lambda m: m.push({})),
        (pickle.EMPTY_LIST, lambda m: m.push([])),
        (pickle.EMPTY_TUPLE, lambda m: m.push(())),
        (pickle.TUPLE, lambda m: m.push(tuple(m.pop_mark()))),
        (pickle.TUPLE1, lambda m: _tuple(m, 1)),
        (pickle.TUPLE2, lambda m: _tuple(m, 2)),
        (pickle.TUPLE3, lambda m: _tuple(m, 3)),
        (pickle.NONE, lambda m: m.push(None)),
        (pickle.NEWTRUE, lambda m: m.push(True)),
        (pickle.NEWFALSE, lambda m: m.push(False)),
        (pickle.BININT, lambda m: m.push(m.number("<i"))),
        (pickle.BININT1, lambda m: m.push(m.number("B"))),
        (pickle.BININT2, lambda m: m.push(m.number("<H"))),
        (pickle.LONG1, lambda m: m.push(pickle.decode_long(m.take(m.number("B"))))),
        (pickle.BINFLOAT, lambda m: m.push(m.number(">d"))),
        (pickle.SHORT_BINUNICODE, lambda m: m.push(m.text(m.number("B")))),
        (pickle.BINUNICODE, lambda m: m.push(m.text(m.number("<L")))),
        (pickle.BINUNICODE8, lambda m: m.push(m.text(m.number("<Q")))),
        (pickle.BINGET, lambda m: m.get(m.number("B"))),
        (pickle.LONG_BINGET, lambda m: m.get(m.number("<L"))),
        (pickle.BINPUT, lambda m: m.put(m.number("B"))),
        (pickle.LONG_BINPUT, lambda m: m.put(m.number("<L"))),
        (pickle.MEMOIZE, lambda m: m.put(len(m.memo))),
        (pickle.SETITEM, _set_item),
        (pickle.SETITEMS, _set_items),
        (pickle.APPEND, _append),
        (pickle.APPENDS, _appends),
        (pickle.GLOBAL, lambda m: m.name(m.line(), m.line())),
        (pickle.STACK_GLOBAL, _stack_global),
        (pickle.BINPERSID, Machine.refer),
        (pickle.REDUCE, Machine.call),
        (pickle.BUILD, Machine.drop_state),
    ]
}
