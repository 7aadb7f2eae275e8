"""The numba loops over records that hold a batch: where its elements stand, and what lies under them.

Rules of this file
1. The JSON was read before, by a scan or by Python's parser: nothing is checked here again, but no byte
   beyond the end of a record is looked at.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.compiled.byteread import byte_at
from stream.compiled.keyed_hash import HashKey, keyed_hash
from stream.events.json_tokens import BACKSLASH, QUOTE, after_space
from stream.events.scan import ARRAY, MISSING, NULL, OBJECT, STRING, Kinds

_COMMA, _OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = b",{}[]"
_PLAIN, _OPEN, _CLOSE, _TEXT = range(4)
_WHAT = np.zeros(256, np.uint8)
_WHAT[[_OPEN_OBJECT, _OPEN_ARRAY]] = _OPEN
_WHAT[[_CLOSE_OBJECT, _CLOSE_ARRAY]] = _CLOSE
_WHAT[QUOTE] = _TEXT
_ENDS_SCALAR = np.array([b in b" \t\n\r,]}" for b in range(256)])
_ENDS_TEXT = np.zeros(256, np.bool_)
_ENDS_TEXT[[QUOTE, BACKSLASH]] = True

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def find_arrays(
    kind: Kinds, span: Int64s, ok: Bools, envelope: Int64s, nodes: Int64s, first: Int64s,
    array_start: Int64s, place: Int64s,
) -> None:  # fmt: skip
    """The array of events in each record.

    Args:
        kind: From the scan of n records. Shape (n, nodes), uint8.
        span: From the scan. Shape (n, nodes, 2), int64.
        ok: Records to look at. Shape (n,), bool.
        envelope: Nodes of `specversion` and `data`, or -1. Shape (2,), int64.
        nodes: Where the array may stand in a bare record, then in a CloudEvent. Shape (candidates,).
        first: Where the candidates of each form begin, and the end. Shape (3,), int64.
        array_start: Filled: its first byte, -1 for none. Shape (n,), int64.
        place: Filled where there is one: index of its candidate. Shape (n,), int64.
    """
    for i in range(len(ok)):
        array_start[i] = -1
        if not ok[i]:
            continue
        form = 0
        if envelope[0] >= 0 and kind[i, envelope[0]] == STRING:
            form = 1 if kind[i, envelope[1]] == OBJECT else 0
        for c in range(first[form], first[form + 1]):
            if kind[i, nodes[c]] == ARRAY:
                array_start[i], place[i] = span[i, nodes[c], 0], c
                break


@_jit
def find_elements(
    data: Bytes, array_start: Int64s, stop: Int64s, most: int, begin: int, used: int,
    count: Int64s, array_end: Int64s, start: Int64s, size: Int64s,
) -> tuple[int, int]:  # fmt: skip
    """The elements of the array of each record.

    Args:
        data: The buffer of the records.
        array_start: First byte of each array, -1 for none. Shape (n,), int64.
        stop: End of each record. Shape (n,), int64.
        most: Of an array with more elements none is put down.
        begin: First record to look at.
        used: How many elements those before it have.
        count: Filled: elements of each array, -1 for no array. Shape (n,), int64.
        array_end: Filled: the byte after each array. Shape (n,), int64.
        start: Filled: first byte of each element, those of one record after another. Shape (room,).
        size: Filled: its length. Shape (room,), int64.

    Returns:
        Record to go on with, n at the end and less for want of room, and elements put down so far.
    """
    data = borrow(data)
    for i in range(begin, len(array_start)):
        count[i] = -1
        if array_start[i] < 0:
            continue
        found = 0
        at = after_space(data, array_start[i] + 1, stop[i])
        while at < stop[i] and byte_at(data, at) != _CLOSE_ARRAY:
            if used + found >= len(start) and found < most:
                return i, used
            end = max(_value_end(data, at, stop[i]), at + 1)
            if found < most:
                start[used + found] = at
                size[used + found] = end - at
            found += 1
            at = after_space(data, end, stop[i])
            if at < stop[i] and byte_at(data, at) == _COMMA:
                at = after_space(data, at + 1, stop[i])
        count[i] = found
        array_end[i] = min(at + 1, stop[i])
        used += found if found <= most else 0
    return len(array_start), used


@_inlined
def _value_end(data: Bytes, at: int, stop: int) -> int:
    """The position after the value at `at`."""
    what = _WHAT[byte_at(data, at)]
    if what == _TEXT:
        return _text_end(data, at + 1, stop)
    if what != _OPEN:
        while at < stop and not _ENDS_SCALAR[byte_at(data, at)]:
            at += 1
        return at
    depth = 0
    while at < stop:
        what = _WHAT[byte_at(data, at)]
        at += 1
        if what == _PLAIN:
            continue
        if what == _TEXT:
            at = _text_end(data, at, stop)
            continue
        depth += 1 if what == _OPEN else -1
        if depth == 0:
            return at
    return stop


@_inlined
def _text_end(data: Bytes, at: int, stop: int) -> int:
    """The position after a string, from its first byte on."""
    while at < stop:
        if not _ENDS_TEXT[byte_at(data, at)]:
            at += 1
        elif byte_at(data, at) == QUOTE:
            return at + 1
        else:
            at += 2
    return stop


@_jit
def lay_over(
    record: Int64s, below: Bools, is_alone: Bools, source: Int64s, own: Bools, record_kind: Kinds, record_span: Int64s,
    ok: Bools, kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Puts what records say where their elements say nothing: null and "" are nothing.

    Args:
        record: Record of each of m elements. Shape (m,), int64.
        below: Of each record, whether its elements lie over its `data`. Shape (n,), bool.
        is_alone: Of m elements, whether it is no element, and the record is all. Shape (m,), bool.
        source: For each node below `data` that of the same path from the root, else -1.
            Shape (nodes,), int64.
        own: Nodes of which the record says nothing about its elements. Shape (nodes,), bool.
        record_kind: From the scan of the records. Shape (n, nodes), uint8.
        record_span: From it. Shape (n, nodes, 2), int64.
        ok: Elements to look at. Shape (m,), bool.
        kind: From the scan of the elements; changed. Shape (m, nodes), uint8.
        span: From it; changed. Shape (m, nodes, 2), int64.
    """
    kind, span, under, under_span = (
        borrow(kind), borrow(span), borrow(record_kind), borrow(record_span)
    )  # fmt: skip
    nodes = kind.shape[1]
    own_kind, own_span = np.empty(nodes, np.uint8), np.empty((nodes, 2), np.int64)
    for i in range(len(record)):
        if not ok[i]:
            continue
        r = record[i]
        if below[r]:
            own_kind[:], own_span[:] = kind[i], span[i]
            for node in range(nodes):
                from_node = source[node]
                kind[i, node] = MISSING if from_node < 0 else own_kind[from_node]
                if from_node >= 0:
                    span[i, node, 0], span[i, node, 1] = (
                        own_span[from_node, 0], own_span[from_node, 1]
                    )  # fmt: skip
        for node in range(nodes):
            what = kind[i, node]
            if what <= NULL or (what == STRING and span[i, node, 1] == 0):
                says = is_alone[i] or not own[node]
                kind[i, node] = under[r, node] if says else np.uint8(MISSING)
                span[i, node, 0], span[i, node, 1] = under_span[r, node, 0], under_span[r, node, 1]


