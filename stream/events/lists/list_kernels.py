"""The numba loops over the elements of lists: where they stand, and what is kept of their values.

Rules of this file
1. The lists stand in JSON that a scan has passed: nothing is checked again.
2. The elements of list i are first[i] to first[i + 1]; `first` has shape (lists + 1,), int64.
3. What is kept of the categories of a list does not depend on their order, nor on lists inside lists:
   only `choose` takes the first.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from stream.columns import Bools, Bytes, Float64s, Int64s, UInt64s
from stream.compiled.borrow import borrow
from stream.events.json_tokens import (
    FALSE_TEXT,
    NULL_TEXT,
    QUOTE,
    TRUE_TEXT,
    after_space,
    literal_end,
    number_end,
    string_end,
)
from stream.events.scan import (
    ARRAY,
    ESCAPED,
    FALSE,
    NULL,
    NUMBER,
    OBJECT,
    STRING,
    TRUE,
    Kinds,
)

BYTE_MAX = 255
"""Elements that a bucket of `count_buckets` counts in one event."""

_T, _F, _N = b"tfn"
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = b"{}[]"

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def find_elements(
    data: Bytes, kind: Kinds, start: Int64s, live: Bools, first: Int64s, of: Kinds, span: Int64s
) -> int:
    """Where the elements of lists stand, and what kind they are.

    Args:
        data: The buffer.
        kind: What stands where a list is looked for; only an ARRAY has elements. Shape (n,), uint8.
        start: Where it stands. Shape (n,), int64.
        live: What to look at. Shape (n,), bool.
        first: Filled, see the rules of this file.
        of: Filled: kinds of the elements, as far as there is room. Shape (room,), uint8.
        span: Filled: start and size of each, without the quotes of a string. Shape (room, 2), int64.

    Returns:
        How many elements there are.
    """
    data, of, span = borrow(data), borrow(of), borrow(span)
    stop, used = len(data), 0
    for i in range(len(kind)):
        first[i] = used
        if not live[i] or kind[i] != ARRAY:
            continue
        at = after_space(data, start[i] + 1, stop)
        while data[at] != _CLOSE_ARRAY:
            end, what = _element(data, at, stop)
            if used < len(of):
                quote = 1 if data[at] == QUOTE else 0
                of[used] = what
                span[used, 0] = at + quote
                span[used, 1] = end - at - 2 * quote
            used += 1
            at = after_space(data, end, stop)
            if data[at] != _CLOSE_ARRAY:
                at = after_space(data, at + 1, stop)  # a comma
    first[len(kind)] = used
    return used


@_inlined
def _element(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """The position after the value at `at`, and its kind."""
    byte = data[at]
    if byte == QUOTE:
        end, has_escapes = string_end(data, at + 1, stop)
        return end + 1, ESCAPED if has_escapes else STRING
    if byte == _OPEN_OBJECT or byte == _OPEN_ARRAY:
        return _container_end(data, at, stop), OBJECT if byte == _OPEN_OBJECT else ARRAY
    if byte == _T:
        return literal_end(data, at, stop, TRUE_TEXT), TRUE
    if byte == _F:
        return literal_end(data, at, stop, FALSE_TEXT), FALSE
    if byte == _N:
        return literal_end(data, at, stop, NULL_TEXT), NULL
    return number_end(data, at, stop), NUMBER


@_jit
def _container_end(data: Bytes, at: int, stop: int) -> int:
    """The position after the object or array at `at`."""
    depth = 0
    while at < stop:
        byte = data[at]
        if byte == QUOTE:
            at, _ = string_end(data, at + 1, stop)
        elif byte == _OPEN_OBJECT or byte == _OPEN_ARRAY:
            depth += 1
        elif byte == _CLOSE_OBJECT or byte == _CLOSE_ARRAY:
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return at


@_jit
def add_up(first: Int64s, is_list: Bools, value: Float64s, out: Float64s) -> None:
    """The sum of what is known of each list, from its first element on; infinite when it is too large.

    NaN for what is no list, and for a list whose elements all are NaN; 0 for an empty list.

    Args:
        first: See the rules of this file.
        is_list: Shape (lists,), bool.
        value: NaN where missing. Shape (elements,), float64.
        out: Filled. Shape (lists,), float64.
    """
    for i in range(len(out)):
        total, known = 0.0, first[i] == first[i + 1]
        for k in range(first[i], first[i + 1]):
            if not math.isnan(value[k]):
                total += value[k]
                known = True
        out[i] = total if known and is_list[i] else np.nan


@_jit
def mask(first: Int64s, category: UInt64s, out: UInt64s) -> None:
    """Bit h mod 64 of each hash h of a list; a hash of 0 is a missing category."""
    for i in range(len(out)):
        bits = np.uint64(0)
        for k in range(first[i], first[i + 1]):
            if category[k] != 0:
                bits |= np.uint64(1) << (category[k] % np.uint64(64))
        out[i] = bits


@_jit
def count_buckets(
    first: Int64s, category: UInt64s, buckets: int, first_bucket: int, out: UInt64s
) -> None:
    """In byte k how many elements of a list are in bucket `first_bucket` + k, at most `BYTE_MAX`."""
    counts = np.empty(8, np.int64)
    for i in range(len(out)):
        counts[:] = 0
        for k in range(first[i], first[i + 1]):
            bucket = np.int64(category[k] % np.uint64(buckets)) - first_bucket
            if category[k] != 0 and bucket >= 0 and bucket < 8:
                counts[bucket] = min(counts[bucket] + 1, BYTE_MAX)
        packed = np.uint64(0)
        for b in range(8):
            packed |= np.uint64(counts[b]) << np.uint64(8 * b)
        out[i] = packed


@_jit
def choose(first: Int64s, category: UInt64s, values: UInt64s, out: UInt64s) -> None:
    """The hash of the first element of a list that is one of `values`, 0 when none is."""
    for i in range(len(out)):
        out[i] = np.uint64(0)
        for k in range(first[i], first[i + 1]):
            for v in range(len(values)):
                if category[k] == values[v] and category[k] != 0:
                    out[i] = category[k]
            if out[i] != 0:
                break
