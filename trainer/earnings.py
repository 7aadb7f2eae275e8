"""What the policy of a model would have earned on decisions that chance had part in.

Rules of this file
1. Judged are decisions with a known probability about customers who were not held out: those could get
   nothing, whatever a policy says.
2. A policy takes what it could have taken: strategies whose conditions held, and that had a chance then.
3. The best constant is chosen on the validation part, and judged with the rest on the test part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Bools, Float32s, Float64s, Int64s
from stream.features.plan import FeaturePlan
from stream.policy.decision import NOTHING
from stream.policy.eligibility import eligible
from trainer.evaluation.offpolicy import inference
from trainer.evaluation.offpolicy.log import Log, always
from trainer.evaluation.offpolicy.worth import Comparison, Judge
from trainer.examples.part import Part
from trainer.gate.checks import Interval
from trainer.gate.money import Money, Unproven

_ASKED, _CHAMPION = "the new model", "the champion"
_DECISIONS_MIN = 100
_EXPLORE = (
    "Let the worker explore (the sections exploration and holdouts of the campaign file) and learn "
    'from its decisions (training.learn_from = "decisions")'
)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A part with what a model says of it. The scores have the shape (n, S + 1), nothing last."""

    part: Part
    scores: Float32s


def money(
    campaign: Campaign, plan: FeaturePlan, untrained: tuple[str, ...],
    check: Scores, test: Scores, champion: Float32s | None,
) -> Money | Unproven:  # fmt: skip
    """What the policy of a response model earns beside doing nothing, every constant and the champion.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        untrained: Strategies that the model never takes.
        check: Of the model, on the validation part.
        test: Of the model, on the test part.
        champion: The champion's scores of the test part; None when there is none to compare with.

    Returns:
        The money, or why nothing can be said of it.
    """
    before, now = _randomised(check.part), _randomised(test.part)
    if min(before.sum(), now.sum()) < _DECISIONS_MIN:
        return Unproven(
            f"expected {_DECISIONS_MIN} decisions at least, of the validation and of the test part each, "
            f"with the probability with which they were made, got {int(before.sum()):,} of "
            f"{len(before):,} and {int(now.sum()):,} of {len(now):,}. {_EXPLORE}"
        )
    if (test.part.logged.propensity[now] == 1).all():
        return Unproven(f"chance had no part in any of {int(now.sum()):,} decisions. {_EXPLORE}")
    earlier, later = (
        _Case(campaign, plan, check.part, before),
        _Case(campaign, plan, test.part, now),
    )
    best = earlier.judge.best_constant()
    others = {} if champion is None else {_CHAMPION: later.policy(champion, ())}
    found = later.judge.compare(later.policy(test.scores, untrained), others, _ASKED)
    return _told(found, best)


def _randomised(part: Part) -> Bools:
    """Decisions with a known probability, about customers who were not held out. Shape (n,), bool."""
    propensity = part.logged.propensity
    return (propensity > 0) & (propensity <= 1) & ~part.logged.held_out


class _Case:
    """The decisions of a part that can judge."""

    def __init__(self, campaign: Campaign, plan: FeaturePlan, part: Part, keep: Bools) -> None:
        strategies = campaign.strategies
        self._value = np.array([one.value for one in strategies])
        self._cost = np.array([one.cost for one in strategies])
        self._ids = [one.id for one in strategies]
        self._keep = keep
        some = part.take(keep)
        self._possible = _possible(plan, some, len(strategies))
        self._log = Log(
            some.strategy, some.logged.propensity, self._earned(some) - self._paid(some),
            some.customer, (*self._ids, NOTHING),
        )  # fmt: skip
        features = np.concatenate([x for _, x in some.blocks()])
        self.judge = Judge(
            self._log, features, some.outcome.astype(np.float64), len(strategies),
            np.column_stack([self._possible, np.ones(len(some), np.bool_)]),
        )  # fmt: skip

    def policy(self, scores: Float32s, untrained: tuple[str, ...]) -> Float64s:
        """What a model's estimates of the gain lead to, without exploration. Shape (m, S + 1)."""
        of = scores[self._keep].astype(np.float64)
        gain = (of[:, :-1] - of[:, -1:]) * self._value - self._cost
        barred = np.array([name in untrained for name in self._ids])
        gain[~self._possible | barred | ~np.isfinite(gain)] = -np.inf
        chosen = np.where(gain.max(axis=1) > 0, gain.argmax(axis=1), len(self._ids))
        return always(self._log, chosen.astype(np.int64))

    def _earned(self, part: Part) -> Float64s:
        """Of an outcome without a contact the largest value is taken: it makes contacts earn less, not more."""
        value = np.append(self._value, self._value.max())
        return np.asarray(part.outcome * value[part.strategy])

    def _paid(self, part: Part) -> Float64s:
        cost: Float64s = np.append(self._cost, 0.0)[part.strategy]
        return cost


def _possible(plan: FeaturePlan, part: Part, strategies: int) -> Bools:
    """Which strategies could have been used. Shape (n, S), bool."""
    out = np.ones((len(part), strategies), np.bool_)
    for where, values in part.raw_blocks() if len(plan.condition_strategy) else ():
        out[where] = eligible(
            values[:, plan.raw_columns], plan.condition_strategy, plan.condition_column,
            plan.condition_op, plan.condition_number, strategies,
        )  # fmt: skip
    bits: Int64s = part.logged.possible
    said = (bits[:, np.newaxis] >> np.arange(strategies)) & 1 == 1
    found: Bools = out & (said | (bits < 0)[:, np.newaxis])
    return found


def _told(found: Comparison, best: str) -> Money | Unproven:
    asked = found.standings[_ASKED]
    if asked.diagnosis.reasons:
        return Unproven("; ".join(asked.diagnosis.reasons))
    champion = found.over.get(_CHAMPION)
    missing = [name for name in (NOTHING, best) if name not in found.over]
    if missing:
        return Unproven(f"{', '.join(missing)}: never done in the test part. {_EXPLORE}")
    return Money(
        decisions=asked.diagnosis.rows,
        effective=asked.diagnosis.effective,
        contacts=asked.contacts,
        value=_interval(asked.value),
        over_nothing=_interval(found.over[NOTHING]),
        best_constant=best,
        over_best_constant=_interval(found.over[best]),
        over_champion=None if champion is None else _interval(champion),
    )


def _interval(found: inference.Interval) -> Interval:
    return Interval(found.value, found.low, found.high)
