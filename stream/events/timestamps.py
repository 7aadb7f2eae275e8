"""Event times: from JSON numbers and strings to epoch milliseconds.

Rules of this file
1. Fractions of a millisecond are dropped, towards the past.
2. The unit of an epoch is told by its size: below 1e11 seconds, below 1e14 milliseconds, below 1e17
   microseconds, from there nanoseconds. So each unit covers the years 1973 to 5138.
3. `clear_epoch_ms` and `clear_iso_ms` run in numba and read the usual forms; what is UNCLEAR to them,
   `epoch_ms` and `iso_ms` decide, and where both answer they answer the same.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal

import numba
import numpy as np

from stream.columns import Bytes
from stream.events.json_tokens import MINUS, PLUS, POINT, ZERO, digits_end

UNCLEAR = int(np.iinfo(np.int64).min)
_INT64_MAX = int(np.iinfo(np.int64).max)

_SECONDS, _MILLIS, _MICROS, _NANOS = 10**11, 10**14, 10**17, 10**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLOOR = Context(prec=40, rounding=ROUND_FLOOR)
_COLON, _T, _SPACE, _Z = b":T Z"

_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


def epoch_ms(number: str) -> int:
    """Epoch milliseconds of a JSON number; beyond 1e20 (the year 5138) it counts as 1e20.

    Raises:
        ArithmeticError: The exponent is beyond what `decimal` holds.
    """
    value = max(min(Decimal(number), Decimal(_NANOS)), Decimal(-_NANOS))
    if abs(value) < _SECONDS:
        ms_per_unit = Decimal(1000)
    elif abs(value) < _MILLIS:
        ms_per_unit = Decimal(1)
    else:
        ms_per_unit = Decimal("1e-3") if abs(value) < _MICROS else Decimal("1e-6")
    return int(_FLOOR.multiply(value, ms_per_unit).to_integral_value(ROUND_FLOOR))


def iso_ms(text: str) -> int:
    """Epoch milliseconds of an ISO 8601 date or date and time; without an offset it is UTC.

    Raises:
        ValueError: It is not ISO 8601, or no such moment exists.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


@_inlined
def clear_epoch_ms(data: Bytes, at: int, stop: int) -> int:
    """Epoch milliseconds of digits with or without a fraction, else UNCLEAR."""
    end = digits_end(data, at, stop)
    value = clear_integer(data, at, end)
    if value == UNCLEAR:
        return UNCLEAR
    fraction_ms = 0
    if end < stop:
        fraction_ms = _fraction_ms(data, end, stop)
        if fraction_ms < 0:
            return UNCLEAR
    if value < _SECONDS:
        return value * 1000 + fraction_ms
    if value < _MILLIS:
        return value
    return value // 1000 if value < _MICROS else value // 1_000_000


@_inlined
def clear_integer(data: Bytes, at: int, stop: int) -> int:
    """The int64 that the digits data[at:stop] are, else UNCLEAR."""
    if stop == at or stop - at > 19 or (data[at] == ZERO and stop > at + 1):
        return UNCLEAR
    value = 0
    for k in range(at, stop):
        digit = data[k] - ZERO
        if digit < 0 or digit > 9:
            return UNCLEAR
        if value > _INT64_MAX // 10 or (value == _INT64_MAX // 10 and digit > _INT64_MAX % 10):
            return UNCLEAR  # told before the product: compiled code takes it that it does not wrap
        value = value * 10 + digit
    return value


@_inlined
def clear_iso_ms(data: Bytes, at: int, stop: int) -> int:
    """Epoch milliseconds of YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM), else UNCLEAR."""
    if stop - at < 20:
        return UNCLEAR
    century, year_of_century = _two_digits(data, at), _two_digits(data, at + 2)
    month, day = _two_digits(data, at + 5), _two_digits(data, at + 8)
    hour, minute = _two_digits(data, at + 11), _two_digits(data, at + 14)
    second = _two_digits(data, at + 17)
    year = century * 100 + year_of_century
    is_date = data[at + 4] == MINUS and data[at + 7] == MINUS and century >= 0
    is_date = is_date and year_of_century >= 0 and _is_day(year, month, day)
    is_time = data[at + 10] == _T or data[at + 10] == _SPACE
    is_time = is_time and data[at + 13] == _COLON and data[at + 16] == _COLON
    is_time = is_time and _below(hour, 24) and _below(minute, 60) and _below(second, 60)
    if not (is_date and is_time):
        return UNCLEAR
    zone = at + 19
    fraction_ms = 0
    if data[zone] == POINT:
        zone = digits_end(data, at + 20, stop)
        fraction_ms = _fraction_ms(data, at + 19, zone)
    offset_minutes = _offset_minutes(data, zone, stop)
    if fraction_ms < 0 or offset_minutes == UNCLEAR:
        return UNCLEAR
    minutes = (_days(year, month, day) * 24 + hour) * 60 + minute - offset_minutes
    return (minutes * 60 + second) * 1000 + fraction_ms


@_inlined
def _offset_minutes(data: Bytes, at: int, stop: int) -> int:
    """Minutes east of UTC of Z or ±HH:MM, else UNCLEAR."""
    if at + 1 == stop and data[at] == _Z:
        return 0
    if at + 6 != stop or data[at + 3] != _COLON or (data[at] != PLUS and data[at] != MINUS):
        return UNCLEAR
    hours, minutes = _two_digits(data, at + 1), _two_digits(data, at + 4)
    if not (_below(hours, 24) and _below(minutes, 60)):
        return UNCLEAR
    east = hours * 60 + minutes
    return east if data[at] == PLUS else -east


@_inlined
def _fraction_ms(data: Bytes, at: int, stop: int) -> int:
    """Milliseconds of the decimal point and digits that are data[at:stop], -1 if they are not."""
    if data[at] != POINT or at + 1 == stop or digits_end(data, at + 1, stop) != stop:
        return -1
    value = 0
    for k in range(at + 1, at + 4):
        value = value * 10 + (data[k] - ZERO if k < stop else 0)
    return value


@_inlined
def _two_digits(data: Bytes, at: int) -> int:
    """The number that two digits are, -1 if they are not."""
    tens, units = int(data[at]) - ZERO, int(data[at + 1]) - ZERO
    return tens * 10 + units if _below(tens, 10) and _below(units, 10) else -1


@_inlined
def _below(value: int, limit: int) -> bool:
    return value >= 0 and value < limit


@_inlined
def _is_day(year: int, month: int, day: int) -> bool:
    """Whether the Gregorian calendar has it, in the years 1 to 9999."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    short = month in (4, 6, 9, 11)
    length = (29 if leap else 28) if month == 2 else 30 if short else 31
    return year > 0 and month > 0 and month < 13 and day > 0 and day <= length


@_inlined
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; counts years from March, so that a leap day comes last."""
    year -= month < 3
    month_from_march = (month + 9) % 12
    day_of_year = (153 * month_from_march + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719468
