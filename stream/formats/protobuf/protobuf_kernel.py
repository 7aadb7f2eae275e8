"""One pass over the Protobuf of many records: where the wanted values stand, and what kind they are.

Rules of this file
1. A record passes only if its value is a message, from the first byte to the last.
2. Every length and tag is checked before it is used; each step takes bytes, so the work is bounded.
3. A field that comes again wins, or merges into the earlier one when it is a message.
"""

from __future__ import annotations

import numba

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.events.paths import Trie
from stream.events.scan import Kinds
from stream.formats.containers import PARTS_MAX
from stream.formats.faults import DEPTH
from stream.formats.protobuf import protobuf_program as p
from stream.formats.protobuf.protobuf_members import (
    begin_message,
    enter,
    has_wire,
    held_before,
    is_packed,
    is_scalar,
    keep,
    next_item,
    read_packed,
)
from stream.formats.protobuf.protobuf_scalars import read_scalar
from stream.formats.protobuf.protobuf_wire import after_unknown, tag

_ROW, _STOP = range(2)
"""Columns of the open messages: their row, and where they end."""
_NO_PART = -1
_FIELDS, _FIELD_COUNT, _DIRECT, _DIRECT_MAX = p.FIELDS, p.FIELD_COUNT, p.DIRECT, p.DIRECT_MAX
_NUMBER, _FLAGS, _CONTAINER = p.NUMBER, p.FLAGS, p.KEPT | p.INDEXED
_NOTHING = (-1, 0, 0)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def read_protobuf(
    data: Bytes, starts: Int64s, sizes: Int64s, program: p.ProtobufProgram, trie: Trie,
    texts_at: int, open_rows: Int64s, ok: Bools, kind: Kinds, span: Int64s, fault: Int64s,
    parts: Int64s, used: int, first: int,
) -> tuple[int, int]:  # fmt: skip
    """Fills the rows that are `ok` on entry, as `avro_kernel.read_avro` does."""
    data, kind, span, open_rows = borrow(data), borrow(kind), borrow(span), borrow(open_rows)
    messages, fields = borrow(program.messages), borrow(program.fields)
    direct, lists = borrow(program.direct), borrow(program.lists)
    slots, nodes, keys = borrow(trie.slots), borrow(trie.nodes), borrow(trie.keys)
    parts = borrow(parts)
    for i in range(first, len(starts)):
        if ok[i]:
            if len(parts) - used < PARTS_MAX:
                return i, used
            end, used = _read_record(
                data, starts[i], starts[i] + sizes[i], messages, fields, direct, lists,
                slots, nodes, keys, texts_at, open_rows, i, kind, span, parts, used,
            )  # fmt: skip
            if end < 0:
                ok[i] = False
                fault[i] = end
    return len(starts), used


@_inlined
def _read_record(  # noqa: C901, PLR0912  # one step of a machine: a call each costs as much
    data: Bytes, at: int, stop: int, messages: Int64s, fields: Int64s, direct: Int64s, lists: Int64s,
    slots: Int64s, nodes: Int64s, keys: Bytes, texts_at: int, open_rows: Int64s,
    i: int, kind: Kinds, span: Int64s, parts: Int64s, used: int,
) -> tuple[int, int]:  # fmt: skip
    """Puts the wanted values into row i; `stop` or a fault, and how many parts there are."""
    row, end, depth, first_part = 0, stop, 0, used
    begin_message(messages, fields, lists, nodes, row, texts_at, i, kind, span)
    while True:
        while at == end:
            if depth == 0:
                return at, used
            depth -= 1
            row, end = open_rows[depth, _ROW], open_rows[depth, _STOP]
        number, wire, at = tag(data, at, end)
        if at < 0:
            return at, used
        field = _field(messages, fields, direct, row, number)
        begin, held = at, _NOTHING
        if field >= 0 and fields[field, _FLAGS] & _CONTAINER:
            held = held_before(fields, field, i, kind, span)
            field = next_item(data, at, end, wire, fields, lists, nodes, field, i, kind, span)
        if field >= 0 and has_wire(fields, field, wire):
            if is_scalar(fields, field):
                at = until = read_scalar(
                    data, at, end, fields, lists, nodes, field, texts_at, i, kind, span
                )
            elif depth == len(open_rows) - 1:
                return DEPTH, used
            else:
                open_rows[depth, _ROW], open_rows[depth, _STOP] = row, end
                depth += 1
                at, end, row = enter(
                    data, at, end, messages, fields, lists, slots, nodes, keys, field, texts_at,
                    i, kind, span,
                )  # fmt: skip
                begin, until = at, end
        elif field >= 0 and is_packed(fields, field, wire):
            begin, until = read_packed(
                data, at, end, fields, lists, nodes, field, texts_at, i, kind, span
            )
            at = until
        else:
            until = _NO_PART
            at = after_unknown(data, at, end, number, wire, open_rows, depth)
        if at < 0:
            return at, used
        if held[0] >= 0 and until != _NO_PART:
            used = keep(parts, used, first_part, fields, held, begin, until, i, kind, span)


@_inlined
def _field(messages: Int64s, fields: Int64s, direct: Int64s, row: int, number: int) -> int:
    """The row of a field, -1 when the message has none of this number."""
    if number < _DIRECT_MAX:
        return int(direct[messages[row, _DIRECT] + number])
    first = messages[row, _FIELDS]
    for field in range(first, first + messages[row, _FIELD_COUNT]):
        if fields[field, _NUMBER] == number:
            return field
    return -1
