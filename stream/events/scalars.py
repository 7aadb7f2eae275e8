"""Numbers and categories as they stand in events: the meaning of single values.

Rules of this file
1. Each meaning is given twice: in plain Python, and as a numba function that may answer "not
   clear" but otherwise answers the same.
2. A number is a JSON number by its grammar; in a string also with white space around it and a plus
   sign. Nothing is guessed: a currency, a comma, NaN is no number.
"""

from __future__ import annotations

import re
from math import isinf, nan
from typing import Final

import numba
import numpy as np

from stream.columns import Bytes
from stream.compiled.category_hash import FNV_OFFSET, FNV_PRIME, category_hash
from stream.compiled.zone_set import zone_names
from stream.events.json_tokens import (
    MINUS,
    PLUS,
    POINT,
    ZERO,
    after_space,
    is_space,
    number_end,
)
from stream.events.present import Found, JsonNumber

JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
NUMERAL: Final = re.compile(rf"[ \t\n\r]*(?:\+(?!-))?({JSON_NUMBER.pattern})[ \t\n\r]*")

_FNV_OFFSET_U64, _FNV_PRIME_U64 = np.uint64(FNV_OFFSET), np.uint64(FNV_PRIME)

_MANTISSA_MAX = 2**53
_EXPONENT_BEYOND = 10**9  # more than any exponent that the digits of one record can make up for
_TEN_POWER_MAX = 22
_E = ord("e")
_TEN_POWERS = np.array([float(10**k) for k in range(_TEN_POWER_MAX + 1)])

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


def utf8(found: Found) -> bytes:
    """The bytes of a text.

    Raises:
        Refused: It has half a surrogate pair.
    """
    try:
        return str(found.value).encode()
    except UnicodeEncodeError as exc:
        raise found.refusal("bad_utf8", "Unicode text without half a surrogate pair") from exc


def plain_number(found: Found | None) -> float:
    """The number that a value is, NaN when there is none.

    Raises:
        Refused: It is no number, or beyond float64.
    """
    if found is None:
        return nan
    value = found.value
    if isinstance(value, bool):
        return float(value)
    text = value.text if isinstance(value, JsonNumber) else value
    numeral = NUMERAL.fullmatch(text) if isinstance(text, str) else None
    if numeral is None:
        raise found.refusal("bad_type", "a number")
    number = float(numeral[1])
    if isinf(number):
        raise found.refusal("not_finite", "a number that float64 can hold")
    return number


def plain_category(found: Found | None) -> int:
    """The hash of the text of a value, 0 when there is none.

    Raises:
        Refused: It has no text.
    """
    if found is None:
        return 0
    value = found.value
    if isinstance(value, bool):
        return category_hash(b"true" if value else b"false")
    if isinstance(value, JsonNumber):
        return category_hash(value.text.encode())
    if isinstance(value, str):
        return category_hash(utf8(found))
    raise found.refusal("bad_type", "a string, a number, true or false")


def plain_zone(found: Found | None) -> int:
    """The hash of the IANA name of a time zone, 0 when there is none.

    Raises:
        Refused: This machine knows no time zone of that name.
    """
    if found is None:
        return 0
    if isinstance(found.value, str):
        zone = category_hash(found.value.encode(errors="replace"))
        if zone in zone_names():
            return zone
    raise found.refusal("bad_type", "the IANA name of a time zone")


@_inlined
def clear_hash(data: Bytes, start: int, size: int) -> np.uint64:
    """The numba form of `category_hash`."""
    value = _FNV_OFFSET_U64
    for k in range(start, start + size):
        value = (value ^ np.uint64(data[k])) * _FNV_PRIME_U64
    return value if value != 0 else np.uint64(1)


@_jit
def numeral(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """The numba form of `NUMERAL`: (start, end) of the JSON number in a string, -1 for none."""
    at = after_space(data, at, stop)
    while stop > at and is_space(data, stop - 1):
        stop -= 1
    if stop - at > 1 and data[at] == PLUS and data[at + 1] != MINUS:
        at += 1
    return (at, stop) if number_end(data, at, stop) == stop else (-1, -1)


@_inlined
def clear_float(data: Bytes, at: int, stop: int) -> tuple[float, bool]:
    """The float64 nearest to a JSON number, and whether it is certain.

    It is when the digits and the power of ten are floats themselves: then one multiplication or
    division is the only rounding (Clinger 1990).
    """
    negative = data[at] == MINUS
    mantissa, exponent = 0, 0
    at += negative
    has_point = False
    while at < stop and data[at] | 0x20 != _E:
        if data[at] == POINT:
            has_point = True
        else:
            mantissa = mantissa * 10 + (data[at] - ZERO)
            exponent -= has_point
            if mantissa > _MANTISSA_MAX:
                return 0.0, False
        at += 1
    if at < stop:
        exponent += _exponent(data, at + 1, stop)
    if exponent < -_TEN_POWER_MAX or exponent > _TEN_POWER_MAX:
        return 0.0, False
    value = np.float64(mantissa)
    if exponent < 0:
        value /= _TEN_POWERS[-exponent]
    else:
        value *= _TEN_POWERS[exponent]
    return -value if negative else value, True


@_inlined
def _exponent(data: Bytes, at: int, stop: int) -> int:
    """The signed digits data[at:stop], or a number of that sign beyond any float's exponent."""
    negative = data[at] == MINUS
    at += negative or data[at] == PLUS
    value = 0
    while at < stop and value < _EXPONENT_BEYOND:
        value = value * 10 + (data[at] - ZERO)
        at += 1
    return -value if negative else value
