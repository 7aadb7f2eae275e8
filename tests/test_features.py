"""The feature kernel against a slow twin that recomputes everything from a customer's events.

The twin keeps the whole history and no state: each feature is one expression over the list of
events. The kernel has to equal it, wherever a log is cut and whatever comes late or twice.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract import Normalization
from stream import kernel
from stream.campaign import StrategySpec, parse
from stream.columns import EventBatch, Spans
from stream.features import Applied, apply, apply_raw, compile_features

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
START_MS = 1_760_000_000_123
CAMPAIGN = """
app = "test"
topics.events = ["first", "second"]
strategies = [{id = "one"}]
[[features]]
op = "count"
events = ["view", "buy"]
half_lives = ["1h", "7d"]
[[features]]
op = "count"
half_lives = ["1h"]
[[features]]
op = "sum"
name = "spent"
events = ["buy", "refund"]
property = "properties.revenue"
half_lives = ["1d"]
[[features]]
op = "recency"
events = ["buy", "*"]
cap = "5d"
[[features]]
op = "tenure"
[[features]]
op = "window_count"
events = ["buy"]
window = "3d"
[[features]]
op = "window_sum"
events = ["*"]
property = "properties.revenue"
window = "6h"
tile = "2h"
[[features]]
op = "last"
events = ["view", "buy"]
property = "properties.revenue"
[[features]]
op = "share"
property = "properties.category"
half_lives = ["1d", "7d"]
buckets = 3
[[features]]
op = "distinct"
events = ["view"]
property = "properties.category"
window = "2d"
[[features]]
op = "distinct"
property = "properties.brand"
[[features]]
op = "time_of_day"
[[features]]
op = "day_of_week"
"""
# A condition on every feature, so that `Applied.raw` tells each in float64, as the kernel read it.
NAMES = compile_features(parse(CAMPAIGN)).names
PLAN = compile_features(
    msgspec.structs.replace(
        parse(CAMPAIGN),
        strategies=(StrategySpec(id="one", eligible=tuple(f"{name} > 0" for name in NAMES)),),
    )
)
TYPES = {"view": 0, "buy": 1, "refund": 2}  # the plan's codes; -1 is any other


@dataclass(frozen=True)
class Event:
    """One event as the decoder delivers it."""

    customer: int
    topic: int
    offset: int
    time_ms: int
    code: int
    revenue: float
    category: int
    brand: int
    consent: int


# --- the slow twin ---------------------------------------------------------------------------


def oracle(history: list[Event]) -> dict[str, float]:
    """Every feature of a customer after the last event of the history, neither transformed."""
    now = max(e.time_ms for e in history)
    of = {name: [e for e in history if e.code == code] for name, code in TYPES.items()}
    view, buy = of["view"], of["buy"]
    kept = [e for e in history if in_window(e, now, 2 * DAY, DAY)]
    out = {
        "view_count_1h": decayed(view, now, HOUR),
        "view_count_7d": decayed(view, now, 7 * DAY),
        "buy_count_1h": decayed(buy, now, HOUR),
        "buy_count_7d": decayed(buy, now, 7 * DAY),
        "any_count_1h": decayed(history, now, HOUR),
        "spent": decayed(buy + of["refund"], now, DAY, revenue),
        "buy_recency": since(max((e.time_ms for e in buy), default=None), now, 5 * DAY),
        "any_recency": 0.0,
        "tenure": since(min(e.time_ms for e in history), now, 90 * DAY),
        "buy_count_3d": float(sum(in_window(e, now, 3 * DAY, DAY) for e in buy)),
        "any_sum_6h": sum(revenue(e) for e in history if in_window(e, now, 6 * HOUR, 2 * HOUR)),
        "revenue_last": newest_revenue([e for e in history if e in view or e in buy]),
        "revenue_last_missing": float(not any(math.isfinite(e.revenue) for e in [*view, *buy])),
        "category_distinct_2d": linear_count(e.category for e in kept if e.code == 0),
        "brand_distinct": linear_count(e.brand for e in history),
    }
    for label, half_life in (("1d", DAY), ("7d", 7 * DAY)):
        shares = [
            decayed([e for e in history if e.category and e.category % 3 == b], now, half_life)
            for b in range(3)
        ]
        for b in range(3):
            out[f"category_share_{label}_{b}"] = shares[b] / sum(shares) if sum(shares) else 0.0
    moment = datetime.fromtimestamp(now / 1000, UTC)
    hour = moment.hour + moment.minute / 60 + (moment.second + moment.microsecond / 1e6) / 3600
    for name, turn in (
        ("time_of_day", hour / 24),
        ("day_of_week", (moment.weekday() + hour / 24) / 7),
    ):
        out[f"{name}_sin"] = math.sin(2 * math.pi * turn)
        out[f"{name}_cos"] = math.cos(2 * math.pi * turn)
    return out


def revenue(event: Event) -> float:
    return event.revenue if math.isfinite(event.revenue) else 0.0


def decayed(
    events: Iterable[Event],
    now: int,
    half_life: int,
    amount: Callable[[Event], float] = lambda _: 1,
) -> float:
    return math.fsum(amount(e) * 2.0 ** (-(now - e.time_ms) / half_life) for e in events)


def in_window(event: Event, now: int, window: int, tile: int) -> bool:
    return event.time_ms // tile >= now // tile - window // tile


def since(time_ms: int | None, now: int, cap: int) -> float:
    return cap / 1000 if time_ms is None else min(now - time_ms, cap) / 1000


def newest_revenue(events: list[Event]) -> float:
    best: Event | None = None
    for event in events:
        if math.isfinite(event.revenue) and (best is None or event.time_ms >= best.time_ms):
            best = event
    return best.revenue if best else math.nan


def linear_count(categories: Iterable[int]) -> float:
    zeros = 64 - len({c % 64 for c in categories if c})
    return -64 * math.log(zeros / 64) if zeros else 64 * math.log(64)


# --- running the kernel ----------------------------------------------------------------------


def batch_of(events: list[Event]) -> EventBatch:
    empty = np.zeros(0, np.int64)
    none = Spans(np.zeros(0, np.uint8), empty, empty)
    times = np.array([e.time_ms for e in events], np.int64)
    return EventBatch(
        record=np.arange(len(events)),
        offset=np.array([e.offset for e in events], np.int64),
        received_ms=times,
        time_ms=times,
        customer=none,
        event_id=none,
        type_code=np.array([e.code for e in events], np.int16),
        number=np.array([[e.revenue for e in events]], np.float64),
        category=np.array(
            [[e.category for e in events], [e.brand for e in events]], np.uint64
        ).reshape(2, len(events)),
        consent=np.array([e.consent for e in events], np.int8),
    )


class Table:
    """A customer table that is fed with lists of events."""

    def __init__(self, normalization: Normalization | None = None) -> None:
        self.state = np.zeros((4, PLAN.row_words))
        self.normalization = normalization or Normalization.identity(len(NAMES))

    def feed(self, events: list[Event]) -> Applied:
        rows = np.array([e.customer for e in events], np.int64)
        topic = events[0].topic if events else 0
        return apply(PLAN, self.state, rows, batch_of(events), topic, self.normalization)

    def values(self, events: list[Event]) -> dict[str, float]:
        """Features after the last of some events, neither transformed nor normalized."""
        return dict(zip(NAMES, self.feed(events).raw[-1].tolist(), strict=True))


def pieces(events: list[Event], cuts: Iterable[int] = ()) -> list[list[Event]]:
    """The log cut at those places, and where the topic changes, as one batch is of one topic."""
    at = {0, len(events), *cuts}
    at |= {i for i in range(1, len(events)) if events[i].topic != events[i - 1].topic}
    places = sorted(place for place in at if place <= len(events))
    return [events[a:b] for a, b in itertools.pairwise(places)]


def event(after_ms: int = 0, code: int = 0, offset: int = 0, **fields: Any) -> Event:
    known = {
        "customer": 0,
        "topic": 0,
        "revenue": math.nan,
        "category": 0,
        "brand": 0,
        "consent": -1,
    }
    return Event(offset=offset, time_ms=START_MS + after_ms, code=code, **{**known, **fields})


STEPS_MS = [0, 1, 999, HOUR - 1, HOUR, 5 * HOUR, DAY, 3 * DAY, 20 * DAY]
STEPS_MS += [-1, -SECOND, -HOUR, -5 * HOUR, -DAY, -3 * DAY, -9 * DAY]
FIELDS = st.tuples(
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from(STEPS_MS),
    st.integers(-1, 2),
    st.sampled_from([math.nan, math.inf, 0.0, 0.01, 3.5, 1e6, -2.5]),
    st.one_of(st.just(0), st.integers(0, 2**64 - 1)),
    st.integers(0, 200),
    st.integers(-1, 1),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """Events of three customers on two topics: late ones, offsets with gaps, parts delivered twice."""
    now, offsets, log = START_MS, [0, 0], []
    for customer, topic, step_ms, code, amount, category, brand, consent in draw(
        st.lists(FIELDS, min_size=1, max_size=40)
    ):
        time_ms = now + step_ms
        now = max(now, time_ms)
        log.append(
            Event(customer, topic, offsets[topic], time_ms, code, amount, category, brand, consent)
        )
        offsets[topic] += 1 + brand % 2
    for start, size in draw(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=2)):
        log[start + size : start + size] = log[start : start + size]
    return log


# --- properties ------------------------------------------------------------------------------


@given(logs())
def test_features_equal_the_twin(log: list[Event]) -> None:
    table = Table()
    histories: dict[int, list[Event]] = {}
    for piece in pieces(log):
        applied = table.feed(piece)
        for i, e in enumerate(piece):
            history = histories.setdefault(e.customer, [])
            fresh = (e.topic, e.offset) not in {(old.topic, old.offset) for old in history}
            assert bool(applied.applied[i]) == fresh
            if not fresh:
                assert not applied.features[i].any()
                assert not applied.raw[i].any()
                continue
            history.append(e)
            expected = oracle(history)
            assert expected.keys() == set(NAMES)
            for name, got in zip(NAMES, applied.raw[i].tolist(), strict=True):
                close = 0 if "count_3d" in name or "last" in name else 1e-9
                want = pytest.approx(expected[name], rel=close, abs=close, nan_ok=True)
                assert got == want, name
            for name, kind, got in zip(NAMES, PLAN.transforms, applied.features[i], strict=True):
                assert got == pytest.approx(transformed(expected[name], kind), rel=2e-7, abs=1e-8)


def transformed(value: float, transform: str) -> float:
    if math.isnan(value):
        return 0.0
    if transform == "none":
        return value
    return math.copysign(math.log1p(abs(value)), value) if value else 0.0


@given(logs(), st.lists(st.integers(0, 60), max_size=12))
def test_cutting_a_log_changes_no_bit(log: list[Event], cuts: list[int]) -> None:
    whole, cut = Table(), Table()
    once = [whole.feed(piece) for piece in pieces(log)]
    parts = [cut.feed(piece) for piece in pieces(log, cuts)]
    assert whole.state.tobytes() == cut.state.tobytes()
    for name in ("features", "raw", "applied", "consent"):
        assert joined(once, name) == joined(parts, name)
    counters = [np.sum([part.counters for part in run], axis=0) for run in (once, parts)]
    assert counters[0].tolist() == counters[1].tolist()


def joined(parts: list[Applied], name: str) -> bytes:
    return np.concatenate([getattr(part, name) for part in parts]).tobytes()


@given(logs())
def test_raw_features_are_those_before_normalization(log: list[Event]) -> None:
    whole, raw = Table(), Table()
    for piece in pieces(log):
        applied = whole.feed(piece)
        rows = np.array([e.customer for e in piece], np.int64)
        out = np.zeros((len(piece), len(NAMES)))
        apply_raw(PLAN, raw.state, rows, batch_of(piece), piece[0].topic, out)
        assert out.tobytes() == applied.raw.tobytes()
    assert raw.state.tobytes() == whole.state.tobytes()


@given(logs())
def test_a_log_delivered_again_changes_nothing(log: list[Event]) -> None:
    table = Table()
    for piece in pieces(log):
        table.feed(piece)
    before = table.state.tobytes()
    again = [table.feed(piece) for piece in pieces(log)]
    assert table.state.tobytes() == before
    assert not any(part.applied.any() for part in again)
    assert sum(int(part.counters[kernel.REPLAYED]) for part in again) == len(log)


@given(st.lists(st.sampled_from(STEPS_MS), min_size=1, max_size=40))
def test_a_window_holds_every_event_of_its_length_and_none_older_than_a_tile_more(
    steps_ms: list[int],
) -> None:
    times = list(itertools.accumulate(steps_ms))
    log = [event(t, TYPES["buy"], i) for i, t in enumerate(times)]
    now = max(times)
    count = Table().values(log)["buy_count_3d"]
    assert sum(t >= now - 3 * DAY for t in times) <= count <= sum(t > now - 4 * DAY for t in times)


# --- single rules ----------------------------------------------------------------------------


def test_a_late_event_counts_as_if_it_had_come_in_time() -> None:
    in_time = [event(0, 1, 0, revenue=8.0), event(HOUR, 1, 1, revenue=2.0), event(2 * HOUR, 0, 2)]
    late = [replace(in_time[i], offset=k) for k, i in enumerate((0, 2, 1))]
    expected, got = Table().feed(in_time), Table().feed(late)
    np.testing.assert_allclose(got.features[-1], expected.features[-1], rtol=1e-7)
    assert got.counters.tolist() == [1, 0, 0]


def test_an_event_too_old_for_a_window_is_counted_and_still_decays() -> None:
    table = Table()
    table.feed([event(10 * DAY, TYPES["buy"], 0)])
    applied = table.feed([event(0, TYPES["buy"], 1)])
    values = dict(zip(NAMES, applied.raw[0], strict=True))
    assert applied.counters.tolist() == [1, 1, 0]
    assert values["buy_count_3d"] == 1.0
    assert values["buy_count_7d"] == pytest.approx(1 + 2 ** (-10 / 7))


def test_an_event_at_the_clock_is_not_late() -> None:
    assert Table().feed([event(0, 0, 0), event(0, 1, 1)]).counters.tolist() == [0, 0, 0]


def test_distinct_ends_where_every_bucket_is_marked() -> None:
    log = [event(0, 0, i, brand=1 + i) for i in range(64)]
    assert Table().values(log[:63])["brand_distinct"] == pytest.approx(64 * math.log(64))
    assert Table().values(log)["brand_distinct"] == pytest.approx(64 * math.log(64))
    assert Table().values(log[:62])["brand_distinct"] == pytest.approx(64 * math.log(32))


def test_an_offset_is_applied_once_for_each_topic() -> None:
    table = Table()
    log = [event(offset=5), event(offset=5), event(offset=4), event(offset=6)]
    assert table.feed(log).applied.tolist() == [True, False, False, True]
    assert table.feed([event(offset=5, topic=1)]).applied.tolist() == [True]
    ints = table.state[0].view(np.int64)
    assert ints[PLAN.offset_words].tolist() == [7, 6]


@pytest.mark.parametrize(
    ("said", "in_force"),
    [
        ([(0, -1)], -1),
        ([(0, 1)], 1),
        ([(0, 0)], 0),
        ([(0, 1), (1, -1)], 1),
        ([(0, 1), (1, 0)], 0),
        ([(1, 0), (0, 1)], 0),  # older than what is in force
        ([(1, 0), (1, 1)], 1),  # of one time: the later offset
    ],
)
def test_the_newest_word_on_consent_is_in_force(said: list[tuple[int, int]], in_force: int) -> None:
    log = [event(t, 0, i, consent=consent) for i, (t, consent) in enumerate(said)]
    table = Table()
    assert table.feed(log).consent[-1] == in_force
    assert table.feed(log).consent.tolist() == [in_force] * len(log), (
        "a replay tells what holds now"
    )


def test_a_missing_number_is_no_zero() -> None:
    table = Table(Normalization(np.full(len(NAMES), 0.5), np.ones(len(NAMES)), 8.0))
    last = NAMES.index("revenue_last")
    applied = table.feed([event(0, TYPES["view"], 0), event(1, TYPES["view"], 1, revenue=0.0)])
    np.testing.assert_array_equal(applied.raw[:, last], [math.nan, 0.0])
    assert applied.features[:, last].tolist() == [0.0, -0.5], "the mean, then the number itself"
    assert NAMES[last + 1] == "revenue_last_missing"
    assert applied.raw[:, last + 1].tolist() == [1.0, 0.0]
    assert applied.features[:, last + 1].tolist() == [0.5, -0.5]


def test_a_type_not_declared_feeds_what_listens_to_all() -> None:
    values = Table().values([event(0, -1, 0, revenue=7.0)])
    assert values["any_count_1h"] == 1.0
    assert values["any_sum_6h"] == 7.0
    assert values["view_count_1h"] == values["buy_count_7d"] == values["spent"] == 0.0


def test_events_before_1970_are_events() -> None:
    table = Table()
    assert table.values([event(-START_MS - DAY, 0, 0), event(-START_MS, 0, 1)])["tenure"] == 0.0
    assert table.values([event(-START_MS + DAY, 0, 2)])["tenure"] == pytest.approx(DAY / 1000)


def test_no_event_is_no_work() -> None:
    applied = Table().feed([])
    assert applied.features.shape == applied.raw.shape == (0, len(NAMES))


def test_matrices_are_c_contiguous() -> None:
    applied = Table().feed([event(0, 0, i) for i in range(3)])
    assert applied.features.flags.c_contiguous
    assert applied.raw.flags.c_contiguous


def test_a_row_in_words() -> None:
    table = Table()
    table.feed([event(0, TYPES["buy"], 4, revenue=8.0, category=7, consent=0)])
    told = PLAN.describe(table.state[0])
    assert told["clock_ms"] == told["first_ms"] == told["consent_ms"] == START_MS
    assert told["consent"] == "withdrawn"
    assert told["next_offset"] == {"first": 5, "second": 0}
    assert told["state"]["spent"] == 8.0
    assert told["state"]["buy_recency"] == {"last_ms": START_MS}
    assert told["state"]["revenue_last"] == {"last_ms": START_MS, "value": 8.0}
    assert sum(told["state"]["buy_count_3d"]) == 1.0
    assert told["state"]["category_share_1d_0"] == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": np.zeros((4, 3))}, "words in a row"),
        ({"state": np.zeros((4, PLAN.row_words), np.float32)}, "state: expected a writable"),
        ({"rows": np.array([4])}, "row numbers below 4"),
        ({"rows": np.array([-1])}, "row numbers below 4"),
        ({"rows": np.zeros(2, np.int64)}, "rows: expected 1"),
        ({"topic": 2}, "topic: expected an index below 2"),
        ({"normalization": Normalization.identity(3)}, "normalization: expected"),
        ({"batch": batch_of([event(code=99)])}, "type_code: expected codes below"),
        ({"batch": replace(batch_of([event()]), number=np.zeros((2, 1)))}, "number: expected 1"),
        (
            {"batch": replace(batch_of([event()]), category=np.zeros((1, 1), np.uint64))},
            "category: expected 2",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    fitting: dict[str, Any] = {
        "state": np.zeros((4, PLAN.row_words)),
        "rows": np.zeros(1, np.int64),
        "batch": batch_of([event()]),
        "topic": 0,
        "normalization": Normalization.identity(len(NAMES)),
    }
    apply(PLAN, **fitting)
    with pytest.raises(ValueError, match=message):
        apply(PLAN, **{**fitting, **change})


@pytest.mark.parametrize("out", [np.zeros((2, len(NAMES))), np.zeros((len(NAMES), 1)).T[:, ::-1]])
def test_raw_features_need_a_matrix_of_their_own(out: np.ndarray) -> None:
    state, rows = np.zeros((4, PLAN.row_words)), np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="out: expected a C-contiguous matrix"):
        apply_raw(PLAN, state, rows, batch_of([event()]), 0, out)


def test_the_bytes_of_a_row_stay_what_they_are() -> None:
    """Rows lie in changelogs: a failure here asks for a higher `VERSION`, then for these bytes."""
    table = Table()
    log = [
        event(0, TYPES["buy"], 0, revenue=8.0, category=7, brand=3, consent=1),
        event(7 * DAY, TYPES["view"], 1, revenue=2.5, category=5, brand=9),
        event(0, TYPES["refund"], 2, revenue=-1.0),
    ]
    table.feed(log)
    old_ms, new_ms = log[0].time_ms, log[1].time_ms
    row = np.zeros(34)
    ints = row.view(np.int64)
    ints[:6] = new_ms, old_ms, 1, old_ms, 3, 0  # clock, first, consent, its time, next offsets
    row[6:9] = 1, 2**-168, 1  # 1h: view, buy, any
    row[9:13] = 7 * 2**-7, 0, 2**-7, 1  # 1d: spent, shares
    row[13:18] = 1, 0.5, 0, 0.5, 1  # 7d: view, buy, shares
    ints[18:20] = old_ms, new_ms  # recency of buy, of any
    row[20:24] = 0, 0, 0, 0  # buys of four days
    row[24:28] = 2.5, 0, 0, 0  # revenue of eight hours
    ints[28], row[29] = new_ms, 2.5  # last revenue
    ints[30:33] = 0, 1 << 5, 0  # categories of three days
    ints[33] = 1 << 3 | 1 << 9  # brands
    assert table.state[0].tobytes() == row.tobytes()
    assert (kernel.VERSION, PLAN.layout_digest) == (2, "730699387d11")


def test_the_kernel_knows_what_is_compiled_into_it() -> None:
    folder = Path(kernel.__file__).parent
    text = b"".join((folder / f).read_bytes() for f in ("kernel_tables.py", "kernel_read.py"))
    digest = hashlib.sha256(text).hexdigest()[:12]
    assert digest == kernel.COMPILED_IN, f'set COMPILED_IN = "{digest}" in stream/kernel.py'
