"""Logins and tombstones in the kernel: against one row that has had all events, and against plain rules."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract import Normalization
from stream.campaign.consent_sections import SuppressionSpec
from stream.campaign.file import StrategySpec, parse
from stream.columns import Int64s
from stream.features import kernel
from stream.features.kernel_tables import CARRIED, CLOCK_MS, FIRST_MS
from stream.features.plan import Applied, FeaturePlan, apply, compile_features
from tests.stream.features.features_harness import (
    CAMPAIGN,
    DAY,
    HOUR,
    NAMES,
    PLAN,
    START_MS,
    TYPES,
    Event,
    batch_of,
    event,
    pieces,
)

USER, DEVICE, ALL = range(3)
CLOSING = compile_features(
    msgspec.structs.replace(
        parse(CAMPAIGN),
        strategies=(StrategySpec(id="one", eligible=tuple(f"{name} > 0" for name in NAMES)),),
        suppressions=(
            SuppressionSpec(events=("refund",), channel="email", for_="2d", lifted_by=("view",)),
        ),
    )
)
LOGIN = -1  # a type that is not declared


class Rows:
    """A table of three rows, and what empties them."""

    def __init__(self, plan: FeaturePlan = PLAN) -> None:
        self.plan = plan
        self.state = np.zeros((3, plan.row_words))

    @property
    def ints(self) -> Int64s:
        return self.state.view(np.int64)

    def feed(self, events: list[Event], emptied: dict[int, int] | None = None) -> Applied:
        """Feeds events of one topic; `emptied` has rows by the offsets of logins and tombstones."""
        rows = np.array([e.customer for e in events], np.int64)
        empties = np.array([(emptied or {}).get(e.offset, -1) for e in events], np.int64)
        identity = Normalization.identity(len(NAMES))
        topic = events[0].topic if events else 0
        batch = batch_of(events)
        return apply(self.plan, self.state, rows, batch, topic, identity, empties)

    def values(self, row: int, at: Event) -> dict[str, float]:
        """Features of a row right after one more event."""
        raw = self.feed([replace(at, customer=row)]).raw[-1]
        return dict(zip(NAMES, raw.tolist(), strict=True))


TIMES = st.lists(st.integers(0, 9 * DAY), min_size=0, max_size=20, unique=True)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of a customer and of a device, out of order in time, no two at one time."""
    return [
        event(
            time_ms,
            draw(st.sampled_from([*TYPES.values(), LOGIN])),
            offset,
            customer=draw(st.sampled_from([USER, DEVICE])),
            revenue=draw(st.sampled_from([math.nan, 1.5, 40.0])),
            category=draw(st.integers(0, 9)),
            brand=draw(st.integers(0, 99)),
        )
        for offset, time_ms in enumerate(draw(TIMES))
    ]


@given(histories(), st.integers(0, 9 * DAY), st.data())
def test_two_rows_merged_are_one_row_that_has_had_all_events(
    log: list[Event], login_ms: int, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(log)))
    login = event(login_ms, LOGIN, cut, customer=USER)
    before = log[:cut]
    after = [replace(one, offset=one.offset + 1, customer=USER) for one in log[cut:]]
    merged, whole = Rows(), Rows()
    merged.feed([*before, login, *after], {cut: DEVICE})
    whole.feed([replace(one, customer=ALL) for one in (*before, login, *after)])
    probe = event(10 * DAY, LOGIN, len(log) + 1)
    got, expected = merged.values(USER, probe), whole.values(ALL, probe)
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)
    assert merged.ints[USER, FIRST_MS] == whole.ints[ALL, FIRST_MS]
    counted = [name for name in NAMES if "count_3d" in name or "distinct" in name]
    assert {name: got[name] for name in counted} == {name: expected[name] for name in counted}


@given(histories(), st.sets(st.integers(1, 19)), st.data())
def test_where_the_log_is_cut_changes_no_bit(
    log: list[Event], cuts: set[int], data: st.DataObject
) -> None:
    emptied = {
        one.offset: data.draw(st.sampled_from([USER, DEVICE]))
        for one in log
        if data.draw(st.booleans())
    }
    log = [replace(one, consent_only=emptied.get(one.offset) == one.customer) for one in log]
    once, parts = Rows(), Rows()
    whole = once.feed(log, emptied)
    counted = [parts.feed(piece, emptied).counters for piece in pieces(log, cuts)]
    assert once.state.tobytes() == parts.state.tobytes()
    assert whole.counters.tolist() == np.sum([whole.counters * 0, *counted], axis=0).tolist()


