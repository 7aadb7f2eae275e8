"""One pass over the Avro of many records: where the wanted values stand, and what kind they are.

Rules of this file
1. A record passes only if its value is what its schema says, from the first byte to the last.
2. Every length, count and index is checked before it is used; the work for a record has a bound.
3. Of equal keys of a map the last wins, with everything below it.
"""

from __future__ import annotations

import numba

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.events.paths import UNWANTED, Trie, child, element
from stream.events.scan import ARRAY, OBJECT, Kinds
from stream.formats.avro.avro_program import (
    ARRAY_OP,
    COUNT,
    FIRST,
    KEPT,
    MAP_OP,
    NO_ROWS,
    NODE,
    OP,
    RECORD_OP,
    UNION_OP,
    AvroProgram,
)
from stream.formats.avro.avro_scalars import read_scalar
from stream.formats.containers import PARTS_MAX, keep_part
from stream.formats.faults import BLOCK, DEPTH, TRAILING, UNION, UTF8, WORK
from stream.formats.notes import note
from stream.formats.varints import is_utf8, length_end, zigzag

ROW, NEXT, BLOCK_END, INDEX = range(4)
"""Columns of the open containers: their row, the next member or the items left, the end of a block,
the index of the next item of an array."""
_NO_END = -1
_WORK_MIN, _WORK_PER_BYTE = 65_536, 16
_COUNT_MAX = 2**62

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def read_avro(
    data: Bytes, starts: Int64s, sizes: Int64s, program: AvroProgram, trie: Trie, texts_at: int,
    open_rows: Int64s, ok: Bools, kind: Kinds, span: Int64s, fault: Int64s, parts: Int64s, used: int,
    first: int,
) -> tuple[int, int]:  # fmt: skip
    """Fills the rows that are `ok` on entry; those that are no value are not ok then.

    Args:
        data: The buffer of the values.
        starts: First byte of each value, behind its frame. Shape (n,), int64.
        sizes: Bytes of each value. Shape (n,), int64.
        program: Of the schema that all of them were written by.
        trie: The wanted paths.
        texts_at: Where the texts of the program will stand in the buffer.
        open_rows: Working space. Shape (depth, 4), int64.
        ok: Changed. Shape (n,), bool.
        kind: Filled. Shape (n, nodes), uint8.
        span: Filled. Shape (n, nodes, 2), int64.
        fault: Filled where a row is no value: the code. Shape (n,), int64.
        parts: Filled: see `stream.formats.containers`. Shape (parts, 5), int64.
        used: How many there are already.
        first: Row to begin with.

    Returns:
        The row to go on with once there is room for its parts, n at the end; how many parts there are.
    """
    data, kind, span, open_rows = borrow(data), borrow(kind), borrow(span), borrow(open_rows)
    ops, lists = borrow(program.ops), borrow(program.lists)
    slots, nodes, keys = borrow(trie.slots), borrow(trie.nodes), borrow(trie.keys)
    parts = borrow(parts)
    for i in range(first, len(starts)):
        if ok[i]:
            if len(parts) - used < PARTS_MAX:
                return i, used
            end, used = _read_record(
                data, starts[i], starts[i] + sizes[i], ops, lists, slots, nodes, keys,
                texts_at, open_rows, i, kind, span, parts, used,
            )  # fmt: skip
            if end < 0:
                ok[i] = False
                fault[i] = end
    return len(starts), used


@_inlined
def _read_record(  # noqa: C901, PLR0912  # one step of a machine: a call each costs as much
    data: Bytes, at: int, stop: int, ops: Int64s, lists: Int64s, slots: Int64s, nodes: Int64s,
    keys: Bytes, texts_at: int, open_rows: Int64s, i: int, kind: Kinds, span: Int64s, parts: Int64s,
    used: int,
) -> tuple[int, int]:  # fmt: skip
    """Puts the wanted values into row i; `stop` or a fault, and how many parts there are."""
    row, depth, first_part = 0, 0, used
    work = _WORK_MIN + _WORK_PER_BYTE * (stop - at)
    while True:  # a value of `row` begins here
        work -= 1
        if work < 0:
            return WORK, used
        op = ops[row, OP]
        if op == UNION_OP:
            branch, at = zigzag(data, at, stop)
            if at < 0 or branch < 0 or branch >= ops[row, COUNT]:
                return at if at < 0 else UNION, used
            row = lists[ops[row, FIRST] + branch]
            continue
        if op == RECORD_OP or op == ARRAY_OP or op == MAP_OP:
            if depth == len(open_rows):
                return DEPTH, used
            _open(ops, nodes, row, open_rows, depth, at, i, kind, span)
            depth += 1
        else:
            at = read_scalar(data, at, stop, ops, lists, nodes, row, texts_at, i, kind, span)
            if at < 0:
                return at, used
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
                    return at, used
                if row >= 0:
                    break
            depth -= 1
            if ops[parent, KEPT]:
                used = _keep(ops, parent, parts, used, first_part, at, i, span)
        if row < 0:
            return stop if at == stop else TRAILING, used


@_inlined
def _open(
    ops: Int64s, nodes: Int64s, row: int, open_rows: Int64s, depth: int, at: int, i: int,
    kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Notes a container that begins, and puts it among the open ones."""
    what = ARRAY if ops[row, OP] == ARRAY_OP else OBJECT
    note(nodes, ops[row, NODE], i, what, at, 0, kind, span)
    open_rows[depth, ROW] = row
    open_rows[depth, NEXT], open_rows[depth, BLOCK_END] = 0, _NO_END
    open_rows[depth, INDEX] = 0


@_inlined
def _keep(
    ops: Int64s, row: int, parts: Int64s, used: int, first_part: int, at: int, i: int, span: Int64s
) -> int:
    """Keeps a container that ends at `at` and has its start where its part will be."""
    node = ops[row, NODE]
    begin = span[i, node, 0]
    span[i, node, 0] = used
    return int(keep_part(parts, used, first_part, i, node, row, begin, at))


@_jit
def _item(  # noqa: C901, PLR0911, PLR0912  # one step of a machine: a call each costs as much
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
    if ops[parent, OP] == ARRAY_OP:
        if ops[parent, COUNT] != NO_ROWS:
            node = ops[parent, NODE]
            below = element(nodes, node, container[INDEX])
            container[INDEX] += 1
            if below != UNWANTED:
                row = lists[ops[parent, COUNT] + below - node - 1]
    else:
        size, at = zigzag(data, at, stop)
        if at < 0:
            return at, -1
        end = length_end(at, stop, size)
        if end < 0:
            return end, -1
        if not is_utf8(data, at, end):
            return UTF8, -1
        node = ops[parent, NODE]
        if ops[parent, COUNT] != NO_ROWS:
            below = child(slots, nodes, keys, node, data, at, size)
            if below != UNWANTED:
                row = lists[ops[parent, COUNT] + below - node - 1]
        at = end
    return at, row
