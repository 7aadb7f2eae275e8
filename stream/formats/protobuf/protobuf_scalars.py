"""Fields of Protobuf that hold no others: how they are read, and what they say when they are not there."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes, Int64s
from stream.events.paths import UNWANTED
from stream.events.scan import ARRAY, FALSE, FLOAT64, MISSING, NULL, STRING, TRUE, Kinds
from stream.formats import notes
from stream.formats.faults import CUT, UTF8
from stream.formats.notes import forget, kind_of_bytes, note, note_boolean
from stream.formats.protobuf import protobuf_program as p
from stream.formats.protobuf.protobuf_wire import length
from stream.formats.tables import FALSE_SIZE, TRUE_SIZE
from stream.formats.varints import float_bits, is_utf8, little_endian, signed, varint

_DOUBLE, _FLOAT, _INT32, _BOOL, _STRING, _BYTES = (
    p.DOUBLE,
    p.FLOAT,
    p.INT32,
    p.BOOL,
    p.STRING,
    p.BYTES,
)
_FIXED64, _FIXED32, _SFIXED32, _SFIXED64 = p.FIXED64, p.FIXED32, p.SFIXED32, p.SFIXED64
_SINT32, _SINT64, _UINT32, _UINT64, _ENUM = p.SINT32, p.SINT64, p.UINT32, p.UINT64, p.ENUM
_SECONDS, _NANOS, _NULL_VALUE = p.SECONDS, p.NANOS, p.NULL_VALUE
_TYPE, _F_NODE, _TARGET, _COUNT, _FLAGS = p.TYPE, p.F_NODE, p.TARGET, p.COUNT, p.FLAGS
_RIVALS, _RIVAL_COUNT = p.RIVALS, p.RIVAL_COUNT
_REPEATED, _VERIFIED, _CLOSED = p.REPEATED, p.VERIFIED, p.CLOSED
_INT64_KIND, _UINT64_KIND = notes.INT64, notes.UINT64

_LOW_32 = np.uint64(0xFFFF_FFFF)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def read_scalar(  # noqa: C901  # one step of a machine: a call each costs as much
    data: Bytes, at: int, stop: int, fields: Int64s, lists: Int64s, nodes: Int64s, field: int,
    texts_at: int, i: int, kind: Kinds, span: Int64s,
) -> int:  # fmt: skip
    """Notes the value at `at`; the position after it, or a fault."""
    what, node = fields[field, _TYPE], fields[field, _F_NODE]
    if what == _STRING or what == _BYTES:
        begin, end = length(data, at, stop)
        if end < 0:
            return end
        noted = STRING
        if what == _STRING and fields[field, _FLAGS] & _VERIFIED:
            if not is_utf8(data, begin, end):
                return UTF8
        elif node != UNWANTED:
            noted = kind_of_bytes(data, begin, end)
        if node != UNWANTED:
            _put(fields, lists, nodes, field, noted, begin, end - begin, i, kind, span)
        return end
    if what == _DOUBLE or what == _FIXED64 or what == _SFIXED64:
        end = at + 8
    elif what == _FLOAT or what == _FIXED32 or what == _SFIXED32:
        end = at + 4
    else:
        value, end = varint(data, at, stop)
        if end >= 0 and node != UNWANTED:
            _varint(fields, lists, nodes, field, value, texts_at, i, kind, span)
        return end
    if end > stop:
        return CUT
    if node != UNWANTED:
        _fixed(data, at, end, fields, lists, nodes, field, i, kind, span)
    return end


@_jit
def _fixed(
    data: Bytes, at: int, end: int, fields: Int64s, lists: Int64s, nodes: Int64s, field: int,
    i: int, kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Notes a value of a fixed width."""
    what = fields[field, _TYPE]
    noted = _INT64_KIND
    if what == _DOUBLE or what == _FLOAT:
        noted, value = FLOAT64, float_bits(data, at, what == _FLOAT)
    else:
        bits = little_endian(data, at, end - at)
        value = _low_signed(bits) if what == _SFIXED32 else int(np.int64(bits))
        noted = _UINT64_KIND if what == _FIXED64 else _INT64_KIND
    _put(fields, lists, nodes, field, noted, value, 0, i, kind, span)


