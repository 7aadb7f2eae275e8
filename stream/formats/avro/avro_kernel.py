"""One pass over the Avro of many records: where the wanted values stand, and what kind they are.

Rules of this file
1. A record passes only if its value is what its schema says, from the first byte to the last.
2. Every length, count and index is checked before it is used; the work for a record has a bound.
3. Of equal keys of a map the last wins, with everything below it.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.events.paths import UNWANTED, Trie, child
from stream.events.scan import ARRAY, FLOAT64, NULL, OBJECT, STRING, Kinds
from stream.formats.avro.avro_program import (
    ARRAY_OP,
    BOOLEAN_OP,
    BYTES_OP,
    COUNT,
    DATE_OP,
    DOUBLE_OP,
    ENUM_OP,
    FIRST,
    FIXED_OP,
    FLOAT_OP,
    LONG_OP,
    MAP_OP,
    MICROS_OP,
    MILLIS_OP,
    NANOS_OP,
    NO_DECIMAL,
    NODE,
    NULL_OP,
    OP,
    RECORD_OP,
    SCALE,
    STRING_OP,
    UNION_OP,
    AvroProgram,
)
from stream.formats.faults import BLOCK, BOOLEAN, CUT, DEPTH, ENUM, TRAILING, UNION, UTF8, WORK
from stream.formats.notes import (
    DECIMAL,
    INT64,
    LONG_DECIMAL,
    MILLIS,
    SCALE_MAX,
    SCALE_SHIFT,
    kind_of_bytes,
    note,
    note_boolean,
)
from stream.formats.varints import float_bits, is_utf8, length_end, zigzag

ROW, NEXT, BLOCK_END = range(3)
"""Columns of the open containers: their row, the next member or the items left, the end of a block."""
_NO_END = -1
_DAY_MS = 86_400_000
_DAYS_MAX = 10**10
_WORK_MIN, _WORK_PER_BYTE = 65_536, 16
_COUNT_MAX = 2**62

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def read_avro(
    data: Bytes, starts: Int64s, sizes: Int64s, program: AvroProgram, trie: Trie, texts_at: int,
    open_rows: Int64s, ok: Bools, kind: Kinds, span: Int64s, fault: Int64s,
) -> None:  # fmt: skip
    """Fills the rows that are `ok` on entry; those that are no value are not ok then.

    Args:
        data: The buffer of the values.
        starts: First byte of each value, behind its frame. Shape (n,), int64.
        sizes: Bytes of each value. Shape (n,), int64.
        program: Of the schema that all of them were written by.
        trie: The wanted paths.
        texts_at: Where the texts of the program will stand in the buffer.
        open_rows: Working space. Shape (depth, 3), int64.
        ok: Changed. Shape (n,), bool.
        kind: Filled. Shape (n, nodes), uint8.
        span: Filled. Shape (n, nodes, 2), int64.
        fault: Filled where a row is no value: the code. Shape (n,), int64.
    """
    data, kind, span, open_rows = borrow(data), borrow(kind), borrow(span), borrow(open_rows)
    ops, lists = borrow(program.ops), borrow(program.lists)
    slots, nodes, keys = borrow(trie.slots), borrow(trie.nodes), borrow(trie.keys)
    for i in range(len(starts)):
        if ok[i]:
            end = _read_record(
                data, starts[i], starts[i] + sizes[i], ops, lists, slots, nodes, keys,
                texts_at, open_rows, i, kind, span,
            )  # fmt: skip
            if end < 0:
                ok[i] = False
                fault[i] = end


@_inlined
def _read_record(  # noqa: C901, PLR0912  # one step of a machine: a call each costs as much
    data: Bytes, at: int, stop: int, ops: Int64s, lists: Int64s, slots: Int64s, nodes: Int64s,
    keys: Bytes, texts_at: int, open_rows: Int64s, i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """Puts the wanted values into row i; `stop`, or a fault."""
    row, depth = 0, 0
    work = _WORK_MIN + _WORK_PER_BYTE * (stop - at)
    while True:  # a value of `row` begins here
        work -= 1
        if work < 0:
            return WORK
        op = ops[row, OP]
        if op == UNION_OP:
            branch, at = zigzag(data, at, stop)
            if at < 0 or branch < 0 or branch >= ops[row, COUNT]:
                return at if at < 0 else UNION
            row = lists[ops[row, FIRST] + branch]
            continue
        if op == RECORD_OP or op == ARRAY_OP or op == MAP_OP:
            if depth == len(open_rows):
                return DEPTH
            what = ARRAY if op == ARRAY_OP else OBJECT
            note(nodes, ops[row, NODE], i, what, at, 0, kind, span)
            open_rows[depth, ROW] = row
            open_rows[depth, NEXT], open_rows[depth, BLOCK_END] = 0, _NO_END
            depth += 1
        else:
            at = _scalar(data, at, stop, ops, lists, nodes, row, texts_at, i, kind, span)
            if at < 0:
                return at
        row = -1
        while depth > 0 and row < 0:
            parent = open_rows[depth - 1, ROW]
            if ops[parent, OP] == RECORD_OP:
                member = open_rows[depth - 1, NEXT]
                if member < ops[parent, COUNT]:
                    open_rows[depth - 1, NEXT] = member + 1
                    row = lists[ops[parent, FIRST] + member]
                    break
            else:
                at, row = _item(
                    data, at, stop, ops, lists, slots, nodes, keys, parent, open_rows[depth - 1]
                )
                if at < 0:
                    return at
                if row >= 0:
                    break
            depth -= 1
        if row < 0:
            return stop if at == stop else TRAILING


@_jit
def _item(  # noqa: C901, PLR0911  # one step of a machine: a call each costs as much
    data: Bytes, at: int, stop: int, ops: Int64s, lists: Int64s, slots: Int64s, nodes: Int64s,
    keys: Bytes, parent: int, container: Int64s,
) -> tuple[int, int]:  # fmt: skip
    """Before an item of an array or map: where it begins, and its row, -1 behind the last one."""
    while container[NEXT] == 0:
        if container[BLOCK_END] != _NO_END and container[BLOCK_END] != at:
            return BLOCK, -1
        container[BLOCK_END] = _NO_END
        count, at = zigzag(data, at, stop)
        if at < 0 or count == 0:
            return at, -1
        if count < 0:
            size, at = zigzag(data, at, stop)
            if at < 0:
                return at, -1
            end = length_end(at, stop, size)
            if end < 0 or count < -_COUNT_MAX:
                return BLOCK, -1
            container[BLOCK_END] = end
            count = -count
        container[NEXT] = count
    container[NEXT] -= 1
    row = ops[parent, FIRST]
    if ops[parent, OP] == MAP_OP:
        size, at = zigzag(data, at, stop)
        if at < 0:
            return at, -1
        end = length_end(at, stop, size)
        if end < 0:
            return end, -1
        if not is_utf8(data, at, end):
            return UTF8, -1
        node = ops[parent, NODE]
        if node != UNWANTED:
            below = child(slots, nodes, keys, node, data, at, size)
            if below != UNWANTED:
                row = lists[ops[parent, COUNT] + below - node - 1]
        at = end
    return at, row


@_inlined
def _scalar(  # noqa: C901, PLR0911, PLR0912  # one step of a machine: a call each costs as much
    data: Bytes, at: int, stop: int, ops: Int64s, lists: Int64s, nodes: Int64s, row: int,
    texts_at: int, i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """Notes the value at `at`, which holds no others; the position after it, or a fault."""
    op, node = ops[row, OP], ops[row, NODE]
    if op == LONG_OP or op == ENUM_OP or op >= MILLIS_OP:
        value, end = zigzag(data, at, stop)
        if end < 0:
            return end
        return _whole(ops, lists, nodes, row, value, end, texts_at, i, kind, span)
    if op == STRING_OP or op == BYTES_OP or op == FIXED_OP:
        size = ops[row, COUNT]
        if op != FIXED_OP:
            size, at = zigzag(data, at, stop)
            if at < 0:
                return at
        end = length_end(at, stop, size)
        if end < 0:
            return end
        if op == STRING_OP:
            if not is_utf8(data, at, end):
                return UTF8
            note(nodes, node, i, STRING, at, size, kind, span)
        elif node != UNWANTED:
            _bytes(data, at, end, ops[row, SCALE], nodes, node, i, kind, span)
        return end
    if op == NULL_OP:
        note(nodes, node, i, NULL, at, 0, kind, span)
        return at
    if op == BOOLEAN_OP:
        if at >= stop:
            return CUT
        if data[at] > 1:
            return BOOLEAN
        note_boolean(nodes, node, i, bool(data[at]), texts_at, kind, span)
        return at + 1
    size = 8 if op == DOUBLE_OP else 4
    if stop - at < size:
        return CUT
    if node != UNWANTED:
        bits = float_bits(data, at, op == FLOAT_OP)
        note(nodes, node, i, FLOAT64, bits, 0, kind, span)
    return at + size


@_inlined
def _whole(
    ops: Int64s, lists: Int64s, nodes: Int64s, row: int, value: int, end: int, texts_at: int,
    i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """Notes what a whole number stands for; `end`, or a fault."""
    op, node = ops[row, OP], ops[row, NODE]
    if op == ENUM_OP:
        if value < 0 or value >= ops[row, COUNT]:
            return ENUM
        symbol = ops[row, FIRST] + 2 * value
        note(nodes, node, i, STRING, texts_at + lists[symbol], lists[symbol + 1], kind, span)
        return end
    what = INT64 if op == LONG_OP else MILLIS
    if op == MICROS_OP:
        value //= 1_000
    elif op == NANOS_OP:
        value //= 1_000_000
    elif op == DATE_OP:
        value = min(max(value, -_DAYS_MAX), _DAYS_MAX) * _DAY_MS
    note(nodes, node, i, what, value, 0, kind, span)
    return end


@_jit
def _bytes(
    data: Bytes, at: int, stop: int, scale: int, nodes: Int64s, node: int, i: int,
    kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Notes bytes, or the decimal that they are, highest byte first."""
    if scale == NO_DECIMAL:
        note(nodes, node, i, kind_of_bytes(data, at, stop), at, stop - at, kind, span)
        return
    while stop - at > 1 and data[at] == (0xFF if data[at + 1] >= 0x80 else 0):
        at += 1  # it only repeats the sign
    if stop - at > 8 or scale > SCALE_MAX:
        note(nodes, node, i, LONG_DECIMAL, at, stop - at | scale << SCALE_SHIFT, kind, span)
        return
    value = np.uint64(0)
    if stop > at and data[at] >= 0x80:
        value = ~value
    for k in range(at, stop):
        value = value << np.uint64(8) | np.uint64(data[k])
    note(nodes, node, i, DECIMAL, int(np.int64(value)), scale, kind, span)
