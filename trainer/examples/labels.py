"""Examples to learn from: what was known, what was done, what came of it.

An example is a decision point: an event that asks for a decision, with the features right after it,
which is what the worker decides on. For a treatment it is the customer's last decision point before
the treatment; the features after the treatment would tell the model that it took place. A decision
names its own.

Rules of this file
1. Pure: columns in, columns out.
2. A label looks only forward: at outcomes after the action and within the attribution window. An
   example whose window is not over, or of which a part was not read, is no example.
3. Time at an event is the newest event time that the customer's row had seen by then, so that an
   outcome that a late event already had in its features does not count as its future.
4. An outcome counts for every action in whose window it lies: of two mails within a week and one
   order, both were followed by the order. What one of them did is for the features to tell, which
   know of the earlier mail.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from stream.columns import Bools, Float64s, Int64s
from trainer.examples.chance import NOT_SAID
from trainer.history.gaps import Extent, reach_into
from trainer.replay.actions import Actions


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """n events of one shard in the order of their replay, as labels see them.

    Attributes:
        row: Customer; what was carried over at a login is of whom it was carried over to. Shape (n,), int64.
        time_ms: Event time, epoch milliseconds. Shape (n,), int64.
        decides: Whether it asks for a decision. Shape (n,), bool.
        outcome: Whether it is a conversion. Shape (n,), bool.
    """

    row: Int64s
    time_ms: Int64s
    decides: Bools
    outcome: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """m examples.

    Attributes:
        event: The decision point, an event of the history. Shape (m,), int64.
        strategy: What was used, S for nothing. Shape (m,), int64.
        propensity: Probability with which it was used, NaN when nobody said; 1 for doing nothing
            that was no action, which chance had no part in. Shape (m,), float64.
        held_out: Whether the customer was in a hold-out: the propensity is that of this arm.
            Shape (m,), bool.
        possible: As in `trainer.examples.chance.Logged`. Shape (m,), int64.
        time_ms: When it was used. Shape (m,), int64.
        outcome: Whether a conversion followed in time. Shape (m,), bool.
    """

    event: Int64s
    strategy: Int64s
    propensity: Float64s
    held_out: Bools
    possible: Int64s
    time_ms: Int64s
    outcome: Bools

    def __len__(self) -> int:
        return len(self.event)

    def take(self, index: Int64s | Bools) -> Examples:
        """Some of the examples."""
        return Examples(*(getattr(self, field.name)[index] for field in fields(self)))

    @classmethod
    def joined(cls, *parts: Examples) -> Examples:
        """The examples of all parts, one part after the other."""
        return cls(*(
            np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)
        ))  # fmt: skip


@dataclass(frozen=True, slots=True)
class JoinCounts:
    """What became of the actions, and of the decision points without one.

    Attributes:
        actions: Treatments, or decisions, in the history, each once.
        duplicates: Decisions that were published again.
        unknown_strategy: Of a strategy that the campaign does not have.
        no_decision_point: Treatments without a decision point before.
        event_missing: Decisions about an event that is not in the history.
        immature: Too young for their attribution window to be over.
        unread: With an attribution window of which a part was not read.
        cold: Too soon after a cut of the history.
        untreated: Decision points with no contact within one window before and after.
        held_out: Actions that became examples of customers who were held out.
    """

    actions: int = 0
    duplicates: int = 0
    unknown_strategy: int = 0
    no_decision_point: int = 0
    event_missing: int = 0
    immature: int = 0
    unread: int = 0
    cold: int = 0
    untreated: int = 0
    held_out: int = 0

    @property
    def joined(self) -> int:
        """Actions that became examples."""
        no_point = self.unknown_strategy + self.no_decision_point + self.event_missing
        return self.actions - no_point - self.immature - self.unread - self.cold

    def __add__(self, other: JoinCounts) -> JoinCounts:
        return JoinCounts(*(
            getattr(self, field.name) + getattr(other, field.name) for field in fields(self)
        ))  # fmt: skip


def treated(
    history: History, treatments: Actions, window_ms: int, extent: Extent
) -> tuple[Examples, JoinCounts]:
    """One example for each treatment that can be learned from.

    Args:
        history: The events.
        treatments: The treatments among them.
        window_ms: Attribution window.
        extent: How far the history goes.
    """
    point = _last_before(history, treatments.event)
    examples, counts, lost = _joined(history, treatments, point, window_ms, extent)
    return examples, replace(counts, no_decision_point=lost)


def decided(
    history: History, decisions: Actions, window_ms: int, extent: Extent
) -> tuple[Examples, JoinCounts]:
    """One example for each decision that can be learned from; the arguments are as for `treated`."""
    examples, counts, lost = _joined(history, decisions, decisions.event, window_ms, extent)
    return examples, replace(counts, event_missing=lost)


def _joined(
    history: History, actions: Actions, point: Int64s, window_ms: int, extent: Extent
) -> tuple[Examples, JoinCounts, int]:
    """The examples of actions with their decision points, and how many have none."""
    unknown = actions.strategy < 0
    lost = ~unknown & (point < 0)
    axis, which = _Axis(history, window_ms), np.flatnonzero(~unknown & ~lost)
    examples, counts = _examples(axis, actions, which, point, window_ms, extent)
    return (
        examples,
        replace(
            counts,
            actions=len(actions),
            duplicates=actions.duplicates,
            unknown_strategy=int(unknown.sum()),
        ),
        int(lost.sum()),
    )


def untreated(
    history: History, treatments: Actions, nothing: int, window_ms: int, extent: Extent
) -> Examples:
    """One example of doing nothing for each decision point far from any contact.

    "Far" is one attribution window to both sides: an earlier contact may still be at work, and a
    later one may cause the outcome. Nor may there be a contact that was not read.

    Args:
        history: The events.
        treatments: The treatments among them.
        nothing: Index of doing nothing.
        window_ms: Attribution window.
        extent: How far the history goes.
    """
    axis = _Axis(history, window_ms)
    contacts = np.sort(axis.clock[treatments.event[treatments.strategy != nothing]])
    points = np.flatnonzero(history.decides)
    at = axis.clock[points]
    near = _any_between(contacts, at - window_ms, at + window_ms)
    at_ms = axis.clock_ms(points)
    near |= reach_into(extent.untold_ms, at_ms - window_ms, at_ms + window_ms)
    alone = points[~near]
    nobody = np.zeros(len(alone), np.bool_)
    unsaid = np.full(len(alone), NOT_SAID)
    doing_nothing = Actions(
        alone, np.full(len(alone), nothing), np.ones(len(alone)), nobody, unsaid, 0
    )
    everyone = np.arange(len(alone))
    return _examples(axis, doing_nothing, everyone, alone, window_ms, extent)[0]


class _Axis:
    """Time of all customers on one line, one customer after the other.

    They are so far apart that no window reaches from one to the next: what would be a search for
    each customer is one search.

    Attributes:
        clock: Place of each event by the newest event time that its customer's row had seen.
            Shape (n,), int64.
        outcomes: Places of the outcomes by their own times, rising. int64.
    """

    def __init__(self, history: History, window_ms: int) -> None:
        row, time_ms = history.row, history.time_ms
        first_ms, last_ms = (int(time_ms.min()), int(time_ms.max())) if len(row) else (0, 0)
        step = last_ms - first_ms + 2 * window_ms + 1
        self._shift = row * step - first_ms
        place = time_ms + self._shift
        by_row = np.argsort(row, kind="stable")
        self.clock = np.empty_like(place)
        self.clock[by_row] = np.maximum.accumulate(place[by_row])
        self.outcomes = np.sort(place[history.outcome])

    def clock_ms(self, event: Int64s) -> Int64s:
        """The clocks of some events as epoch milliseconds."""
        return self.clock[event] - self._shift[event]


def _any_between(places: Int64s, first: Int64s, last: Int64s) -> Bools:
    """Whether one of the places, rising, is in each closed interval; all are of one length."""
    order = np.argsort(first)  # neighbours look in the same places, which are then in the cache
    found = np.searchsorted(places, first[order])
    out = np.empty(len(first), np.bool_)
    out[order] = found < np.searchsorted(places, last[order], side="right")
    return out


def _last_before(history: History, event: Int64s) -> Int64s:
    """The last decision point of the same customer before each event, -1 for none."""
    n = max(len(history.row), 1)
    points = np.flatnonzero(history.decides)
    places = np.sort(history.row[points] * n + points)
    before = np.searchsorted(places, history.row[event] * n + event) - 1
    found = np.append(places, -n)[before]  # before == -1 is the last, of no customer
    return np.where(found // n == history.row[event], found % n, -1)


def _examples(
    axis: _Axis, actions: Actions, which: Int64s, point: Int64s, window_ms: int, extent: Extent
) -> tuple[Examples, JoinCounts]:
    """The examples of some actions with their decision points, and how many cannot be any."""
    acted_ms = axis.clock_ms(actions.event[which])
    mature = acted_ms + window_ms <= extent.end_ms
    unread = mature & reach_into(extent.unread_ms, acted_ms, acted_ms + window_ms)
    decided_ms = axis.clock_ms(point[which])
    cold = mature & ~unread & reach_into(extent.cold_ms, decided_ms, decided_ms)
    kept = which[mature & ~unread & ~cold]
    acted = actions.event[kept]
    at = axis.clock[acted]
    examples = Examples(
        event=point[kept],
        strategy=actions.strategy[kept],
        propensity=actions.propensity[kept],
        held_out=actions.held_out[kept],
        possible=actions.possible[kept],
        time_ms=axis.clock_ms(acted),
        outcome=_any_between(axis.outcomes, at + 1, at + window_ms),
    )
    return examples, JoinCounts(
        immature=int((~mature).sum()), unread=int(unread.sum()), cold=int(cold.sum()),
        held_out=int(examples.held_out.sum()),
    )  # fmt: skip