@given(histories(), st.data())
def test_a_repetition_from_any_pair_of_durable_rows_ends_in_the_same_state(
    log: list[Event], data: st.DataObject
) -> None:
    """Both rows of a login become durable at once, or that of the customer first."""
    if not log:
        return
    at = data.draw(st.integers(0, len(log) - 1))
    log[at] = replace(log[at], customer=USER, code=LOGIN)
    start = data.draw(st.integers(0, at))
    table = Rows()
    table.feed(log[:start])
    earlier = table.state.copy()
    table.feed(log[start:], {at: DEVICE})
    again = Rows()
    again.state[:] = table.state
    if data.draw(st.booleans()):
        again.state[DEVICE] = earlier[DEVICE]
    elif data.draw(st.booleans()):
        again.state[[USER, DEVICE]] = earlier[[USER, DEVICE]]
    again.feed(log[start:], {at: DEVICE})
    assert again.state.tobytes() == table.state.tobytes()


def test_a_login_empties_the_row_of_the_id_and_counts_once() -> None:
    table = Rows()
    login = [event(HOUR, LOGIN, 1)]
    table.feed([event(0, TYPES["buy"], 0, customer=DEVICE, revenue=5.0)])
    applied = table.feed(login, {1: DEVICE})
    assert applied.counters[kernel.MERGED_ROWS] == 1
    assert table.ints[DEVICE, [CLOCK_MS, FIRST_MS]].tolist() == [0, CARRIED]
    assert not table.state[DEVICE, PLAN.tables.decays_start[0] : PLAN.tables.ring].any()
    again = table.feed([event(2 * HOUR, LOGIN, 2)], {2: DEVICE})
    assert again.counters[kernel.MERGED_ROWS] == 0
    values = table.values(USER, event(3 * HOUR, LOGIN, 3))
    assert (values["buy_count_3d"], values["revenue_last"]) == (1, 5.0)


def test_what_comes_of_the_id_after_a_login_begins_anew_and_is_carried_over_by_the_next() -> None:
    table = Rows()
    table.feed([event(0, TYPES["buy"], 0, customer=DEVICE), event(1, LOGIN, 1)], {1: DEVICE})
    later = event(HOUR, TYPES["buy"], 2, customer=DEVICE)
    table.feed([later])
    assert table.ints[DEVICE, FIRST_MS] == START_MS + HOUR
    table.feed([event(2 * HOUR, LOGIN, 3)], {3: DEVICE})
    assert table.values(USER, event(2 * HOUR, LOGIN, 4))["buy_count_3d"] == 2


def test_a_login_that_comes_again_carries_nothing_over() -> None:
    table = Rows()
    login = event(0, LOGIN, 0, event_hash=7)
    table.feed([login], {0: DEVICE})
    table.feed([event(1, TYPES["buy"], 1, customer=DEVICE)])
    applied = table.feed([replace(login, offset=2)], {2: DEVICE})
    assert applied.repeated.tolist() == [True]
    assert applied.counters[kernel.MERGED_ROWS] == 0
    assert table.ints[DEVICE, CLOCK_MS] > 0


def said(table: Rows) -> int:
    """What is in force for the customer: 1, 0 or -1."""
    return int(table.feed([event(9 * DAY, LOGIN, 90)]).consent[0, 0])


@pytest.mark.parametrize(
    ("device", "user", "expected"),
    [
        (-1, -1, -1),
        (1, -1, -1),
        (0, -1, 0),
        (-1, 1, 1),
        (0, 1, 0),
        (1, 0, 0),
        (-2, 1, -2),
        (0, 0, 0),
    ],
)
def test_what_either_forbids_is_forbidden(device: int, user: int, expected: int) -> None:
    table = Rows()
    table.feed([
        event(0, TYPES["view"], 0, customer=DEVICE, consent=device),
        event(HOUR, TYPES["view"], 1, consent=user),
        event(2 * HOUR, LOGIN, 2),
    ], {2: DEVICE})  # fmt: skip
    assert said(table) == expected


