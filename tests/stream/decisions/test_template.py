"""Values as JSON text against Python's own formatting, and templates against json.dumps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.columns import Spans
from stream.decisions.slots import Page, Table
from stream.decisions.template import Form, Slot, Template, Text, json_bytes

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)


def spans(texts: Sequence[str | None]) -> Spans:
    """The texts in a buffer with other bytes around each."""
    data, start, size = b"<", [], []
    for text in texts:
        start.append(len(data))
        size.append(-1 if text is None else len(text.encode()))
        data += (text or "").encode() + b'"|'
    return Spans(np.frombuffer(data, np.uint8).copy(), np.array(start, int), np.array(size, int))


def written(messages: int, fill: Callable[[Page], None]) -> list[str]:
    """What a page writes for the slot "it"."""
    page = Page(messages, slots=1)
    fill(page)
    rendered = Template([Slot("it")]).render(page)
    return [(rendered[i] or b"").decode() for i in range(messages)]


@settings(deadline=None)
@given(st.lists(st.none() | TEXT, max_size=5))
@example(["".join(map(chr, range(0x80)))])
@example(["\x1f" * 1000, None, "é\u2028\U0001f600", ""])
def test_strings(texts: list[str | None]) -> None:
    got = written(len(texts), lambda page: page.strings("it", spans(texts)))
    assert got == [json.dumps(text, ensure_ascii=False) for text in texts]


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
@example([0, 9, 10, -1, 99, 100, 10**18 - 1, 10**18, -(10**18), 2**63 - 1, -(2**63)])
def test_integers(values: list[int]) -> None:
    got = written(len(values), lambda page: page.integers("it", np.array(values, np.int64)))
    assert got == [str(value) for value in values]


TIES = st.integers(-(10**12), 10**12).map(lambda k: k / 128)  # 1/128 has seven decimals, the last 5
NEAR_TIES = st.integers(-(10**12), 10**12).map(lambda k: (k + 0.5) / 1e6)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.floats(-1e9, 1e9) | st.floats(-1.5, 1.5) | TIES | NEAR_TIES, max_size=8))
@example([0.0, -0.0, 1.0, -1e-9, 0.9999995, 0.99999949999, 123456.9999996, 5e-324, 5e-7])
@example([2**-7, 3 * 2**-7, 2**-7 + 2**-59, 2**-7 - 2**-60, 3 * 2**-7 + 2**-57])
@example([4503599627370495.5, 2.0**62, 9223372036854774784.0, -9223372036854774784.0])
def test_decimals(values: list[float]) -> None:
    got = written(len(values), lambda page: page.decimals("it", np.array(values, np.float64)))
    assert got == [format(value, ".6f") for value in values]


def test_the_ties_of_the_decimals_test_are_ties() -> None:
    assert Fraction(2**-7) * 10**6 % 1 == Fraction(1, 2)


def test_decimals_that_json_cannot_say_are_null() -> None:
    values = np.array([math.nan, math.inf, -math.inf, 2.0**63, -(2.0**63), 1e300])
    assert written(6, lambda page: page.decimals("it", values)) == ["null"] * 6


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = int((datetime.min.replace(tzinfo=UTC) - EPOCH) / timedelta(milliseconds=1))
LAST = int((datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1))


@settings(deadline=None)
@given(st.lists(st.integers(FIRST, LAST), max_size=5))
@example([0, -1, FIRST, LAST, 951_782_399_999, 951_782_400_000, 1_795_507_200_123])
def test_times(values: list[int]) -> None:
    got = written(len(values), lambda page: page.times("it", np.array(values, np.int64)))
    for value, text in zip(values, got, strict=True):
        moment = EPOCH + timedelta(milliseconds=value)
        assert text == f'"{moment.isoformat(timespec="milliseconds").removesuffix("+00:00")}Z"'


def test_every_day_of_the_400_years_that_the_calendar_repeats_after() -> None:
    days = np.arange(-25_567, 146_097 - 25_567)  # from 1900-01-01 on
    got = written(len(days), lambda page: page.times("it", days * 86_400_000))
    first = date(1900, 1, 1)
    for i, text in enumerate(got):
        assert text == f'"{first + timedelta(days=i)}T00:00:00.000Z"'


def test_choices() -> None:
    table = Table.of([b'"a"', b"", b'{"b":1}'])
    index = np.array([2, 0, 1, 2], np.int16)
    got = written(4, lambda page: page.choices("it", table, index))
    assert got == ['{"b":1}', '"a"', "", '{"b":1}']


@settings(deadline=None)
@given(st.data())
def test_lists(data: st.DataObject) -> None:
    columns, codes, n = (data.draw(st.integers(1, 4)) for _ in range(3))
    entries = [[data.draw(TEXT) for _ in range(codes)] for _ in range(columns)]
    texts = [json_bytes(entry) + b"," if entry else b"" for row in entries for entry in row]
    code = st.integers(0, codes - 1)
    chosen = [[data.draw(code) for _ in range(columns)] for _ in range(n)]
    table = Table.of(texts, shape=(columns, codes))
    got = written(n, lambda page: page.lists("it", table, np.array(chosen, np.int8)))
    for text, row in zip(got, chosen, strict=True):
        expected = [entries[k][c] for k, c in enumerate(row) if entries[k][c]]
        assert text == json_bytes(expected).decode()


FORM: Form = {
    "constant": ['é"\n', 1, 2.5, True, None, {}, [], {"nested": [Slot("name"), Slot("count")]}],
    "id": Text(("t\\", "-", Slot("partition"), "-", Slot("count"))),
    "again": Slot("name"),
    'key "k"': Slot("model"),
}


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | TEXT, st.integers(0, 10**12)), max_size=5), TEXT)
def test_a_template_writes_what_json_dumps_writes(
    rows: list[tuple[str | None, int]], model: str
) -> None:
    page = Page(len(rows), slots=2)
    page.strings("name", spans([name for name, _ in rows]))
    page.integers("count", np.array([count for _, count in rows], np.int64))
    bound = Template.of(FORM).bind({"partition": b"7", "model": json_bytes(model)})
    assert bound.slots == ("name", "count", "count", "name")
    got = bound.render(page)
    assert len(got) == len(rows)
    assert got.data.size == got.size.sum()
    for i, (name, count) in enumerate(rows):
        constant = ['é"\n', 1, 2.5, True, None, {}, [], {"nested": [name, count]}]
        assert got[i] == json_bytes(
            {"constant": constant, "id": f"t\\-7-{count}", "again": name, 'key "k"': model}
        )


@settings(deadline=None)
@given(st.lists(st.none() | TEXT, max_size=6))
def test_fill_takes_the_other_template_only_where_the_value_is_missing(
    names: list[str | None],
) -> None:
    page = Page(len(names), slots=3)
    page.strings("name", spans(names))
    page.integers("place", np.arange(len(names)))
    Template.of(Text(("row-", Slot("place")))).fill(page, "known", missing_in="name")
    got = Template.of([Slot("name"), Slot("known")]).render(page)
    for i, name in enumerate(names):
        assert got[i] == json_bytes([name, f"row-{i}" if name is None else name])


def test_the_room_reserved_is_enough_for_the_longest_values() -> None:
    n = 500
    fills: list[Callable[[Page], None]] = [
        lambda page: page.strings("it", spans(["\x1f" * 9] * n)),
        lambda page: page.integers("it", np.full(n, -(2**63))),
        lambda page: page.decimals("it", np.full(n, np.nextafter(-(2.0**63), 0))),
        lambda page: page.times("it", np.full(n, LAST)),
        lambda page: page.choices("it", Table.of([b"x" * 99]), np.zeros(n, np.int16)),
        lambda page: page.lists("it", Table.of([b"x,"], (1, 1)), np.zeros((n, 1), np.int8)),
    ]
    for fill in fills:
        page = Page(n, slots=1)
        page.data = np.empty(0, np.uint8)
        fill(page)
        assert (page.start + page.size).max() <= len(page.data)


def test_a_page_keeps_what_it_holds_when_it_grows() -> None:
    long = "x" * 100_000
    page = Page(2, slots=3)
    page.integers("count", np.array([1, 2]))
    page.strings("long", spans([long, "short"]))
    page.times("time", np.array([0, 1]))
    got = Template.of([Slot("count"), Slot("long"), Slot("time")]).render(page)
    assert got[0] == json_bytes([1, long, "1970-01-01T00:00:00.000Z"])
    assert got[1] == json_bytes([2, "short", "1970-01-01T00:00:00.001Z"])


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"x": math.nan})