@_jit
def _varint(  # noqa: C901  # one step of a machine: a call each costs as much
    fields: Int64s, lists: Int64s, nodes: Int64s, field: int, value: np.uint64, texts_at: int,
    i: int, kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Notes what a varint stands for."""
    what, node = fields[field, _TYPE], fields[field, _F_NODE]
    noted, number = _INT64_KIND, int(np.int64(value))
    if what == _ENUM:
        _enum(fields, lists, nodes, field, _low_signed(value), texts_at, i, kind, span)
        return
    if what == _SECONDS:
        span[i, node, 0] = number
        return
    if what == _NANOS:
        span[i, node, 1] = _low_signed(value)
        return
    second = 0
    if what == _BOOL:
        noted, number, second = FALSE, texts_at + TRUE_SIZE, FALSE_SIZE
        if value:
            noted, number, second = TRUE, texts_at, TRUE_SIZE
    elif what == _NULL_VALUE:
        noted = NULL
    elif what == _INT32:
        number = _low_signed(value)
    elif what == _UINT32:
        number = int(np.int64(value & _LOW_32))
    elif what == _SINT32:
        number = signed(value & _LOW_32)
    elif what == _SINT64:
        number = signed(value)
    elif what == _UINT64:
        noted = _UINT64_KIND
    _put(fields, lists, nodes, field, noted, number, second, i, kind, span)


@_jit
def _enum(
    fields: Int64s, lists: Int64s, nodes: Int64s, field: int, number: int, texts_at: int,
    i: int, kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Notes the symbol of an enum's number, or the number where it has none and may be any."""
    first = fields[field, _TARGET]
    for k in range(first, first + 3 * fields[field, _COUNT], 3):
        if lists[k] == number:
            start = texts_at + lists[k + 1]
            _put(fields, lists, nodes, field, STRING, start, lists[k + 2], i, kind, span)
            return
    if not fields[field, _FLAGS] & _CLOSED:
        _put(fields, lists, nodes, field, _INT64_KIND, number, 0, i, kind, span)


@_jit
def has_symbol(fields: Int64s, lists: Int64s, field: int, value: np.uint64) -> bool:
    """Whether the enum of a field has a number, which a varint says."""
    number, first = _low_signed(value), fields[field, _TARGET]
    for k in range(first, first + 3 * fields[field, _COUNT], 3):  # noqa: SIM110  # numba
        if lists[k] == number:
            return True
    return False


@_jit
def _put(
    fields: Int64s, lists: Int64s, nodes: Int64s, field: int, noted: int, first: int, second: int,
    i: int, kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Notes a value of a field, and forgets the others of its oneof."""
    rivals = fields[field, _RIVALS]
    for k in range(rivals, rivals + fields[field, _RIVAL_COUNT]):
        forget(nodes, lists[k], i, kind)
    what = ARRAY if fields[field, _FLAGS] & _REPEATED else noted
    note(nodes, fields[field, _F_NODE], i, what, first, second, kind, span)


@_jit
def note_default(
    fields: Int64s, lists: Int64s, nodes: Int64s, field: int, texts_at: int,
    i: int, kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """Notes what a field says that is not there: 0, false, "", or the first symbol."""
    what, node = fields[field, _TYPE], fields[field, _F_NODE]
    if kind[i, node] != MISSING:
        return
    if what == _STRING or what == _BYTES:
        note(nodes, node, i, STRING, 0, 0, kind, span)
    elif what == _BOOL:
        note_boolean(nodes, node, i, False, texts_at, kind, span)
    elif what == _DOUBLE or what == _FLOAT:
        note(nodes, node, i, FLOAT64, 0, 0, kind, span)
    elif what == _NULL_VALUE:
        note(nodes, node, i, NULL, 0, 0, kind, span)
    elif what == _ENUM and fields[field, _COUNT]:
        symbol = fields[field, _TARGET]
        start = texts_at + lists[symbol + 1]
        note(nodes, node, i, STRING, start, lists[symbol + 2], kind, span)
    else:
        note(nodes, node, i, _INT64_KIND, 0, 0, kind, span)


@_inlined
def _low_signed(value: np.uint64) -> int:
    """The int32 in the lower half."""
    low = int(np.int64(value & _LOW_32))
    return low - (low >> 31 << 32)
