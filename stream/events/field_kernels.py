"""The numba loops from the values of one field, in all records, to one column of events.

Rules of this file
1. The arrays `kind`, `start` and `size` hold one value per record, MISSING where there is none; all
   have shape (n,), like every column written.
2. `ok` stays true only where the value is clear and allowed; the rest is for `stream.events.reasons`.
"""

from __future__ import annotations

from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Bytes, Float64s, Int16s, Int64s, UInt64s
from stream.compiled.borrow import borrow
from stream.events.json_tokens import number_end
from stream.events.scalars import clear_float, clear_hash, is_integer
from stream.events.scan import FALSE, MISSING, NULL, NUMBER, OBJECT, STRING, TRUE, Kinds
from stream.events.timestamps import UNCLEAR, clear_epoch_ms, clear_iso_ms

Int8s: TypeAlias = npt.NDArray[np.int8]

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def pick(
    found_kind: Kinds, found_span: Int64s, ok: Bools, candidates: Int64s, first: Int64s,
    envelope: Int64s, kind: Kinds, start: Int64s, size: Int64s,
) -> None:  # fmt: skip
    """Of the candidates of every field the first that is present: neither null nor an empty string.

    Args:
        found_kind: From the scan. Shape (n, nodes), uint8.
        found_span: From the scan. Shape (n, nodes, 2), int64.
        ok: Records to look at.
        candidates: Nodes of all fields, best first. Shape (candidates,), int64.
        first: Where the candidates of a field begin; row 0 for bare events, row 1 for CloudEvents.
            Shape (2, fields + 1), int64.
        envelope: Nodes of `specversion` and `data`, or -1. Shape (2,), int64.
        kind: Filled, like `start` and `size`. Shape (fields, n).
        start: First byte of each value.
        size: Length of each value in bytes.
    """
    for i in range(len(ok)):
        if not ok[i]:
            continue
        form = 0
        if envelope[0] >= 0:
            is_named = found_kind[i, envelope[0]] == STRING
            form = 1 if is_named and found_kind[i, envelope[1]] == OBJECT else 0
        for field in range(len(kind)):
            kind[field, i] = MISSING
            for c in range(first[form, field], first[form, field + 1]):
                node = candidates[c]
                what = found_kind[i, node]
                if what <= NULL or (what == STRING and found_span[i, node, 1] == 0):
                    continue
                kind[field, i] = what
                start[field, i] = found_span[i, node, 0]
                size[field, i] = found_span[i, node, 1]
                break


@_jit
def read_ids(data: Bytes, kind: Kinds, start: Int64s, size: Int64s, ok: Bools) -> None:
    """Ids are strings or integers; their spans are the column. Sets `size` to -1 where missing."""
    data = borrow(data)
    for i in range(len(ok)):
        if not ok[i]:
            continue
        if kind[i] == MISSING:
            size[i] = -1
        elif kind[i] == NUMBER:
            ok[i] = is_integer(data, start[i], start[i] + size[i])
        else:
            ok[i] = kind[i] == STRING


@_jit
def read_types(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s,
    type_bytes: Bytes, type_end: Int64s, ok: Bools, out: Int16s,
) -> None:  # fmt: skip
    """Index of each type among the declared ones, -1 if it is none of them.

    The declared types stand back to back in `type_bytes`, shape (bytes,), uint8; where each ends is
    in `type_end`, shape (types,), int64.
    """
    for i in range(len(ok)):
        ok[i] &= kind[i] == STRING
        if not ok[i]:
            continue
        out[i] = -1
        begin = 0
        for code in range(len(type_end)):
            length = type_end[code] - begin
            if length == size[i]:
                k = 0
                while k < length and data[start[i] + k] == type_bytes[begin + k]:
                    k += 1
                if k == length:
                    out[i] = code
                    break
            begin = type_end[code]


@_jit
def read_times(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, received_ms: Int64s,
    earliest_ms: int, latest_ms: Int64s, ok: Bools, out: Int64s,
) -> None:  # fmt: skip
    """Epoch milliseconds; the time of the record where the event says none."""
    data = borrow(data)
    for i in range(len(ok)):
        if not ok[i]:
            continue
        time_ms = UNCLEAR
        if kind[i] == MISSING:
            time_ms = received_ms[i] if received_ms[i] >= 0 else time_ms
        elif kind[i] == NUMBER or kind[i] == STRING:
            time_ms = clear_epoch_ms(data, start[i], start[i] + size[i])
            if time_ms == UNCLEAR and kind[i] == STRING:
                time_ms = clear_iso_ms(data, start[i], start[i] + size[i])
        out[i] = time_ms
        ok[i] = time_ms != UNCLEAR and time_ms >= earliest_ms and time_ms <= latest_ms[i]


@_jit
def read_numbers(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, ok: Bools, out: Float64s, inexact: Int64s
) -> int:
    """Numbers, numeric strings and booleans as float64, NaN where missing.

    Returns:
        How many records are in `inexact`: their numbers are well-formed, but take more than one
        rounding.
    """
    data = borrow(data)
    left = 0
    for i in range(len(ok)):
        if not ok[i]:
            continue
        stop = start[i] + size[i]
        if kind[i] == MISSING:
            out[i] = np.nan
        elif kind[i] == TRUE or kind[i] == FALSE:
            out[i] = kind[i] == TRUE
        elif kind[i] == NUMBER or (kind[i] == STRING and number_end(data, start[i], stop) == stop):
            out[i], is_exact = clear_float(data, start[i], stop)
            if not is_exact:
                inexact[left] = i
                left += 1
        else:
            ok[i] = False
    return left


@_jit
def read_categories(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, ok: Bools, out: UInt64s
) -> None:
    """Hash of the text of a string, number, true or false; 0 where missing."""
    data = borrow(data)
    for i in range(len(ok)):
        if kind[i] >= OBJECT:
            ok[i] = False
        elif ok[i]:
            out[i] = clear_hash(data, start[i], size[i]) if kind[i] != MISSING else np.uint64(0)
