"""The numba loops from the values of one field, in all records, to one column of events.

Rules of this file
1. The arrays `kind`, `start` and `size` hold one value per record, MISSING where there is none; all
   have shape (n,), like every column written.
2. `ok` stays true only where the value is clear and allowed; the rest is for `stream.events.reasons`.
3. Numbers and categories are optional: what cannot be read of them is missing and counted, unless
   the mapping is strict.
"""

from __future__ import annotations

from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Bytes, Float64s, Int16s, Int64s, UInt64s
from stream.compiled.borrow import borrow
from stream.events.flaws import FIRST, PRESENT, UNREADABLE
from stream.events.json_tokens import number_end
from stream.events.scalars import clear_float, clear_hash, numeral
from stream.events.scan import (
    FALSE,
    FLOAT64,
    MISSING,
    NULL,
    NUMBER,
    OBJECT,
    STRING,
    TIME,
    TRUE,
    Kinds,
)

Int8s: TypeAlias = npt.NDArray[np.int8]

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def pick(
    found_kind: Kinds, found_span: Int64s, seen: Kinds, ok: Bools, candidates: Int64s, first: Int64s,
    envelope: Int64s, forms: Kinds, chosen: Int64s, kind: Kinds, start: Int64s, size: Int64s,
) -> None:  # fmt: skip
    """Of the candidates of every field the first that is present: neither null nor an empty string.

    Args:
        found_kind: From the scan. Shape (n, nodes), uint8.
        found_span: From the scan. Shape (n, nodes, 2), int64.
        seen: Largest kind of each node: candidates that no record has are not looked at. Shape
            (nodes,), uint8.
        ok: Records to look at.
        candidates: Nodes of all fields, best first. Shape (candidates,), int64.
        first: Where the candidates of a field begin; row 0 for bare events, row 1 for CloudEvents.
            Shape (2, fields + 1), int64.
        envelope: Nodes of `specversion` and `data`, or -1. Shape (2,), int64.
        chosen: Filled: which candidate it is, of the first fields. Shape (some fields, n), int64.
        forms: Filled: 1 for CloudEvents, else 0. Shape (n,), uint8.
        kind: Filled, like `start` and `size`. Shape (fields, n).
        start: First byte of each value.
        size: Length of each value in bytes.
    """
    live, live_first = _live(seen, candidates, first)
    enveloped = 0
    for i in range(len(ok)):
        forms[i] = 0
        if ok[i] and envelope[0] >= 0:
            is_named = found_kind[i, envelope[0]] == STRING
            forms[i] = is_named and found_kind[i, envelope[1]] == OBJECT
            enveloped |= forms[i]
    # One field after the other: columns side by side would fight for the same lines of the cache.
    kind[:] = MISSING
    for field in range(len(kind)):
        for form in range(1 + enveloped):
            _pick_field(
                borrow(found_kind), borrow(found_span), ok, borrow(candidates),
                live[live_first[form, field] : live_first[form, field + 1]], forms, form,
                chosen[field : field + 1], kind[field], start[field], size[field],
            )  # fmt: skip


@_jit
def _pick_field(
    found_kind: Kinds, found_span: Int64s, ok: Bools, candidates: Int64s, live: Int64s, forms: Kinds,
    form: int, chosen: Int64s, kind: Kinds, start: Int64s, size: Int64s,
) -> None:  # fmt: skip
    """`pick` for one field, in the records of one form."""
    for c in live:
        node = candidates[c]
        for i in range(len(ok)):
            what = found_kind[i, node]
            if what <= NULL or kind[i] != MISSING or forms[i] != form or not ok[i]:
                continue
            if what == STRING and found_span[i, node, 1] == 0:
                continue
            kind[i] = what
            start[i] = found_span[i, node, 0]
            size[i] = found_span[i, node, 1]
            for k in range(len(chosen)):
                chosen[k, i] = c


