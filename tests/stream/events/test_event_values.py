"""Single values of events: the numba forms against the plain ones."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.columns import Bytes
from stream.compiled.category_hash import category_hash
from stream.events.scalars import JSON_NUMBER, clear_float, clear_hash
from stream.events.times.timestamps import UNCLEAR, clear_epoch_ms, epoch_ms


@numba.njit()
def _float(data: Bytes) -> tuple[float, bool]:
    return clear_float(data, 0, len(data))


@numba.njit()
def _hash(data: Bytes) -> np.uint64:
    return clear_hash(data, 0, len(data))


@numba.njit()
def _epoch_ms(data: Bytes) -> int:
    return clear_epoch_ms(data, 0, len(data))


def array(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)
SHORT_NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?([eE][+-]?[0-9])?", fullmatch=True
)


@given(NUMBERS | st.floats(allow_nan=False, allow_infinity=False).map(repr))
@settings(max_examples=500)
@example("9007199254740992")
@example("9007199254740993")
@example("-0")
@example("-0.0e-0")
@example("1e22")
@example("1e-23")
@example("13055857739591493e1")
@example("0e999999999999999999999")
def test_a_number_that_is_certain_is_the_float_that_python_reads(text: str) -> None:
    value, is_certain = _float(array(text))
    if is_certain:
        assert struct.pack("<d", value) == struct.pack("<d", float(text))


@given(SHORT_NUMBERS)
def test_short_numbers_are_certain(text: str) -> None:
    assert _float(array(text)) == (float(text), True)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8), ("", 0xCBF29CE484222325)],
)
def test_the_hash_is_fnv_1a(text: str, value: int) -> None:
    assert category_hash(text.encode()) == value


@given(st.text())
def test_both_hashes_are_one(text: str) -> None:
    assert int(_hash(array(text))) == category_hash(text.encode())


EPOCHS = {
    "1760000000": 1_760_000_000_000,
    "1760000000.1239": 1_760_000_000_123,
    "1760000000.5": 1_760_000_000_500,
    "1760000000123": 1_760_000_000_123,
    "1760000000123.9": 1_760_000_000_123,
    "1760000000123999": 1_760_000_000_123,
    "1760000000123999999": 1_760_000_000_123,
    "99999999999": 99_999_999_999_000,
    "100000000000": 100_000_000_000,
    "99999999999999": 99_999_999_999_999,
    "100000000000000": 100_000_000_000,
    "99999999999999999": 99_999_999_999_999,
    "100000000000000000": 100_000_000_000,
    "9223372036854775807": 9_223_372_036_854,
    "0": 0,
}


@pytest.mark.parametrize(("text", "time_ms"), EPOCHS.items())
def test_epochs(text: str, time_ms: int) -> None:
    assert epoch_ms(text) == time_ms
    assert _epoch_ms(array(text)) == time_ms


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1.76e9", 1_760_000_000_000), ("-1", -1000), ("-0.0001", -1), ("1e999999", 10**14),
        ("-1e999999", -(10**14)), ("9223372036854775808", 9_223_372_036_854), ("1e-999999", 0),
        ("1760000000.1229999999999999999999999999999999999999999", 1_760_000_000_122),
    ],
)  # fmt: skip
def test_unusual_epochs(text: str, time_ms: int) -> None:
    assert epoch_ms(text) == time_ms
    assert _epoch_ms(array(text)) in (time_ms, UNCLEAR)


@given(st.from_regex(r"[0-9]{1,21}(\.[0-9]{1,30})?", fullmatch=True))
@settings(max_examples=300)
def test_both_readings_of_epochs_are_one(text: str) -> None:
    clear = _epoch_ms(array(text))
    if not JSON_NUMBER.fullmatch(text):
        assert clear == UNCLEAR
        return
    value = Fraction(text)
    units = ((11, Fraction(1000)), (14, Fraction(1)), (17, Fraction(1, 10**3)))
    scale = next((scale for power, scale in units if value < 10**power), Fraction(1, 10**6))
    time_ms = math.floor(value * scale)
    if value < 10**20:
        assert epoch_ms(text) == time_ms
    assert clear == time_ms or (clear == UNCLEAR and value > 10**18)
