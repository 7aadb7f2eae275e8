"""What kernels note of a wanted value, and how numbers among it become text.

JSON has its numbers as text, and so have the readers of fields. Whole numbers, decimals and times of
binary formats are noted as they are, and written out once all records are read: an id or a category
is the same whichever format it came in.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.compiled.byteread import word_at
from stream.events.json_tokens import MINUS, POINT, ZERO
from stream.events.paths import END
from stream.events.scan import BYTES, FALSE, MISSING, NUMBER, STRING, TIME, TRUE, Kinds
from stream.formats.tables import FALSE_SIZE, TRUE_SIZE
from stream.formats.varints import is_utf8

INT64, UINT64, MILLIS, SECONDS, DECIMAL, LONG_DECIMAL = range(32, 38)
"""Kinds that `write_numbers` and `stream.formats.decimals` replace.

INT64, UINT64 and MILLIS (epoch milliseconds) have their value where others have their start; SECONDS
has epoch seconds and nanoseconds; DECIMAL the unscaled number and the digits after the point;
LONG_DECIMAL is a span of bytes whose size has those digits above its lower 32 bits.
"""

SCALE_MAX = 18
"""Digits after the point of a DECIMAL; a LONG_DECIMAL may have more."""
SCALE_SHIFT = 32
TEXT_BYTES_MAX = 24
"""Longest text of a number that `write_numbers` writes: sign, 20 digits, point, and some zeros."""

_SECONDS_MAX = 9_000_000_000_000_000
"""Beyond it, 285 million years, a time is that long ago or ahead: its milliseconds fit an int64."""
_TEN, _HUNDRED = np.uint64(10), np.uint64(100)
_POWERS = np.array([10**k for k in range(20)], np.uint64)
_PAIRS = np.frombuffer(b"".join(b"%02d" % k for k in range(100)), np.uint8)
_EIGHT_INT64 = np.uint64(INT64 * 0x0101_0101_0101_0101)
"""The bit that these kinds have and no other has, in eight bytes."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def note(
    nodes: Int64s, node: int, i: int, what: int, first: int, second: int, kind: Kinds, span: Int64s
) -> None:
    """Keeps a value if it is wanted, and forgets an earlier one of the same path."""
    if node < 0:
        return
    if kind[i, node] != MISSING:
        forget(nodes, node, i, kind)
    kind[i, node] = what
    span[i, node, 0] = first
    span[i, node, 1] = second


@_inlined
def note_boolean(
    nodes: Int64s, node: int, i: int, is_true: bool, texts_at: int, kind: Kinds, span: Int64s
) -> None:
    """Keeps true or false with its text, which every program has first among its own."""
    if is_true:
        note(nodes, node, i, TRUE, texts_at, TRUE_SIZE, kind, span)
    else:
        note(nodes, node, i, FALSE, texts_at + TRUE_SIZE, FALSE_SIZE, kind, span)


@_inlined
def forget(nodes: Int64s, node: int, i: int, kind: Kinds) -> None:
    """Makes a value missing, with everything below it."""
    for below in range(node, nodes[node, END]):
        kind[i, below] = MISSING


@_inlined
def kind_of_bytes(data: Bytes, at: int, stop: int) -> int:
    """Bytes are text when they are UTF-8."""
    return STRING if is_utf8(data, at, stop) else BYTES


@_jit
def write_numbers(ok: Bools, kind: Kinds, span: Int64s, text_at: int, text: Bytes) -> int:
    """Writes numbers out, and makes them NUMBER or TIME.

    Args:
        ok: Rows to look at.
        kind: Changed, as `span` is. Shape (n, nodes), uint8.
        span: Shape (n, nodes, 2), int64.
        text_at: Where `text` will stand in the buffer of the spans.
        text: Filled; TEXT_BYTES_MAX for each number. Shape (bytes,), uint8.

    Returns:
        How many bytes of `text` are used.
    """
    flat = borrow(kind.reshape(-1))
    kind, span, text = borrow(kind), borrow(span), borrow(text)
    used, nodes = 0, kind.shape[1]
    for i in range(len(ok)):
        if not ok[i]:
            continue
        node = 0
        while node < nodes:
            if node + 8 <= nodes and not word_at(flat, i * nodes + node) & _EIGHT_INT64:
                node += 8
                continue
            if kind[i, node] >= INT64 and kind[i, node] != LONG_DECIMAL:
                end = _write_one(kind[i, node], span[i, node], text, used)
                is_time = kind[i, node] == SECONDS or kind[i, node] == MILLIS
                kind[i, node] = TIME if is_time else NUMBER
                span[i, node, 0] = text_at + used
                span[i, node, 1] = end - used
                used = end
            node += 1
    return used


@_jit
def count_numbers(kind: Kinds) -> tuple[int, int]:
    """How many numbers `write_numbers` writes at most, and how many LONG_DECIMAL there are."""
    flat = kind.reshape(-1)
    count = longer = 0
    for k in range(len(flat)):
        count += flat[k] >= INT64
        longer += flat[k] == LONG_DECIMAL
    return count, longer


@_inlined
def _write_one(what: int, value: Int64s, text: Bytes, at: int) -> int:
    """Writes the number of a kind and a span as text; the position after it."""
    if what == SECONDS:
        seconds = min(max(value[0], -_SECONDS_MAX), _SECONDS_MAX)
        return _write(seconds * 1000 + value[1] // 1_000_000, False, 0, text, at)
    return _write(value[0], what == UINT64, value[1] if what == DECIMAL else 0, text, at)


@_inlined
def _write(value: int, is_unsigned: bool, scale: int, text: Bytes, at: int) -> int:
    """Writes value / 10**scale with all digits after the point; the position after it."""
    rest = np.uint64(value)
    if value < 0 and not is_unsigned:
        text[at] = MINUS
        at += 1
        rest = np.uint64(0) - rest
    digits = 1
    while digits < len(_POWERS) and rest >= _POWERS[digits]:
        digits += 1
    digits = max(digits, scale + 1)
    end = at + digits + (scale > 0)
    k = end
    if scale > 0:
        for _ in range(scale):
            k -= 1
            text[k] = np.uint8(np.uint64(ZERO) + rest % _TEN)
            rest //= _TEN
        k -= 1
        text[k] = POINT
    while k - at > 1:
        k -= 2
        pair = np.uint64(2) * (rest % _HUNDRED)
        text[k], text[k + 1] = _PAIRS[pair], _PAIRS[pair + np.uint64(1)]
        rest //= _HUNDRED
    if k > at:
        text[at] = np.uint8(np.uint64(ZERO) + rest)
    return end
