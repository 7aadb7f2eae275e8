"""The tokens of JSON in a byte buffer, for numba loops: where each one ends, by RFC 8259 exactly.

Rules of this file
1. Every function takes a position and the end of the record, and never reads beyond that end.
2. Position -1 means a fault, or something these functions leave to others (a lone surrogate).
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes
from stream.compiled.byteread import byte_at

QUOTE, BACKSLASH, MINUS, PLUS, POINT, ZERO = b'"\\-+.0'
_U, _E = b"ue"
_LITERALS = np.frombuffer(b"truefalsenull", np.uint8)
TRUE_TEXT, FALSE_TEXT, NULL_TEXT = (0, 4), (4, 5), (9, 4)
"""(offset, length) of the literals, for `literal_end`."""

_IS_PLAIN = np.array([0x20 <= b < 0x80 and b not in b'"\\' for b in range(256)])
_IS_SPACE = np.array([b in b" \t\n\r" for b in range(256)])
_IS_DIGIT = np.array([b in b"0123456789" for b in range(256)])
# What the letter after a backslash stands for, 0 where there is no such escape.
_ESCAPED = np.zeros(256, np.uint8)
_ESCAPED[np.frombuffer(b'"\\/bfnrt', np.uint8)] = np.frombuffer(b'"\\/\b\f\n\r\t', np.uint8)
_HEX = np.array([int(chr(b), 16) if b in b"0123456789abcdefABCDEF" else -1 for b in range(256)])

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def after_space(data: Bytes, at: int, stop: int) -> int:
    """The position after the white space at `at`, if there is any."""
    while at < stop and _IS_SPACE[byte_at(data, at)]:
        at += 1
    return at


@_inlined
def is_space(data: Bytes, at: int) -> bool:
    """Whether the byte at `at` is white space."""
    return bool(_IS_SPACE[byte_at(data, at)])


@_inlined
def literal_end(data: Bytes, at: int, stop: int, literal: tuple[int, int]) -> int:
    """The position after the true, false or null at `at`."""
    offset, length = literal
    if at + length > stop:
        return -1
    for k in range(length):
        if data[at + k] != _LITERALS[offset + k]:
            return -1
    return at + length


@_inlined
def digits_end(data: Bytes, at: int, stop: int) -> int:
    """The position after the run of ASCII digits at `at`, if there are any."""
    while at < stop and _IS_DIGIT[byte_at(data, at)]:
        at += 1
    return at


@_inlined
def number_end(data: Bytes, at: int, stop: int) -> int:
    """The position after the number at `at`."""
    if at < stop and data[at] == MINUS:
        at += 1
    end = digits_end(data, at, stop)
    if end == at or (data[at] == ZERO and end > at + 1):
        return -1
    if end < stop and data[end] == POINT:
        at = end + 1
        end = digits_end(data, at, stop)
        if end == at:
            return -1
    if end < stop and data[end] | 0x20 == _E:
        at = end + 1
        if at < stop and (data[at] == MINUS or data[at] == PLUS):
            at += 1
        end = digits_end(data, at, stop)
        if end == at:
            return -1
    return end


@_inlined
def string_end(data: Bytes, at: int, stop: int) -> tuple[int, bool]:
    """From the first byte inside a string: (position of the closing quote, has it escapes)."""
    has_escapes = False
    while at >= 0:
        while at < stop and _IS_PLAIN[byte_at(data, at)]:
            at += 1
        if at == stop:
            break
        if data[at] == QUOTE:
            return at, has_escapes
        if data[at] == BACKSLASH:
            has_escapes = True
            at = _escape_end(data, at, stop)
        else:
            at = character_end(data, at, stop)
    return -1, has_escapes


@_jit
def character_end(data: Bytes, at: int, stop: int) -> int:
    """The position after the multi-byte UTF-8 character at `at`."""
    lead = data[at]
    if lead < 0xC2 or lead > 0xF4:
        return -1
    end = at + (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)
    if end > stop:
        return -1
    for k in range(at + 1, end):
        if data[k] & 0xC0 != 0x80:
            return -1
    second = data[at + 1]
    overlong = (lead == 0xE0 and second < 0xA0) or (lead == 0xF0 and second < 0x90)
    surrogate = lead == 0xED and second > 0x9F
    beyond_unicode = lead == 0xF4 and second > 0x8F
    return -1 if overlong or surrogate or beyond_unicode else end


@_jit
def _escape_end(data: Bytes, at: int, stop: int) -> int:
    """The position after the escape at `at`; the halves of a surrogate pair are one escape."""
    if at + 1 < stop and _ESCAPED[data[at + 1]]:
        return at + 2
    unit = _code_unit(data, at, stop)
    if unit < 0xD800 or unit > 0xDFFF:
        return at + 6 if unit >= 0 else -1
    low = _code_unit(data, at + 6, stop)
    return at + 12 if unit < 0xDC00 and low >= 0xDC00 and low <= 0xDFFF else -1


@_jit
def _code_unit(data: Bytes, at: int, stop: int) -> int:
    r"""The UTF-16 code unit of the \uXXXX at `at`, -1 when there is none."""
    if at + 6 > stop or data[at] != BACKSLASH or data[at + 1] != _U:
        return -1
    unit = 0
    for k in range(at + 2, at + 6):
        if _HEX[data[k]] < 0:
            return -1
        unit = unit << 4 | _HEX[data[k]]
    return unit


@_jit
def unescape(data: Bytes, at: int, stop: int, out: Bytes, to: int) -> int:
    """Writes a string that `string_end` passed to out[to:] in plain UTF-8, never longer than it is.

    Returns:
        The position in `out` after the last byte.
    """
    while at < stop:
        if data[at] != BACKSLASH:
            out[to] = data[at]
            at += 1
            to += 1
            continue
        letter = data[at + 1]
        if letter != _U:
            out[to] = _ESCAPED[letter]
            at += 2
            to += 1
            continue
        point = _code_unit(data, at, stop)
        at += 6
        if point >= 0xD800 and point <= 0xDFFF:
            point = 0x10000 + ((point - 0xD800) << 10) + _code_unit(data, at, stop) - 0xDC00
            at += 6
        to = _encode(point, out, to)
    return to


@_jit
def _encode(point: int, out: Bytes, to: int) -> int:
    """Writes a code point as UTF-8; returns the position after it."""
    if point < 0x80:
        out[to] = point
        return to + 1
    tail = 1 if point < 0x800 else 2 if point < 0x10000 else 3
    lead = 0xC0 if tail == 1 else 0xE0 if tail == 2 else 0xF0
    out[to] = lead | point >> 6 * tail
    for k in range(1, tail + 1):
        out[to + k] = 0x80 | (point >> 6 * (tail - k) & 0x3F)
    return to + tail + 1
