"""Values of Avro that hold no others: where they end, and what is noted of them."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes, Int64s
from stream.events.paths import UNWANTED
from stream.events.scan import FLOAT64, NULL, STRING, Kinds
from stream.formats.avro.avro_program import (
    BOOLEAN_OP,
    BYTES_OP,
    COUNT,
    DATE_OP,
    DAY_MS,
    DAYS_MAX,
    DOUBLE_OP,
    ENUM_OP,
    FIRST,
    FIXED_OP,
    FLOAT_OP,
    LONG_OP,
    MICROS_OP,
    MILLIS_OP,
    NANOS_OP,
    NO_DECIMAL,
    NODE,
    NULL_OP,
    OP,
    SCALE,
    STRING_OP,
)
from stream.formats.faults import BOOLEAN, CUT, ENUM, UTF8
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

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def read_scalar(  # noqa: C901, PLR0911, PLR0912  # one step of a machine: a call each costs as much
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
        value = min(max(value, -DAYS_MAX), DAYS_MAX) * DAY_MS
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
