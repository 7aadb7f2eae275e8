"""Members of a message: what begins with one, the items of repeated ones, and what is kept of containers."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes, Int64s
from stream.events.paths import UNWANTED, child, element
from stream.events.scan import ARRAY, MISSING, OBJECT, Kinds
from stream.formats.containers import keep_part
from stream.formats.faults import PACKED
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

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)

_MESSAGE, _MAP, _ENUM = p.MESSAGE, p.MAP, p.ENUM
_TYPE, _F_NODE, _TARGET, _FLAGS, _ITEMS = p.TYPE, p.F_NODE, p.TARGET, p.FLAGS, p.ITEMS
_RIVALS, _RIVAL_COUNT = p.RIVALS, p.RIVAL_COUNT
_DEFAULTS, _DEFAULT_COUNT, _M_NODE, _ROLE = p.DEFAULTS, p.DEFAULT_COUNT, p.M_NODE, p.ROLE
_PLAIN, _TRANSPARENT, _TIMESTAMP = p.PLAIN, p.TRANSPARENT, p.TIMESTAMP
_REPEATED, _CLOSED, _KEPT, _INDEXED = p.REPEATED, p.CLOSED, p.KEPT, p.INDEXED

_WIRE = np.full(32, VARINT_WIRE, np.int64)
"""Wire type by type of field; a group is read as a field that nobody knows."""
_WIRE[[p.DOUBLE, p.FIXED64, p.SFIXED64]] = FIXED64_WIRE
_WIRE[[p.FLOAT, p.FIXED32, p.SFIXED32]] = 5
_WIRE[[p.STRING, p.BYTES, p.MESSAGE, p.MAP]] = LENGTH_WIRE
_WIRE[p.GROUP] = -1


@_inlined
def has_wire(fields: Int64s, field: int, wire: int) -> bool:
    """Whether a field is written with a wire type when it is not packed."""
    return bool(_WIRE[fields[field, _TYPE]] == wire)


@_inlined
def is_scalar(fields: Int64s, field: int) -> bool:
    """Whether a field holds no others."""
    what = fields[field, _TYPE]
    return bool(what != _MESSAGE and what != _MAP)


@_inlined
def enter(
    data: Bytes, at: int, stop: int, messages: Int64s, fields: Int64s, lists: Int64s, slots: Int64s,
    nodes: Int64s, keys: Bytes, field: int, texts_at: int, i: int, kind: Kinds, span: Int64s,
) -> tuple[int, int, int]:  # fmt: skip
    """Notes the message at `at` that a field holds: where it begins and ends, its row; or a fault."""
    begin, end = length(data, at, stop)
    if end < 0:
        return end, end, end
    row = _inner_row(data, begin, end, fields, lists, slots, nodes, keys, field, i, kind, span)
    if row < 0:
        return row, row, row
    begin_message(messages, fields, lists, nodes, row, texts_at, i, kind, span)
    return begin, end, row


@_jit
def held_before(
    fields: Int64s, field: int, i: int, kind: Kinds, span: Int64s
) -> tuple[int, int, int]:
    """The field if it is kept, else -1; kind and first part of what is there before its value."""
    if not fields[field, _FLAGS] & _KEPT:
        return -1, 0, 0
    node = fields[field, _F_NODE]
    return field, int(kind[i, node]), int(span[i, node, 0])


@_inlined
def keep(
    parts: Int64s, used: int, first_part: int, fields: Int64s, held: tuple[int, int, int], begin: int,
    until: int, i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """Keeps a part of a container, the first one if something else was there before it."""
    field, was, was_first = held
    node = fields[field, _F_NODE]
    now = kind[i, node]
    if now != ARRAY and now != OBJECT:
        return used
    span[i, node, 0] = was_first if was == now else used
    return int(keep_part(parts, used, first_part, i, node, field, begin, until))


@_jit
def next_item(
    data: Bytes, at: int, stop: int, wire: int, fields: Int64s, lists: Int64s, nodes: Int64s, field: int,
    i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """The field that the value of a field is read as: of one with INDEXED that of its next item."""
    if not fields[field, _FLAGS] & _INDEXED or not has_wire(fields, field, wire):
        return field
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
def begin_message(
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
def is_packed(fields: Int64s, field: int, wire: int) -> bool:
    """Whether values of a repeated field stand side by side in one."""
    scalar = _WIRE[fields[field, _TYPE]]
    return (
        wire == LENGTH_WIRE and scalar != LENGTH_WIRE and scalar >= 0
        and fields[field, _FLAGS] & _REPEATED != 0
    )  # fmt: skip


@_jit
def read_packed(
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
            item = next_item(data, at, end, wire, fields, lists, nodes, field, i, kind, span)
            at = read_scalar(data, at, end, fields, lists, nodes, item, texts_at, i, kind, span)
    elif end > begin:
        note(nodes, fields[field, _F_NODE], i, ARRAY, begin, 0, kind, span)
    return begin, end
