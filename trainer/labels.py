"""Examples to learn from: what was known, what was done, what came of it.

An example is a decision point: an event that asks for a decision, with the features right after it,
which is what the worker decides on. For a treatment it is the customer's last decision point before
the treatment; the features after the treatment would tell the model that it took place.

Rules of this file
1. Pure: columns in, columns out.
2. A label looks only forward: at outcomes after the treatment and within the attribution window. An
   example whose window is not over is no example yet.
3. Time at an event is the newest event time that the customer's row had seen by then, so that an
   outcome that a late event already had in its features does not count as its future.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stream.columns import Bools, Int64s


@dataclass(frozen=True, slots=True)
class History:
    """n events of one partition in the order of their replay, as labels see them.

    Attributes:
        row: Customer. Shape (n,), int64.
        time_ms: Event time, epoch milliseconds. Shape (n,), int64.
        decides: Whether it asks for a decision. Shape (n,), bool.
        treatment: Whether it says that a strategy was used. Shape (n,), bool.
        strategy: Index of that strategy: one of the campaign's S, S for nothing, -1 for a strategy
            that is not known. Shape (n,), int64.
        outcome: Whether it is a conversion. Shape (n,), bool.
    """

    row: Int64s
    time_ms: Int64s
    decides: Bools
    treatment: Bools
    strategy: Int64s
    outcome: Bools


@dataclass(frozen=True, slots=True)
class Examples:
    """m examples.

    Attributes:
        event: The decision point, an event of the history. Shape (m,), int64.
        strategy: What was used, S for nothing. Shape (m,), int64.
        time_ms: When it was used. Shape (m,), int64.
        outcome: Whether a conversion followed in time. Shape (m,), bool.
    """

    event: Int64s
    strategy: Int64s
    time_ms: Int64s
    outcome: Bools


@dataclass(frozen=True, slots=True)
class JoinCounts:
    """What became of the treatments and of the decision points without one.

    Attributes:
        treatments: Treatments in the history.
        unknown_strategy: Of a strategy that the campaign does not have.
        no_decision_point: Without a decision point before.
        immature: Too young for their attribution window to be over.
        untreated: Decision points with no contact within one window before and after.
    """

    treatments: int
    unknown_strategy: int
    no_decision_point: int
    immature: int
    untreated: int

    def __add__(self, other: JoinCounts) -> JoinCounts:
        return JoinCounts(
            self.treatments + other.treatments,
            self.unknown_strategy + other.unknown_strategy,
            self.no_decision_point + other.no_decision_point,
            self.immature + other.immature,
            self.untreated + other.untreated,
        )


def treated(history: History, window_ms: int, end_ms: int) -> tuple[Examples, JoinCounts]:
    """One example for each treatment that can be learned from.

    Args:
        history: The events.
        window_ms: Attribution window.
        end_ms: When the history ends.
    """
    events = _frame(history)
    treatments = events[history.treatment].assign(strategy=history.strategy[history.treatment])
    points = events[history.decides].assign(point=np.flatnonzero(history.decides))
    joined = pd.merge_asof(
        treatments, points[["row", "event", "point"]],
        on="event", by="row", allow_exact_matches=False,
    )  # fmt: skip
    unknown = joined.strategy < 0
    lost = ~unknown & joined.point.isna()
    immature = ~unknown & ~lost & (joined.clock_ms + window_ms > end_ms)
    kept = joined[~unknown & ~lost & ~immature]
    examples = Examples(
        event=kept.point.to_numpy(np.int64),
        strategy=kept.strategy.to_numpy(np.int64),
        time_ms=kept.clock_ms.to_numpy(np.int64),
        outcome=_converted(kept, events[history.outcome], window_ms),
    )
    counts = JoinCounts(
        treatments=len(joined),
        unknown_strategy=int(unknown.sum()),
        no_decision_point=int(lost.sum()),
        immature=int(immature.sum()),
        untreated=0,
    )
    return examples, counts


def untreated(history: History, nothing: int, window_ms: int, end_ms: int) -> Examples:
    """One example of doing nothing for each decision point far from any contact.

    "Far" is one attribution window to both sides: an earlier contact may still be at work, and a
    later one may cause the outcome.

    Args:
        history: The events.
        nothing: Index of doing nothing.
        window_ms: Attribution window.
        end_ms: When the history ends.
    """
    events = _frame(history)
    points = events[history.decides]
    points = points[points.clock_ms + window_ms <= end_ms].sort_values("clock_ms", kind="stable")
    contact = history.treatment & (history.strategy != nothing)
    contacts = events[contact].sort_values("clock_ms", kind="stable")[["row", "clock_ms"]]
    near = np.zeros(len(points), np.bool_)
    for direction in ("backward", "forward"):
        found = pd.merge_asof(
            points, contacts.assign(contact=1.0),
            on="clock_ms", by="row", direction=direction, tolerance=window_ms,
        )  # fmt: skip
        near |= found.contact.notna().to_numpy()
    alone = points[~near]
    return Examples(
        event=alone.event.to_numpy(np.int64),
        strategy=np.full(len(alone), nothing, np.int64),
        time_ms=alone.clock_ms.to_numpy(np.int64),
        outcome=_converted(alone, events[history.outcome], window_ms),
    )


def _frame(history: History) -> pd.DataFrame:
    """Events by number, with the time that their customer's row had reached."""
    frame = pd.DataFrame({"row": history.row, "time_ms": history.time_ms})
    frame["event"] = np.arange(len(frame))
    frame["clock_ms"] = frame.groupby("row").time_ms.cummax()
    return frame


def _converted(examples: pd.DataFrame, outcomes: pd.DataFrame, window_ms: int) -> Bools:
    """Whether each example's customer has an outcome after `clock_ms` and within the window."""
    outcomes = outcomes.sort_values("time_ms", kind="stable")
    found = pd.merge_asof(
        examples.reset_index(drop=True).reset_index().sort_values("clock_ms", kind="stable"),
        outcomes[["row", "time_ms"]].rename(columns={"time_ms": "outcome_ms"}),
        left_on="clock_ms", right_on="outcome_ms", by="row",
        direction="forward", allow_exact_matches=False, tolerance=window_ms,
    )  # fmt: skip
    return np.asarray(found.sort_values("index").outcome_ms.notna(), np.bool_)