def test_an_objection_stays_with_the_id_and_takes_back_no_later_grant() -> None:
    table = Rows()
    table.feed([event(0, LOGIN, 0, customer=DEVICE, consent=0), event(1, LOGIN, 1)], {1: DEVICE})
    assert said(table) == 0
    table.feed([event(9 * DAY + 1, LOGIN, 91, consent=1)])
    table.feed([event(9 * DAY + 2, LOGIN, 92)], {92: DEVICE})
    applied = table.feed(
        [event(9 * DAY + 3, LOGIN, 93), event(9 * DAY + 3, LOGIN, 94, customer=DEVICE)]
    )
    assert applied.consent[0].tolist() == [1, 0]


def closed(table: Rows, row: int, offset: int, at_ms: int) -> bool:
    return bool(table.feed([event(at_ms, LOGIN, offset, customer=row)]).closed[0, 0])


def test_a_channel_that_is_closed_to_the_id_is_closed_to_the_customer_and_stays_so() -> None:
    table = Rows(CLOSING)
    table.feed([event(0, TYPES["refund"], 0, customer=DEVICE), event(1, LOGIN, 1)], {1: DEVICE})
    assert closed(table, USER, 2, HOUR)
    assert closed(table, DEVICE, 3, HOUR)
    assert not closed(table, USER, 4, 3 * DAY)
    table.feed([event(3 * DAY, TYPES["refund"], 5), event(3 * DAY + 1, TYPES["view"], 6)])
    table.feed([event(0, LOGIN, 7)], {7: DEVICE})
    assert not closed(table, USER, 8, 3 * DAY + 2), "it was lifted after it had been carried over"


def test_who_is_forgotten_begins_at_zero_and_what_they_forbade_stays() -> None:
    table = Rows(CLOSING)
    table.feed([
        event(0, TYPES["buy"], 0, consent=0, event_hash=5),
        event(HOUR, TYPES["refund"], 1),
        event(HOUR, LOGIN, 2, consent_only=True),
        event(0, TYPES["buy"], 1),
    ], {2: USER})  # fmt: skip
    values = table.values(USER, event(2 * HOUR, TYPES["buy"], 3, event_hash=5))
    fresh = Rows(CLOSING).values(USER, event(2 * HOUR, TYPES["buy"], 3, event_hash=5))
    assert values == pytest.approx(fresh, nan_ok=True)
    assert closed(table, USER, 85, DAY)
    assert not closed(table, USER, 86, 3 * DAY)
    assert said(table) == 0


def test_a_grant_and_what_is_over_are_forgotten() -> None:
    table = Rows(CLOSING)
    table.feed([
        event(0, TYPES["refund"], 0, consent=1),
        event(5 * DAY, LOGIN, 1),
        event(5 * DAY, LOGIN, 2, consent_only=True),
    ], {2: USER})  # fmt: skip
    counted = np.delete(table.ints, CLOSING.offset_words, axis=1)
    assert not counted[USER].any(), "nothing is known but the next offset"
    assert table.ints[USER, CLOSING.offset_words].tolist() == [3, 0]


def test_a_tombstone_counts_those_of_whom_there_was_an_event() -> None:
    table = Rows()
    dead = {1: USER, 2: USER}
    log = [event(0, 0, 0), *(event(1, LOGIN, k, consent_only=True) for k in (1, 2))]
    applied = table.feed(log, dead)
    assert applied.counters[kernel.FORGOTTEN_ROWS] == 1
    assert applied.applied.tolist() == [True, False, False]
    assert table.feed(log, dead).counters[kernel.FORGOTTEN_ROWS] == 0


def test_how_rows_are_emptied_is_part_of_their_layout() -> None:
    campaign = parse(CAMPAIGN)
    digests = {
        compile_features(
            msgspec.structs.replace(
                campaign,
                events=msgspec.structs.replace(campaign.events, login=login, tombstones=tombstones),
            )
        ).layout_digest
        for login in ("separate", "merge")
        for tombstones in ("ignore", "letter", "forget")
    }
    assert len(digests) == 4
    assert PLAN.layout_digest in digests
