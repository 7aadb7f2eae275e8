"""The feature kernel, rule by rule: late events, consent, missing numbers, the bytes of a row."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.contract import Normalization
from stream.features import kernel
from stream.features.plan import apply, apply_raw
from tests.stream.features.features_harness import (
    DAY,
    HOUR,
    NAMES,
    PLAN,
    START_MS,
    TYPES,
    Table,
    batch_of,
    event,
)


def test_a_late_event_counts_as_if_it_had_come_in_time() -> None:
    in_time = [event(0, 1, 0, revenue=8.0), event(HOUR, 1, 1, revenue=2.0), event(2 * HOUR, 0, 2)]
    late = [replace(in_time[i], offset=k) for k, i in enumerate((0, 2, 1))]
    expected, got = Table().feed(in_time), Table().feed(late)
    np.testing.assert_allclose(got.features[-1], expected.features[-1], rtol=1e-7)
    assert got.counters.tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_an_event_too_old_for_a_window_is_counted_and_still_decays() -> None:
    table = Table()
    table.feed([event(10 * DAY, TYPES["buy"], 0)])
    applied = table.feed([event(0, TYPES["buy"], 1)])
    values = dict(zip(NAMES, applied.raw[0], strict=True))
    assert applied.counters.tolist() == [1, 1, 0, 0, 0, 0, 0]
    assert values["buy_count_3d"] == 1.0
    assert values["buy_count_7d"] == pytest.approx(1 + 2 ** (-10 / 7))


def test_an_event_at_the_clock_is_not_late() -> None:
    assert Table().feed([event(0, 0, 0), event(0, 1, 1)]).counters.tolist() == [0, 0, 0, 0, 0, 0, 0]


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
        ([(1, 0), (0, 1)], 0),  # a grant that is older than what is in force
        ([(1, 1), (0, 0)], 0),  # a denial counts as it arrives
        ([(9, 1), (0, 0), (5, 1)], 0),  # and keeps the time of what it took back
        ([(9, 1), (0, 0), (9, 1)], 1),
        ([(0, 1), (1, -2)], -2),
        ([(0, 0), (1, -2), (2, 1)], 1),
        ([(1, 1), (0, -2)], -2),
        ([(1, 0), (1, 1)], 1),  # of one time: the later offset
    ],
)
def test_which_word_on_consent_is_in_force(said: list[tuple[int, int]], in_force: int) -> None:
    log = [event(t, 0, i, consent=consent) for i, (t, consent) in enumerate(said)]
    table = Table()
    assert table.feed(log).consent[0, -1] == in_force
    assert table.feed(log).consent.tolist() == [[in_force] * len(log)], (
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
    assert told["clock_ms"] == told["first_ms"] == START_MS
    assert told["consent"] == {"marketing": {"said": "withdrawn", "time_ms": START_MS}}
    assert told["closed_until_ms"] == {}
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
            {"batch": replace(batch_of([event()]), consent=np.zeros((2, 1), np.int8))},
            "consent: expected 1",
        ),
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
        event(0, TYPES["buy"], 0, revenue=8.0, category=7, brand=3, consent=1,
              event_hash=2**63 + 6),
        event(7 * DAY, TYPES["view"], 1, revenue=2.5, category=5, brand=9),
        event(0, TYPES["refund"], 2, revenue=-1.0, event_hash=9),
    ]  # fmt: skip
    table.feed(log)
    old_ms, new_ms = log[0].time_ms, log[1].time_ms
    row = np.zeros(33 + 17)
    ints = row.view(np.int64)
    ints[:5] = new_ms, old_ms, 3, 0, old_ms << 2 | 1  # clock, first, next offsets, consent
    row[5:8] = 1, 2**-168, 1  # 1h: view, buy, any
    row[8:12] = 7 * 2**-7, 0, 2**-7, 1  # 1d: spent, shares
    row[12:17] = 1, 0.5, 0, 0.5, 1  # 7d: view, buy, shares
    ints[17:19] = old_ms, new_ms  # recency of buy, of any
    row[19:23] = 0, 0, 0, 0  # buys of four days
    row[23:27] = 2.5, 0, 0, 0  # revenue of eight hours
    ints[27], row[28] = new_ms, 2.5  # last revenue
    ints[29:32] = 0, 1 << 5, 0  # categories of three days
    ints[32] = 1 << 3 | 1 << 9  # brands
    ints[33:36] = 2, 6 - 2**63, 9  # place of the next event id, the ids that are remembered
    assert table.state[0].tobytes() == row.tobytes()
    assert (kernel.VERSION, PLAN.layout_digest) == (2, "99db1b857d5a")


def test_the_kernel_knows_what_is_compiled_into_it() -> None:
    folder = Path(kernel.__file__).parent
    parts = ("kernel_tables", "kernel_read", "kernel_repeats", "kernel_consent")
    names = [f"{part}.py" for part in (*parts, "identity/kernel_merge")]
    text = b"".join((folder / name).read_bytes() for name in names)
    digest = hashlib.sha256(text).hexdigest()[:12]
    assert digest == kernel.COMPILED_IN, (
        f'set COMPILED_IN = "{digest}" in stream/features/kernel.py'
    )


@pytest.mark.parametrize(("days", "counted"), [(3, 1.0), (4, 0.0)])
def test_a_late_event_is_in_a_window_while_the_ring_has_its_tile(days: int, counted: float) -> None:
    """The tile before the oldest of the ring stands where the newest one does."""
    table = Table()
    table.feed([event(days * DAY, TYPES["view"], 0)])
    assert table.values([event(0, TYPES["buy"], 1)])["buy_count_3d"] == counted
