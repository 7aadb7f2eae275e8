"""One pass over the Protobuf of many records: where the wanted values stand, and what kind they are.

Rules of this file
1. A record passes only if its value is a message, from the first byte to the last.
2. Every length and tag is checked before it is used; each step takes bytes, so the work is bounded.
3. A field that comes again wins, or merges into the earlier one when it is a message.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.events.paths import UNWANTED, Trie, child, element
from stream.events.scan import ARRAY, MISSING, OBJECT, Kinds
from stream.formats.containers import PARTS_MAX, keep_part
from stream.formats.faults import DEPTH, PACKED
from stream.formats.notes import SECONDS, forget, note
from stream.formats.protobuf import protobuf_program as p
from stream.formats.protobuf.protobuf_scalars import has_symbol, note_default, read_scalar
from stream.formats.protobuf.protobuf_wire import (
    FIXED64_WIRE,
    LENGTH_WIRE,
    VARINT_WIRE,
    after_unknown,
    length,
    tag,
)
from stream.formats.varints import varint

_ROW, _STOP = range(2)
"""Columns of the open messages: their row, and where they end."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)

_MESSAGE, _MAP, _GROUP, _ENUM = p.MESSAGE, p.MAP, p.GROUP, p.ENUM
_TYPE, _F_NODE, _TARGET, _COUNT, _FLAGS = p.TYPE, p.F_NODE, p.TARGET, p.COUNT, p.FLAGS
_NUMBER, _RIVALS, _RIVAL_COUNT = p.NUMBER, p.RIVALS, p.RIVAL_COUNT
_FIELDS, _FIELD_COUNT, _DIRECT, _DIRECT_MAX = p.FIELDS, p.FIELD_COUNT, p.DIRECT, p.DIRECT_MAX
_DEFAULTS, _DEFAULT_COUNT, _M_NODE, _ROLE = p.DEFAULTS, p.DEFAULT_COUNT, p.M_NODE, p.ROLE
_PLAIN, _TRANSPARENT, _TIMESTAMP, _LIST = p.PLAIN, p.TRANSPARENT, p.TIMESTAMP, p.LIST
_REPEATED, _CLOSED, _KEPT, _INDEXED = p.REPEATED, p.CLOSED, p.KEPT, p.INDEXED
_ITEMS = p.ITEMS
_CONTAINER = _KEPT | _INDEXED

_WIRE = np.full(32, VARINT_WIRE, np.int64)
"""Wire type by type of field; a group is read as a field that nobody knows."""
_WIRE[[p.DOUBLE, p.FIXED64, p.SFIXED64]] = FIXED64_WIRE
_WIRE[[p.FLOAT, p.FIXED32, p.SFIXED32]] = 5
_WIRE[[p.STRING, p.BYTES, p.MESSAGE, p.MAP]] = LENGTH_WIRE
_WIRE[p.GROUP] = -1


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
    _begin(messages, fields, lists, nodes, row, texts_at, i, kind, span)
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
        kept, begin, was, was_first = -1, at, 0, 0
        if field >= 0 and fields[field, _FLAGS] & _CONTAINER:
            if fields[field, _FLAGS] & _KEPT:
                kept, node = field, fields[field, _F_NODE]
                was, was_first = int(kind[i, node]), int(span[i, node, 0])
            if fields[field, _FLAGS] & _INDEXED and _WIRE[fields[field, _TYPE]] == wire:
                field = _item(data, at, end, fields, lists, nodes, field, i, kind, span)
        if field >= 0 and _WIRE[fields[field, _TYPE]] == wire:
            what = fields[field, _TYPE]
            if what != _MESSAGE and what != _MAP:
                at = until = read_scalar(
                    data, at, end, fields, lists, nodes, field, texts_at, i, kind, span
                )
            else:
                at, inner = length(data, at, end)
                if inner < 0:
                    return inner, used
                if depth == len(open_rows) - 1:
                    return DEPTH, used
                open_rows[depth, _ROW], open_rows[depth, _STOP] = row, end
                depth += 1
                begin, end, until = at, inner, inner
                row = _inner_row(
                    data, at, end, fields, lists, slots, nodes, keys, field, i, kind, span
                )
                if row < 0:
                    return row, used
                _begin(messages, fields, lists, nodes, row, texts_at, i, kind, span)
        elif field >= 0 and _is_packed(fields, field, wire):
            begin, at = _after_packed(
                data, at, end, fields, lists, nodes, field, texts_at, i, kind, span
            )
            until = at
        else:
            kept, until = -1, at
            at = after_unknown(data, at, end, number, wire, open_rows, depth)
        if at < 0:
            return at, used
        if kept >= 0:
            node = fields[kept, _F_NODE]
            if kind[i, node] == ARRAY or kind[i, node] == OBJECT:
                span[i, node, 0] = was_first if was == kind[i, node] else used
                used = keep_part(parts, used, first_part, i, node, kept, begin, until)


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


