"""One pass over the columns of many records: where each wanted one stands."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.compiled.byteread import byte_at, word_at
from stream.events.paths import UNWANTED
from stream.events.scan import STRING, Kinds
from stream.formats.varints import is_utf8

NO_UTF8 = -1
"""In place of a number of columns."""

_TAB = 9
_TABS = np.uint64(0x0909_0909_0909_0909)
_LOW = np.uint64(0x7F7F_7F7F_7F7F_7F7F)
_HIGH = np.uint64(0x8080_8080_8080_8080)
_NONE = np.uint64(0)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def read_columns(
    data: Bytes, starts: Int64s, sizes: Int64s, places: Int64s, ok: Bools, kind: Kinds, span: Int64s,
    json_span: Int64s, columns: Int64s,
) -> None:  # fmt: skip
    """Notes the wanted columns of the rows that are `ok` on entry; those with another number are not.

    Args:
        data: The buffer of the values.
        starts: First byte of each value. Shape (n,), int64.
        sizes: Bytes of each value. Shape (n,), int64.
        places: Of each column the node that it fills, UNWANTED, or -2 - k for the k-th column of JSON.
            Shape (131,), int64.
        ok: Changed. Shape (n,), bool.
        kind: Filled: STRING where a column is not empty. Shape (n, nodes), uint8.
        span: Filled. Shape (n, nodes, 2), int64.
        json_span: Filled: start and size of each wanted column of JSON. Shape (n, JSON columns, 2), int64.
        columns: Filled: how many columns there are, NO_UTF8 for what is no text. Shape (n,), int64.
    """
    data, kind, span, json_span = borrow(data), borrow(kind), borrow(span), borrow(json_span)
    places = borrow(places)
    for i in range(len(starts)):
        if ok[i]:
            stop = starts[i] + sizes[i]
            columns[i] = _read(data, starts[i], stop, places, i, kind, span, json_span)
            ok[i] = columns[i] == len(places)


@_inlined
def _read(
    data: Bytes, at: int, stop: int, places: Int64s, i: int, kind: Kinds, span: Int64s,
    json_span: Int64s,
) -> int:  # fmt: skip
    """How many columns stand in data[at:stop]."""
    first, begin, column = at, at, 0
    seen = _NONE
    while at < stop:
        if stop - at >= 8:
            word = word_at(data, at)
            seen |= word
            differs = word ^ _TABS
            if not ~(((differs & _LOW) + _LOW) | differs | _LOW):
                at += 8
                continue
            end = at + 8
        else:
            end = stop
        while at < end:
            byte = byte_at(data, at)
            seen |= np.uint64(byte)
            if byte == _TAB:
                _note(places, column, begin, at, i, kind, span, json_span)
                column += 1
                begin = at + 1
            at += 1
    _note(places, column, begin, stop, i, kind, span, json_span)
    if seen & _HIGH and not is_utf8(data, first, stop):
        return NO_UTF8
    return column + 1


@_inlined
def _note(
    places: Int64s, column: int, begin: int, end: int, i: int, kind: Kinds, span: Int64s,
    json_span: Int64s,
) -> None:  # fmt: skip
    """Keeps a column if it is wanted and not empty."""
    if column >= len(places) or end == begin:
        return
    node = places[column]
    if node > UNWANTED:
        kind[i, node] = STRING
        span[i, node, 0] = begin
        span[i, node, 1] = end - begin
    elif node < UNWANTED:
        json_span[i, -2 - node, 0] = begin
        json_span[i, -2 - node, 1] = end - begin