@_jit
def largest_kinds(found_kind: Kinds) -> Kinds:
    """Largest kind of each node over all records. Shape (nodes,), uint8."""
    largest = np.zeros(found_kind.shape[1], np.uint8)
    for i in range(len(found_kind)):
        for node in range(len(largest)):
            largest[node] = max(largest[node], found_kind[i, node])
    return largest


@_jit
def _live(seen: Kinds, candidates: Int64s, first: Int64s) -> tuple[Int64s, Int64s]:
    """The candidates that any record has, and where those of a field begin, by form as in `first`."""
    live, begin = np.empty_like(candidates), np.empty_like(first)
    count = 0
    for form in range(len(first)):
        for field in range(first.shape[1]):
            begin[form, field] = count
            if field + 1 < first.shape[1]:
                for c in range(first[form, field], first[form, field + 1]):
                    live[count] = c
                    count += seen[candidates[c]] > NULL
    return live, begin


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
def count_types(type_code: Int16s, ok: Bools, out: Int64s) -> None:
    """How many records that are `ok` have each type, and last how many another."""
    out[:] = 0
    for i in range(len(ok)):
        if ok[i]:
            out[type_code[i]] += 1  # -1 is the last


@_jit
def read_numbers(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, strict: bool, ok: Bools, out: Float64s,
    inexact: Int64s, counts: Int64s,
) -> int:  # fmt: skip
    """Numbers, numeric strings and booleans as float64, NaN where missing or not to be read.

    Args:
        data: The buffer of the spans.
        kind: Like `start` and `size`, see the rules of this file.
        start: First byte of each value.
        size: Length of each value in bytes.
        strict: Whether a value that cannot be read makes its record not `ok`.
        ok: Records to look at.
        out: Filled.
        inexact: Filled from the front: records whose numbers take more than one rounding.
        counts: Counted up, one row of a tally of `stream.events.flaws`. Shape (3,), int64.

    Returns:
        How many are in `inexact`.
    """
    data = borrow(data)
    left = 0
    for i in range(len(ok)):
        if not ok[i]:
            continue
        if kind[i] == MISSING:
            out[i] = np.nan
            continue
        counts[PRESENT] += 1
        at, stop = start[i], start[i] + size[i]
        if kind[i] == TRUE or kind[i] == FALSE:
            out[i] = kind[i] == TRUE
            continue
        if kind[i] == FLOAT64 and np.isfinite(start[i : i + 1].view(np.float64)[0]):
            out[i] = start[i : i + 1].view(np.float64)[0]
            continue
        is_number = kind[i] == NUMBER or kind[i] == TIME
        if kind[i] == STRING:
            is_number = number_end(data, at, stop) == stop
            if not is_number:
                at, stop = numeral(data, at, stop)
                is_number = at >= 0
        if is_number:
            out[i], is_exact = clear_float(data, at, stop)
            if not is_exact:
                inexact[left] = i
                left += 1
        else:
            out[i] = np.nan
            refuse_or_count(strict, ok, counts, i)
    return left


@_jit
def read_categories(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, strict: bool, ok: Bools, out: UInt64s,
    counts: Int64s,
) -> None:  # fmt: skip
    """Hash of the text of a string, number, true or false; 0 where missing or what has no text.

    `strict` and `counts` as in `read_numbers`.
    """
    data = borrow(data)
    for i in range(len(ok)):
        if not ok[i]:
            continue
        if kind[i] == MISSING:
            out[i] = np.uint64(0)
            continue
        counts[PRESENT] += 1
        if kind[i] == FLOAT64:
            out[i] = np.uint64(0)  # its text is not here: see `stream.events.fields`
        elif kind[i] < OBJECT or kind[i] == TIME:
            out[i] = clear_hash(data, start[i], size[i])
        else:
            out[i] = np.uint64(0)
            refuse_or_count(strict, ok, counts, i)


@_inlined
def refuse_or_count(strict: bool, ok: Bools, counts: Int64s, i: int) -> None:
    """What a value costs that cannot be read: its record, or one in the count of its path."""
    if strict:
        ok[i] = False
        return
    counts[UNREADABLE] += 1
    if counts[FIRST] < 0:
        counts[FIRST] = i