@_jit
def _item(
    data: Bytes, at: int, stop: int, fields: Int64s, lists: Int64s, nodes: Int64s, field: int,
    i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """The field that the next item of a repeated field is read as; counts the items."""
    node, items = fields[field, _F_NODE], fields[field, _ITEMS]
    if fields[field, _TYPE] == _ENUM and fields[field, _FLAGS] & _CLOSED:
        value, end = varint(data, at, stop)
        if end < 0 or not has_symbol(fields, lists, field, value):
            return int(lists[items])
    if kind[i, node] != ARRAY:
        note(nodes, node, i, ARRAY, at, 0, kind, span)
    below = element(nodes, node, span[i, node, 1])
    span[i, node, 1] += 1
    return int(lists[items] if below == UNWANTED else lists[items + below - node])


@_jit
def _inner_row(
    data: Bytes, at: int, stop: int, fields: Int64s, lists: Int64s, slots: Int64s, nodes: Int64s,
    keys: Bytes, field: int, i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """The row of the message data[at:stop] that a field holds, or a fault."""
    node = fields[field, _F_NODE]
    row = int(fields[field, _TARGET])
    for k in range(fields[field, _RIVALS], fields[field, _RIVALS] + fields[field, _RIVAL_COUNT]):
        forget(nodes, lists[k], i, kind)
    if fields[field, _TYPE] == _MAP:
        first = row
        row = int(lists[first])
        if node != UNWANTED:
            if kind[i, node] != OBJECT:
                note(nodes, node, i, OBJECT, at, 0, kind, span)
            start, size = _key(data, at, stop)
            if start < 0:
                return start
            below = child(slots, nodes, keys, node, data, start, size)
            if below != UNWANTED:
                forget(nodes, below, i, kind)
                row = int(lists[first + below - node])
    elif node != UNWANTED and fields[field, _FLAGS] & _REPEATED and kind[i, node] != ARRAY:
        note(nodes, node, i, ARRAY, at, 0, kind, span)
    return row


@_jit
def _key(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Start and size of the key of a map's entry, which may stand behind the value; or a fault."""
    start, size = at, 0
    none = np.empty((0, 2), np.int64)
    while at < stop:
        number, wire, at = tag(data, at, stop)
        if at < 0:
            return at, 0
        if number == 1 and wire == LENGTH_WIRE:
            start, end = length(data, at, stop)
            if end < 0:
                return end, 0
            size = end - start
            at = end
        else:
            at = after_unknown(data, at, stop, number, wire, none, 0)
            if at < 0:
                return at, 0
    return start, size


@_jit
def _begin(
    messages: Int64s, fields: Int64s, lists: Int64s, nodes: Int64s, row: int, texts_at: int,
    i: int, kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Notes a message that begins, and the defaults of its fields unless it merges into another."""
    if not _note_message(messages, nodes, row, i, kind, span):
        return
    first = messages[row, _DEFAULTS]
    for k in range(first, first + messages[row, _DEFAULT_COUNT]):
        field = lists[k]
        if fields[field, _TYPE] == _MESSAGE:  # the value of a map's entry
            inner = fields[field, _TARGET]
            if _note_message(messages, nodes, inner, i, kind, span):
                below = messages[inner, _DEFAULTS]
                for m in range(below, below + messages[inner, _DEFAULT_COUNT]):
                    note_default(fields, lists, nodes, lists[m], texts_at, i, kind, span)
        else:
            note_default(fields, lists, nodes, field, texts_at, i, kind, span)


@_jit
def _note_message(
    messages: Int64s, nodes: Int64s, row: int, i: int, kind: Kinds, span: Int64s
) -> bool:
    """Whether a message is not there yet; notes it."""
    node, role = messages[row, _M_NODE], messages[row, _ROLE]
    if node == UNWANTED:
        return False
    if role == _TRANSPARENT:
        return bool(kind[i, node] == MISSING)
    what = OBJECT if role == _PLAIN else SECONDS if role == _TIMESTAMP else ARRAY
    if kind[i, node] == what:
        return False
    note(nodes, node, i, what, 0, 0, kind, span)
    return True


@_inlined
def _is_packed(fields: Int64s, field: int, wire: int) -> bool:
    scalar = _WIRE[fields[field, _TYPE]]
    return (
        wire == LENGTH_WIRE and scalar != LENGTH_WIRE and scalar >= 0
        and fields[field, _FLAGS] & _REPEATED != 0
    )  # fmt: skip


@_jit
def _after_packed(
    data: Bytes, at: int, stop: int, fields: Int64s, lists: Int64s, nodes: Int64s, field: int,
    texts_at: int, i: int, kind: Kinds, span: Int64s,
) -> tuple[int, int]:  # fmt: skip
    """Where packed values begin, which are an array, and end; or a fault."""
    begin, end = length(data, at, stop)
    if end < 0:
        return end, end
    wire = _WIRE[fields[field, _TYPE]]
    at = begin
    if wire == VARINT_WIRE:
        while at < end:
            at = varint(data, at, end)[1]
            if at < 0:
                return at, at
    elif (end - begin) % (8 if wire == FIXED64_WIRE else 4) != 0:
        return PACKED, PACKED
    if fields[field, _FLAGS] & _INDEXED:
        at = begin
        while at < end:
            item = _item(data, at, end, fields, lists, nodes, field, i, kind, span)
            at = read_scalar(data, at, end, fields, lists, nodes, item, texts_at, i, kind, span)
    elif end > begin:
        note(nodes, fields[field, _F_NODE], i, ARRAY, begin, 0, kind, span)
    return begin, end
