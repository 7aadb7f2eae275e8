"""The feature kernel against a slow twin that recomputes everything from a customer's events.

The twin keeps the whole history and no state: each feature is one expression over the list of
events. The kernel has to equal it, wherever a log is cut and whatever comes late or twice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.features import kernel
from stream.features.plan import Applied, apply_raw
from tests.stream.features.features_harness import (
    DAY,
    HOUR,
    NAMES,
    PLAN,
    SECOND,
    START_MS,
    TYPES,
    Event,
    Table,
    batch_of,
    event,
    pieces,
)

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
    for one in events:
        if math.isfinite(one.revenue) and (best is None or one.time_ms >= best.time_ms):
            best = one
    return best.revenue if best else math.nan


def linear_count(categories: Iterable[int]) -> float:
    zeros = 64 - len({c % 64 for c in categories if c})
    return -64 * math.log(zeros / 64) if zeros else 64 * math.log(64)


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
    columns = [getattr(part, name) for part in parts]
    axis = 1 if name == "consent" else 0
    return np.concatenate(columns, axis).tobytes()


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
