"""Labels: what was done, at which decision point, and what came of it later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.examples.axis import History
from trainer.examples.chance import NOT_SAID
from trainer.examples.labels import Examples, JoinCounts, decided, treated
from trainer.examples.landmarks import untreated
from trainer.history.gaps import Extent
from trainer.replay.actions import Actions

DAY_MS = 86_400_000
MS = 1 / DAY_MS
WINDOW_MS, AGE_MS, END = 10 * DAY_MS, 100 * DAY_MS, Extent(100 * DAY_MS)
NAMES = ("mail", "call", "nothing")
NOTHING = NAMES.index("nothing")


def beside(
    events: History, sent: Actions, examples: Examples, extent: Extent, per_treated: float = 3.0
) -> Examples:
    random = np.random.default_rng(5)
    return untreated(events, sent, examples, NOTHING, WINDOW_MS, extent, per_treated, random)[0]


def history(*events: tuple[str, float, str]) -> tuple[History, Actions]:
    """Events as (customer, day, what): order, outcome, or the name of a strategy that was sent."""
    kinds = [event[2] for event in events]
    sent = [i for i, kind in enumerate(kinds) if kind not in ("order", "outcome")]
    return History(
        row=np.array([ord(event[0][0]) for event in events], np.int64),
        time_ms=np.array([round(event[1] * DAY_MS) for event in events], np.int64),
        decides=np.array([kind == "order" for kind in kinds], np.bool_),
        outcome=np.array([kind == "outcome" for kind in kinds], np.bool_),
    ), actions(*((i, kinds[i]) for i in sent))


def actions(*done: tuple[int, str], duplicates: int = 0, held_out: Sequence[int] = ()) -> Actions:
    """Actions as (event, strategy); the propensity of action k is 1 / (k + 1)."""
    return Actions(
        event=np.array([event for event, _ in done], np.int64),
        strategy=np.array([NAMES.index(s) if s in NAMES else -1 for _, s in done], np.int64),
        propensity=1.0 / np.arange(1, len(done) + 1),
        held_out=np.isin(np.arange(len(done)), held_out),
        possible=np.full(len(done), NOT_SAID),
        duplicates=duplicates,
    )


@pytest.mark.parametrize(
    ("outcome_day", "converted"),
    [(5 - MS, False), (5, False), (5 + MS, True), (15, True), (15 + MS, False)],
)
def test_an_outcome_counts_after_the_action_and_within_the_window(
    outcome_day: float, converted: bool
) -> None:
    events = [("a", 1, "order"), ("a", 5, "mail"), ("a", outcome_day, "outcome")]
    ordered = sorted(events, key=lambda e: e[1])
    examples, _ = treated(*history(*ordered), WINDOW_MS, AGE_MS, END)
    assert examples.outcome.tolist() == [converted]
    at_day_5 = [("a", 5, "order") if event[2] == "mail" else event for event in ordered]
    decision = actions((ordered.index(("a", 5, "mail")), "mail"))
    examples, _ = decided(history(*at_day_5)[0], decision, WINDOW_MS, END)
    assert examples.outcome.tolist() == [converted]


def test_treatments_are_counted_by_what_became_of_them() -> None:
    examples, counts = treated(
        *history(
            ("a", 1, "order"), ("b", 2, "mail"), ("a", 3, "fax"), ("a", 4, "order"),
            ("a", 5, "call"), ("b", 6, "outcome"), ("a", 90, "mail"), ("a", 90 + MS, "mail"),
        ),
        WINDOW_MS,
        AGE_MS,
        END,
    )  # fmt: skip
    assert examples.event.tolist() == [3, 3]  # the last order before, not the first
    assert examples.strategy.tolist() == [1, 0]
    assert examples.propensity.tolist() == [1 / 3, 1 / 4]
    assert examples.outcome.tolist() == [False, False]  # the outcome is another customer's
    # day 90 is just over on day 100
    assert counts == JoinCounts(actions=5, unknown_strategy=1, no_decision_point=1, immature=1)
    assert counts.joined == 2


def test_decisions_are_counted_by_what_became_of_them() -> None:
    events, _ = history(
        ("a", 1, "order"), ("b", 2, "order"), ("a", 3, "outcome"), ("b", 90, "order"),
        ("b", 90 + MS, "order"),
    )  # fmt: skip
    done = actions(
        (3, "nothing"), (0, "mail"), (-1, "mail"), (-1, "fax"), (1, "fax"), (1, "call"), (4, "mail"),
        duplicates=2,
    )  # fmt: skip
    examples, counts = decided(events, done, WINDOW_MS, END)
    assert examples.event.tolist() == [3, 0, 1]
    assert examples.strategy.tolist() == [2, 0, 1]
    assert examples.propensity.tolist() == [1, 1 / 2, 1 / 6]
    assert examples.outcome.tolist() == [False, True, False]
    assert (examples.time_ms / DAY_MS).tolist() == [90, 1, 2]
    assert counts == JoinCounts(
        actions=7, duplicates=2, unknown_strategy=2, event_missing=1, immature=1
    )
    assert counts.joined == 3


def test_an_outcome_counts_for_every_action_in_whose_window_it_lies() -> None:
    examples, _ = treated(
        *history(
            ("a", 1, "order"), ("a", 2, "mail"), ("a", 4, "mail"), ("a", 5, "call"),
            ("a", 13, "outcome"), ("a", 14, "outcome"), ("a", 14 + MS, "mail"),
        ),
        WINDOW_MS,
        AGE_MS,
        END,
    )  # fmt: skip
    assert examples.outcome.tolist() == [False, True, True, False]


def test_a_late_decision_does_not_take_what_it_knew_for_its_future() -> None:
    # The order of day 2 arrives after the outcome of day 6: its features contain that outcome.
    events, _ = history(
        ("a", 6, "outcome"),
        ("a", 2, "order"),
        ("b", 2, "order"),
        ("b", 6, "outcome"),
        ("c", 2, "order"),
    )
    at_once, _ = treated(*history(("c", 2, "order"), ("c", 2, "mail")), WINDOW_MS, AGE_MS, END)
    at_once.event[:] = 4
    for examples in (
        beside(events, actions((4, "mail")), at_once, END, 60.0),
        decided(events, actions((1, "mail"), (2, "mail")), WINDOW_MS, END)[0],
    ):
        by_event = dict(zip(examples.event.tolist(), examples.outcome.tolist(), strict=True))
        assert by_event == {1: False, 2: True}


def test_a_treatment_long_after_its_decision_point_is_no_example() -> None:
    events = history(
        ("a", 1, "order"), ("a", 8, "mail"), ("a", 8 + MS, "mail"), ("b", 1, "order"), ("b", 5, "order"),
        ("b", 12, "call"), ("c", 1, "mail"),
    )  # fmt: skip
    examples, counts = treated(*events, WINDOW_MS, 7 * DAY_MS, END)
    assert (examples.time_ms / DAY_MS).tolist() == [8, 12]
    assert counts == JoinCounts(actions=4, no_decision_point=1, too_late=1)
    assert counts.joined == 2


def test_what_was_not_read_is_no_example() -> None:
    events = history(
        ("a", 1, "order"), ("a", 2, "mail"), ("a", 30, "order"), ("a", 31, "call"),
        ("a", 60, "order"), ("a", 61, "mail"), ("a", 95, "mail"),
    )  # fmt: skip

    def days(*intervals: tuple[int, int]) -> np.ndarray:
        return np.array(intervals, np.int64).reshape(-1, 2) * DAY_MS

    for unread, cold, kept in (
        (days((12, 31)), days(), [2, 31, 61]),  # the window of day 2 is over on day 12
        (days((11, 12)), days(), [31, 61]),
        (days((0, 3), (70, 200)), days(), [31]),
        (days(), days((-9, 30)), [31, 61]),  # features are those of the decision point
        (days((0, 3)), days((-9, 31), (60, 61)), [61]),
    ):
        extent = Extent(END.end_ms, unread_ms=unread, cold_ms=cold)
        examples, counts = treated(*events, WINDOW_MS, AGE_MS, extent)
        assert sorted((examples.time_ms / DAY_MS).tolist()) == kept
        assert (counts.actions, counts.immature, counts.joined) == (4, 1, len(kept))
        assert counts.unread + counts.cold == 3 - len(kept)
    untold = Extent(END.end_ms, untold_ms=days((40, 41)))
    alone = [(f"{day}", day, "order") for day in (30, 41, 50, 51)]
    past, sent = history(("a", 5, "order"), ("a", 5, "mail"), *alone)
    example, _ = treated(past, sent, WINDOW_MS, AGE_MS, untold)
    found = beside(past, sent, example, untold, 60.0)
    assert {round(ms / DAY_MS) for ms in found.time_ms.tolist()} == {
        30,
        51,
    }  # contacts before count


def test_without_events_there_are_no_examples() -> None:
    empty, none = history()
    nobody, _ = treated(empty, none, WINDOW_MS, AGE_MS, END)
    assert len(nobody) == len(beside(empty, none, nobody, END)) == 0
    examples, counts = decided(empty, actions((-1, "mail")), WINDOW_MS, END)
    assert len(examples) == 0
    assert counts == JoinCounts(actions=1, event_missing=1)
    assert len(Examples.joined(examples, examples)) == 0


KINDS = ("order", "outcome", "mail", "call", "nothing", "fax")
PASTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.sampled_from(KINDS)), max_size=25
)


@given(past=PASTS, cut=st.integers(0, 24), later=PASTS)
def test_labels_look_only_forward_and_not_beyond_their_window(
    past: list[tuple[str, int, str]], cut: int, later: list[tuple[str, int, str]]
) -> None:
    """What happens after the windows of some examples are over changes none of them."""
    past = sorted(past, key=lambda event: event[1])
    over_ms = (past[min(cut, len(past) - 1)][1] if past else 0) * DAY_MS + WINDOW_MS
    after = [(who, day + over_ms / DAY_MS + 1, what) for who, day, what in later]
    changed = [event for event in past if event[1] * DAY_MS <= over_ms] + after
    for label in (since_points, decided):
        before, _ = label(*deciding(past, label is decided), WINDOW_MS, Extent(over_ms))
        since, _ = label(*deciding(changed, label is decided), WINDOW_MS, END)
        assert mature(before, over_ms) == mature(since, over_ms)


def since_points(
    events: History, sent: Actions, window_ms: int, extent: Extent
) -> tuple[Examples, JoinCounts]:
    return treated(events, sent, window_ms, AGE_MS, extent)


def deciding(
    events: Sequence[tuple[str, float, str]], every_event: bool
) -> tuple[History, Actions]:
    past, sent = history(*events)
    if not every_event:
        return past, sent
    return past, actions(*((i, NAMES[i % 3]) for i in range(len(events))))


def mature(examples: Examples, end_ms: float) -> list[tuple[object, ...]]:
    keep = examples.take(examples.time_ms + WINDOW_MS <= end_ms)
    return list(
        zip(
            keep.event.tolist(), keep.strategy.tolist(), keep.time_ms.tolist(),
            keep.outcome.tolist(), strict=True,
        )
    )  # fmt: skip


def test_who_was_held_out_stays_marked_and_is_counted() -> None:
    events = [("a", day, "order") for day in range(1, 7)]
    done = actions(*((i, "nothing") for i in range(6)), held_out=[2, 5])
    examples, counts = decided(history(*events)[0], done, WINDOW_MS, END)
    assert examples.held_out.tolist() == [False, False, True, False, False, True]
    assert counts.held_out == 2
