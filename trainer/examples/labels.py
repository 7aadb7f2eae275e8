"""Examples to learn from: what was known, what was done, what came of it.

An example is a decision point: an event that asks for a decision, with the features right after it,
which is what the worker decides on. For a treatment it is the customer's last decision point before
the treatment, if it is not too long before; the features after the treatment would tell the model that
it took place. A decision names its own. What comes of doing nothing: `trainer.examples.landmarks`.

Rules of this file
1. Pure: columns in, columns out.
2. A label looks only forward: at outcomes after the action and within the attribution window. An
   example whose window is not over, or of which a part was not read, is no example.
3. An outcome counts for every action in whose window it lies: of two mails within a week and one
   order, both were followed by the order. What one of them did is for the features to tell, which
   know of the earlier mail.
4. An example is fixed when it begins: neither a later contact nor an outcome puts it in or out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from stream.columns import Bools, Float64s, Int64s
from trainer.examples.axis import Axis, History, last_before
from trainer.history.gaps import Extent
from trainer.replay.actions import Actions


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """m examples.

    Attributes:
        event: The decision point, an event of the history. Shape (m,), int64.
        strategy: What was used, S for nothing. Shape (m,), int64.
        propensity: Probability with which it was used, NaN when nobody said. Shape (m,), float64.
        held_out: Whether the customer was in a hold-out: the propensity is that of this arm.
            Shape (m,), bool.
        possible: As in `trainer.examples.chance.Logged`. Shape (m,), int64.
        beside: Of doing nothing that was no action the strategy that it stands beside, else -1.
            Shape (m,), int64.
        time_ms: When it was used, or not: outcomes count from then on. Shape (m,), int64.
        outcome: Whether a conversion followed in time. Shape (m,), bool.
        sent: Whether an engine said that it has gone out. Shape (m,), bool.
    """

    event: Int64s
    strategy: Int64s
    propensity: Float64s
    held_out: Bools
    possible: Int64s
    beside: Int64s
    time_ms: Int64s
    outcome: Bools
    sent: Bools

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
        too_late: Treatments too long after their decision point.
        event_missing: Decisions about an event that is not in the history.
        expired: Decisions that had expired when they were published, so that nobody could act on them; they are not
            among the actions.
        immature: Too young for their attribution window to be over.
        behind: Too young for a topic of outcomes that is behind the others.
        unread: With an attribution window of which a part was not read.
        cold: Too soon after a cut of the history.
        untreated: Examples of doing nothing that were no action.
        untreated_points: Decision points that these are made of.
        contacted_later: Those of them that were contacted within their window.
        unmatched: Examples of treatments beside which nobody was left alone.
        held_out: Actions that became examples of customers who were held out.
    """

    actions: int = 0
    duplicates: int = 0
    unknown_strategy: int = 0
    no_decision_point: int = 0
    too_late: int = 0
    event_missing: int = 0
    expired: int = 0
    immature: int = 0
    behind: int = 0
    unread: int = 0
    cold: int = 0
    untreated: int = 0
    untreated_points: int = 0
    contacted_later: int = 0
    unmatched: int = 0
    held_out: int = 0

    @property
    def joined(self) -> int:
        """Actions that became examples."""
        no_point = self.unknown_strategy + self.no_decision_point + self.event_missing
        no_outcome = self.immature + self.behind + self.unread
        return self.actions - no_point - self.too_late - no_outcome - self.cold

    def __add__(self, other: JoinCounts) -> JoinCounts:
        return JoinCounts(*(
            getattr(self, field.name) + getattr(other, field.name) for field in fields(self)
        ))  # fmt: skip


def treated(
    history: History, treatments: Actions, window_ms: int, age_max_ms: int, extent: Extent
) -> tuple[Examples, JoinCounts]:
    """One example for each treatment that can be learned from.

    Args:
        history: The events.
        treatments: The treatments among them.
        window_ms: Attribution window.
        age_max_ms: Most that a treatment comes after its decision point.
        extent: How far the history goes.
    """
    point = last_before(history, treatments.event)
    axis = Axis(history, window_ms, extent)
    found = np.flatnonzero((treatments.strategy >= 0) & (point >= 0))
    age_ms = axis.clock[treatments.event[found]] - axis.clock[point[found]]
    late = found[age_ms > age_max_ms]
    examples, counts, lost = _joined(axis, treatments, point, late)
    return examples, replace(counts, no_decision_point=lost, too_late=len(late))


def decided(
    history: History, decisions: Actions, window_ms: int, extent: Extent
) -> tuple[Examples, JoinCounts]:
    """One example for each decision that can be learned from; the arguments are as for `treated`."""
    axis, nobody = Axis(history, window_ms, extent), np.empty(0, np.int64)
    examples, counts, lost = _joined(axis, decisions, decisions.event, nobody)
    return examples, replace(counts, event_missing=lost)


def _joined(
    axis: Axis, actions: Actions, point: Int64s, left_out: Int64s
) -> tuple[Examples, JoinCounts, int]:
    """The examples of actions with their decision points, and how many have none."""
    unknown = actions.strategy < 0
    lost = ~unknown & (point < 0)
    wanted = ~unknown & ~lost
    wanted[left_out] = False
    examples, counts = _examples(axis, actions, np.flatnonzero(wanted), point)
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


def _examples(
    axis: Axis, actions: Actions, which: Int64s, point: Int64s
) -> tuple[Examples, JoinCounts]:
    """The examples of some actions with their decision points, and how many cannot be any."""
    acted_ms = axis.clock_ms(actions.event[which])
    mature = axis.mature(acted_ms)
    known = mature & axis.known(acted_ms)
    unread = known & axis.unread(acted_ms)
    cold = known & ~unread & axis.cold(point[which])
    kept = which[known & ~unread & ~cold]
    acted = actions.event[kept]
    examples = Examples(
        event=point[kept],
        strategy=actions.strategy[kept],
        propensity=actions.propensity[kept],
        held_out=actions.held_out[kept],
        possible=actions.possible[kept],
        beside=np.full(len(kept), -1),
        time_ms=axis.clock_ms(acted),
        outcome=axis.converted(axis.clock[acted]),
        sent=np.zeros(len(kept), np.bool_),
    )
    return examples, JoinCounts(
        immature=int((~mature).sum()), behind=int((mature & ~known).sum()), unread=int(unread.sum()), cold=int(cold.sum()),
        held_out=int(examples.held_out.sum()),
    )  # fmt: skip