@_jit
def mark_last(
    record: Int64s,
    data: Bytes,
    start: Int64s,
    size: Int64s,
    key: HashKey,
    slots: Int64s,
    out: Bools,
) -> None:
    """Whether no later event of a record is about the same customer.

    Args:
        record: Record of each of n events, rising. Shape (n,), int64.
        data: The buffer of the customers.
        start: First byte of each. Shape (n,), int64.
        size: Its length. Shape (n,), int64.
        key: Of the hash.
        slots: Working space, zeros; a power of two, more than events of any record. int64.
        out: Filled. Shape (n,), bool.
    """
    data = borrow(data)
    mask = len(slots) - 1
    for i in range(len(record) - 1, -1, -1):
        out[i] = True
        is_alone = (i == 0 or record[i - 1] != record[i]) and (
            i + 1 == len(record) or record[i + 1] != record[i]
        )
        if is_alone:
            continue
        slot = np.int64(keyed_hash(data, start[i], size[i], key) >> np.uint64(1)) & mask
        # A slot that an event of another record has left is free: within one record none is emptied.
        while slots[slot] > 0 and record[slots[slot] - 1] == record[i]:
            other = slots[slot] - 1
            if _same(data, start[i], size[i], start[other], size[other]):
                out[i] = False
                break
            slot = (slot + 1) & mask
        if out[i]:
            slots[slot] = i + 1


@_inlined
def _same(data: Bytes, a: int, a_size: int, b: int, b_size: int) -> bool:
    k = 0
    while k < a_size and a_size == b_size and byte_at(data, a + k) == byte_at(data, b + k):
        k += 1
    return a_size == b_size and k == a_size


@_jit
def count_commas(data: Bytes, start: Int64s, size: Int64s, out: Int64s) -> None:
    """The commas in each of n pieces of a buffer. Shapes (n,), int64."""
    for i in range(len(start)):
        commas = 0
        for byte in data[start[i] : start[i] + max(size[i], 0)]:
            commas += byte == _COMMA
        out[i] = commas
