"""What was decided: columns of n decisions, and the codes of their reasons.

Rules of this file
1. Data only.
2. Codes are compiled into `stream.policy.funnel`, whose own text is all that numba's cache looks
   at, and published by name: one is added at the end, none is given another number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Float32s, Float64s, Int16s, Int64s

NOTHING = "nothing"
"""The strategy that is always there: leave the customer alone. Index S, after the campaign's S."""


NO_MODEL = "none"
"""Version that decisions name when there was no model."""


class Reason(IntEnum):
    """Why the decision is what it is."""

    HIGHEST_VALUE = 0
    ONLY_ELIGIBLE = 1
    NOTHING_BETTER = 2
    NO_CONSENT = 3
    NONE_ELIGIBLE = 4
    SCORE_NOT_FINITE = 5
    SUPPRESSED = 6
    EXPLORED = 7
    HOLDOUT = 8
    FALLBACK = 9
    HIGHEST_PRIORITY = 10
    NO_MODEL = 11
    NONE_SCORED = 12
    CONTACT_RULES = 13
    PAUSED = 14
    BUDGET = 15


class Dropped(IntEnum):
    """Why a strategy was not taken; the first that applies."""

    CHOSEN = 0
    NO_CONSENT = 1
    NOT_ELIGIBLE = 2
    SCORE_NOT_FINITE = 3
    LOWER_VALUE = 4
    NOT_IN_MODEL = 5
    UNTRAINED = 6
    DISABLED = 7
    SUPPRESSED = 8
    HOLDOUT = 9
    NOT_DRAWN = 10
    NO_MODEL = 11
    LOWER_PRIORITY = 12
    QUIET_HOURS = 13
    HELD_PAST_EXPIRY = 14
    OPEN_DECISION = 15  # from here on in the order of `stream.contacts.contact_kernel.IS_OPEN`
    COOL_DOWN = 16
    ANSWERED = 17
    EXCLUDED = 18
    CAPPED = 19
    PAUSED = 20
    BUDGET = 21


CERTAIN = 1 << 32
"""Probabilities of a policy are whole numbers out of this."""


@dataclass(frozen=True, slots=True)
class DecisionBatch:
    """n decisions among S strategies and nothing.

    Attributes:
        strategy: Index into the strategies of the campaign, S for nothing. Shape (n,), int16.
        score: The model's output for it, NaN for nothing when that is no output. Shape (n,).
        probability: Probability of the outcome with it; NaN when the model's head predicts choices
            and not outcomes. Shape (n,).
        probability_without: The same without contact, NaN when not modelled. Shape (n,).
        expected_value: Expected gain over doing nothing, in the unit of the values. Shape (n,).
        action_probability: Probability with which the policy takes this strategy for this customer,
            exact. Shape (n,), float64.
        reason: A `Reason`. Shape (n,), int8.
        dropped: A `Dropped` for each strategy. Shape (n, S), int8.
        chances: Probability of each strategy and of nothing, out of `CERTAIN`, which each row sums to;
            without columns where chance has no part in the policy. Shape (n, S + 1) or (n, 0), int64.
        explored: Whether chance took another strategy than the best. Shape (n,), bool.
        held_out: Bit h for hold-out h that the customer is in. Shape (n,), int64.
        ghost: What would have been chosen of a customer who is held out, index as in `strategy`, -1
            for others. Shape (n,), int16.
        retry_ms: From when on each strategy passes the rules about contacts, epoch milliseconds, 0 for
            what they do not stop; without columns where there are none. Shape (n, S) or (n, 0), int64.
        not_before_ms: Before when its message must not go out, epoch milliseconds, 0 for at once.
            Shape (n,), int64.
    """

    strategy: Int16s
    score: Float32s
    probability: Float32s
    probability_without: Float32s
    expected_value: Float64s
    action_probability: Float64s
    reason: npt.NDArray[np.int8]
    dropped: npt.NDArray[np.int8]
    chances: Int64s
    explored: Bools
    held_out: Int64s
    ghost: Int16s
    retry_ms: Int64s
    not_before_ms: Int64s

    def __len__(self) -> int:
        return len(self.strategy)

    def take(self, index: Int64s) -> DecisionBatch:
        """Some of the decisions."""
        return DecisionBatch(*(getattr(self, column.name)[index] for column in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[DecisionBatch]) -> DecisionBatch:
        """The decisions of some batches, one after the other."""
        names = [column.name for column in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
