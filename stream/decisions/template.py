"""Message forms, compiled: n JSON messages written from columns in one pass.

A form is the message as nested dicts and lists, with a `Slot` where a value differs from message to
message. A `Template` is the form flattened to constant text between slots; it joins that text with
the values of a `Page`.

Rules of this file
1. A slot holds a whole JSON value, or, inside a `Text`, characters that need no escaping; that of an
   `Optional` holds a whole member.
2. A value that is missing is written as null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bytes, Int64s, Spans
from stream.compiled.borrow import borrow
from stream.compiled.bytecopy import copy_bytes
from stream.decisions.slots import Page, Table


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a value that differs from message to message."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """A member of an object that some messages do not have.

    Attributes:
        slot: With a comma, the key and the value, or with nothing: so it is not the first member.
    """

    slot: Slot


@dataclass(frozen=True, slots=True)
class Text:
    """A JSON string made of several parts."""

    parts: tuple[str | Slot, ...]


Form: TypeAlias = (
    Mapping[str, "Form"]
    | Sequence["Form"]
    | Slot
    | Optional
    | Text
    | str
    | int
    | float
    | bool
    | None
)


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot say.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


class Template:
    """Constant text and the slots in it, in the order of the message.

    Attributes:
        slots: Names of the slots, in order; a slot may stand in several places.
    """

    def __init__(self, pieces: Iterable[bytes | Slot]) -> None:
        """Joins neighbouring constants, so that constants and slots take turns."""
        texts = [b""]
        slots: list[str] = []
        for piece in pieces:
            if isinstance(piece, Slot):
                slots.append(piece.name)
                texts.append(b"")
            else:
                texts[-1] += piece
        self.slots = tuple(slots)
        self._texts = tuple(texts)
        self._constants = Table.of(texts)

    @classmethod
    def of(cls, form: Form) -> Template:
        """Compiles a form."""
        return cls(_flatten(form))

    def bind(self, constants: Mapping[str, bytes]) -> Template:
        """The template with the slots that are the same in all messages filled in."""
        pieces: list[bytes | Slot] = [self._texts[0]]
        for name, text in zip(self.slots, self._texts[1:], strict=True):
            pieces += [constants.get(name, Slot(name)), text]
        return Template(pieces)

    def render(self, page: Page) -> Spans:
        """The messages, one after the other in a buffer of their exact size."""
        everyone = np.arange(len(page))
        size = self._measure(page, everyone)
        start = np.cumsum(size) - size
        data = np.empty(int(size.sum()), np.uint8)
        self._write(page, everyone, data, start)
        return Spans(data, start, size)

    def fill(self, page: Page, slot: str, missing_in: str) -> None:
        """Fills a slot with what another one holds, where that is missing with this template."""
        start, size = page.add(slot)
        start[:] = page.start[page.row[missing_in]]
        size[:] = page.size[page.row[missing_in]]
        missing = np.flatnonzero(size < 0)
        size[missing] = self._measure(page, missing)
        ends = np.cumsum(size[missing])
        if len(missing):
            start[missing] = page.extend(int(ends[-1])) + ends - size[missing]
            self._write(page, missing, page.data, start[missing])

    def _measure(self, page: Page, messages: Int64s) -> Int64s:
        out = np.empty(len(messages), np.int64)
        _measure_messages(len(self._constants.data), self._rows(page), page.size, messages, out)
        return out

    def _write(self, page: Page, messages: Int64s, out: Bytes, at: Int64s) -> None:
        text = self._constants
        _write_messages(
            text.data, text.start, text.size, self._rows(page),
            page.data, page.start, page.size, messages, at, out,
        )  # fmt: skip

    def _rows(self, page: Page) -> Int64s:
        return np.array([page.row[name] for name in self.slots], np.int64)


def _flatten(form: Form) -> Iterator[bytes | Slot]:
    match form:
        case Slot():
            yield form
        case Text(parts):
            yield b'"'
            for part in parts:
                yield part if isinstance(part, Slot) else json_bytes(part)[1:-1]
            yield b'"'
        case Mapping():
            for i, (key, value) in enumerate(form.items()):
                if isinstance(value, Optional):
                    assert i, f"{key}: an optional member comes after another"
                    yield value.slot
                    continue
                yield (b",%b:" if i else b"{%b:") % json_bytes(key)
                yield from _flatten(value)
            yield b"}" if form else b"{}"
        case Sequence() if not isinstance(form, str):
            for i, value in enumerate(form):
                yield b"," if i else b"["
                yield from _flatten(value)
            yield b"]" if form else b"[]"
        case _:
            yield json_bytes(form)


_NULL = np.frombuffer(b"null", np.uint8).copy()


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _measure_messages(
    constant_bytes: int, rows: Int64s, size: npt.NDArray[np.int64], messages: Int64s, out: Int64s
) -> None:
    """Length of each of the messages."""
    for m in range(len(messages)):
        total = constant_bytes
        for row in rows:
            piece = size[row, messages[m]]
            total += piece if piece >= 0 else len(_NULL)
        out[m] = total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _write_messages(
    constant: Bytes,
    constant_start: Int64s,
    constant_size: Int64s,
    rows: Int64s,
    data: Bytes,
    start: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
    messages: Int64s,
    at: Int64s,
    out: Bytes,
) -> None:
    """Writes each of the messages to `out` from its `at` on: constants and slots in turn."""
    constant, data, out = borrow(constant), borrow(data), borrow(out)
    start, size = borrow(start), borrow(size)
    for m in range(len(messages)):
        i = messages[m]
        to = copy_bytes(constant, constant_start[0], constant_size[0], out, at[m])
        for p in range(len(rows)):
            row = rows[p]
            if size[row, i] >= 0:
                to = copy_bytes(data, start[row, i], size[row, i], out, to)
            else:
                to = copy_bytes(_NULL, 0, len(_NULL), out, to)
            to = copy_bytes(constant, constant_start[p + 1], constant_size[p + 1], out, to)
