"""Columns of values written as JSON text, one numba loop for each kind of value.

Rules of this file
1. Functions only. Each appends n pieces of text to `data` from position `at` on, sets the first
   byte and the length of every piece in `start` and `size`, and returns the position after them.
2. A missing value writes nothing and gets size -1.
3. The caller reserves room: the `*_BYTES_MAX` constants are the longest text of one value.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from stream.columns import Bytes, Float64s, Int64s
from stream.compiled.borrow import borrow
from stream.compiled.bytecopy import copy_bytes

ESCAPE_BYTES_MAX = 6  # one control character: \u001f
INTEGER_BYTES_MAX = 20  # -9223372036854775808
DECIMAL_BYTES_MAX = 27  # -9223372036854774784.000000
TIME_BYTES_MAX = 26  # "2026-11-24T08:00:00.123Z"
PAIRS = np.frombuffer(b"".join(b"%02d" % pair for pair in range(100)), np.uint8).copy()
"""The digits of the numbers from 0 to 99."""

_QUOTE, _BACKSLASH, _U, _ZERO, _MINUS, _POINT, _COLON, _T, _Z, _OPEN, _CLOSE = b'"\\u0-.:TZ[]'
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)

_SPACE = 32  # below it are the control characters
_INT64_MIN = -(2**63)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8).copy()
# The second character of a two-character escape, 0 where there is none (RFC 8259, section 7).
_SHORT_ESCAPE = np.zeros(256, np.uint8)
for _character, _letter in (("\b", "b"), ("\t", "t"), ("\n", "n"), ("\f", "f"), ("\r", "r"),
                            ('"', '"'), ("\\", "\\")):  # fmt: skip
    _SHORT_ESCAPE[ord(_character)] = ord(_letter)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_strings(
    source: Bytes, first: Int64s, length: Int64s, data: Bytes, at: int, start: Int64s, size: Int64s
) -> int:
    """Appends UTF-8 text as JSON strings in quotes, escaped; length -1 is missing."""
    for i in range(len(first)):
        start[i] = at
        size[i] = -1
        if length[i] < 0:
            continue
        data[at] = _QUOTE
        at += 1
        for j in range(first[i], first[i] + length[i]):
            byte = source[j]
            if byte >= _SPACE and byte != _QUOTE and byte != _BACKSLASH:
                data[at] = byte
                at += 1
                continue
            data[at] = _BACKSLASH
            if _SHORT_ESCAPE[byte] != 0:
                data[at + 1] = _SHORT_ESCAPE[byte]
                at += 2
            else:
                data[at + 1] = _U
                data[at + 2] = _ZERO
                data[at + 3] = _ZERO
                data[at + 4] = _HEX[byte >> 4]
                data[at + 5] = _HEX[byte & 15]
                at += 6
        data[at] = _QUOTE
        at += 1
        size[i] = at - start[i]
    return at


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_digits(value: int, width: int, data: Bytes, at: int) -> int:
    """Writes the last `width` decimal digits of a value of 0 or more."""
    for j in range(at + width - 1, at - 1, -1):
        data[j] = _ZERO + value % 10
        value //= 10
    return at + width


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_integer(value: int, data: Bytes, at: int) -> int:
    """Writes a whole number."""
    if value < 0:
        data[at] = _MINUS
        at += 1
        if value == _INT64_MIN:  # has no positive twin
            at = write_digits(9, 1, data, at)
            value += 9 * 10**18
        value = -value
    width = 1
    bound = 10
    while width < 19 and value >= bound:
        width += 1
        bound *= 10
    return write_digits(value, width, data, at)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_integers(values: Int64s, data: Bytes, at: int, start: Int64s, size: Int64s) -> int:
    """Appends whole numbers."""
    for i in range(len(values)):
        start[i] = at
        at = write_integer(values[i], data, at)
        size[i] = at - start[i]
    return at


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_suffixes(
    prefix: Bytes, values: Int64s, data: Bytes, at: int, start: Int64s, size: Int64s
) -> int:
    """Appends the prefix and each number; nothing for a negative one."""
    for i in range(len(values)):
        start[i] = at
        if values[i] >= 0:
            at = copy_bytes(prefix, 0, len(prefix), data, at)
            at = write_integer(values[i], data, at)
        size[i] = at - start[i]
    return at


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _millionths(fraction: float) -> int:
    """A fraction in [0, 1) in millionths, the exact product rounded half to even.

    The fraction is cut into head and tail of 26 and 47 bits, so that the product with
    10**6 = 15625 * 2**6 is exact in two integers. The 53 bits of a fraction of 2**-21 or more end
    before the cut; a smaller one is less than half a millionth anyway.
    """
    scaled = fraction * 67108864.0  # 2**26
    head = int(scaled)
    tail = int((scaled - head) * 140737488355328.0) * 15625  # 2**47
    product = head * 15625 + (tail >> 47)
    millionths = product >> 20
    rest, below = product & 0xFFFFF, tail & 0x7FFFFFFFFFFF
    if rest > 0x80000 or (rest == 0x80000 and (below > 0 or millionths & 1)):
        millionths += 1
    return millionths


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_decimals(values: Float64s, data: Bytes, at: int, start: Int64s, size: Int64s) -> int:
    """Appends numbers with six decimals, the same text as Python's format(value, ".6f").

    NaN, the infinities and what is 2**63 or more away from zero are missing.
    """
    for i in range(len(values)):
        value = values[i]
        start[i] = at
        size[i] = -1
        magnitude = abs(value)
        if not magnitude < 9223372036854775808.0:
            continue
        if np.signbit(value):
            data[at] = _MINUS
            at += 1
        whole = int(magnitude)
        millionths = _millionths(magnitude - whole)
        if millionths == 1_000_000:
            whole += 1
            millionths = 0
        at = write_integer(whole, data, at)
        data[at] = _POINT
        at = write_digits(millionths, 6, data, at + 1)
        size[i] = at - start[i]
    return at


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _civil(day: int) -> tuple[int, int, int]:
    """Year, month and day of the month of a day counted from 1970-01-01.

    H. Hinnant, "chrono-compatible low-level date algorithms", civil_from_days: a year that begins
    in March has the leap day at its end, and an era of 400 years always has 146,097 days.
    """
    day += 719468
    era = day // 146097
    of_era = day - era * 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march_month = (5 * of_year + 2) // 153
    of_month = of_year - (153 * march_month + 2) // 5 + 1
    month = march_month + 3 if march_month < 10 else march_month - 9
    return year + era * 400 + (1 if month <= 2 else 0), month, of_month


@_inlined
def _write_pair(value: int, after: int, data: Bytes, at: int) -> int:
    """Writes two digits, and a character after them."""
    data[np.uintp(at)] = PAIRS[np.uintp(2 * value)]
    data[np.uintp(at + 1)] = PAIRS[np.uintp(2 * value + 1)]
    data[np.uintp(at + 2)] = after
    return at + 3


@_inlined
def write_time(epoch_ms: int, data: Bytes, at: int) -> int:
    """Writes one RFC 3339 time: see `write_times`."""
    day = epoch_ms // 86_400_000
    of_day = epoch_ms - day * 86_400_000
    year, month, of_month = _civil(day)
    data[np.uintp(at)] = _QUOTE
    at = _write_pair(year // 100, 0, data, at + 1) - 1  # the next digit over what comes after
    at = _write_pair(year % 100, _MINUS, data, at)
    at = _write_pair(month, _MINUS, data, at)
    at = _write_pair(of_month, _T, data, at)
    at = _write_pair(of_day // 3_600_000, _COLON, data, at)
    at = _write_pair(of_day // 60_000 % 60, _COLON, data, at)
    at = _write_pair(of_day // 1000 % 60, _POINT, data, at)
    at = _write_pair(of_day % 1000 // 10, 0, data, at) - 1
    at = _write_pair(of_day % 10 * 10, _Z, data, at) - 1
    data[np.uintp(at - 1)] = _Z
    data[np.uintp(at)] = _QUOTE
    return at + 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_times(epoch_ms: Int64s, data: Bytes, at: int, start: Int64s, size: Int64s) -> int:
    """Appends RFC 3339 times in UTC with milliseconds, in quotes; the years 0 to 9999."""
    data = borrow(data)
    for i in range(len(epoch_ms)):
        start[i] = at
        at = write_time(epoch_ms[i], data, at)
        size[i] = at - start[i]
    return at


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_lists(
    codes: npt.NDArray[np.int8],
    entry: Bytes,
    first: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    data: Bytes,
    at: int,
    start: Int64s,
    size: Int64s,
) -> int:
    """Appends lists: of each column k the entry that its code names, none when it is empty.

    Args:
        codes: Which entry each column contributes. Shape (n, columns).
        entry: Every entry, each with a comma at its end.
        first: First byte of entry [column, code]. Shape (columns, codes).
        length: Its length, 0 for none. Shape (columns, codes).
        data: See the rules of this file, also for the rest.
    """
    data, entry, first, length = borrow(data), borrow(entry), borrow(first), borrow(length)
    for i in range(len(codes)):
        start[i] = at
        data[at] = _OPEN
        at += 1
        for k in range(codes.shape[1]):
            code = codes[i, k]
            at = copy_bytes(entry, first[k, code], length[k, code], data, at)
        if at - start[i] > 1:
            at -= 1  # over the last comma
        data[at] = _CLOSE
        at += 1
        size[i] = at - start[i]
    return at
