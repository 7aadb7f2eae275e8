"""What the policy of a model would have earned on decisions that chance had part in.

Rules of this file
1. Judged are decisions with a known probability about customers who were not held out: those could get
   nothing, whatever a policy says.
2. A policy is the worker's own, without what it leaves to chance. It takes what it could have taken:
   strategies whose conditions held, and that had a chance then.
3. The best constant is chosen on the training and the validation part, and judged with the rest on the
   test part. Rewards are rare and skewed: the validation part alone often takes another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from stream.campaign.file import Campaign
from stream.campaign.funnel_sections import ExplorationSpec
from stream.campaign.purposes import purposes_of
from stream.columns import Bools, Float32s, Float64s
from stream.events.consent.vocabulary import NOT_SAID
from stream.policy.choice import Policy
from stream.policy.decision import NOTHING
from stream.policy.draws import Asked
from stream.policy.eligibility import eligible
from trainer.evaluation.bootstrap import CUSTOMERS_MIN
from trainer.evaluation.offpolicy import inference
from trainer.evaluation.offpolicy.log import Log, always
from trainer.evaluation.offpolicy.worth import Comparison, Judge
from trainer.examples.inputs import Inputs
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
    """A part with what a model says of it.

    Attributes:
        part: n examples.
        scores: Of every strategy, and of nothing. Shape (n, S + 1), float32.
        untrained: Strategies that the model never takes.
    """

    part: Part
    scores: Float32s
    untrained: tuple[str, ...] = ()


def money(
    campaign: Campaign, plan: Inputs, before: Sequence[Part], test: Scores, champion: Scores | None
) -> Money | Unproven:
    """What the policy of a response model earns beside doing nothing, every constant and the champion.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        before: Parts that do not judge: of training, of validation.
        test: The test part, and what the model says of it.
        champion: Likewise of the champion; None when there is none to compare with.

    Returns:
        The money, or why nothing can be said of it.
    """
    if campaign.training.learn_from != "decisions":
        return Unproven(
            "treatments do not say what was decided about everybody else, so that nobody knows what doing "
            f"nothing would have earned. {_EXPLORE}"
        )
    earlier = [(part, keep) for part in before if (keep := randomised(part)).any()]
    known, now = sum(int(keep.sum()) for _, keep in earlier), randomised(test.part)
    if min(known, int(now.sum())) < _DECISIONS_MIN:
        return Unproven(
            f"expected {_DECISIONS_MIN} decisions at least, to learn from and to judge by each, "
            f"with the probability with which they were made, got {known:,} of "
            f"{sum(map(len, before)):,} and {int(now.sum()):,} of {len(now):,}. {_EXPLORE}"
        )
    customers = len(np.unique(test.part.customer[now]))
    if customers < CUSTOMERS_MIN:
        return Unproven(
            f"expected decisions about {CUSTOMERS_MIN} customers at least, got {customers}"
        )
    if (test.part.logged.propensity[now] == 1).all():
        return Unproven(f"chance had no part in any of {int(now.sum()):,} decisions. {_EXPLORE}")
    later = Case(campaign, plan, test.part, now)
    best = _best_constant([Case(campaign, plan, part, keep).judge for part, keep in earlier])
    others = {} if champion is None else {_CHAMPION: later.policy(champion)}
    found = later.judge.compare(later.policy(test), others, _ASKED, only_asked=True)
    return _told(found, best)


def _best_constant(judges: Sequence[Judge]) -> str:
    """The constant that is worth most on all of their decisions together; nothing wins a tie."""
    total: dict[str, float] = {}
    for judge in judges:
        for name, value in judge.constant_values().items():
            total[name] = total.get(name, 0.0) + value * judge.rows
    return max(total, key=lambda name: (total[name], name == NOTHING))


def randomised(part: Part) -> Bools:
    """Decisions with a known probability, about customers who were not held out. Shape (n,), bool."""
    propensity = part.logged.propensity
    return (propensity > 0) & (propensity <= 1) & ~part.logged.held_out


class Case:
    """The decisions of a part that can judge.

    Args:
        campaign: The campaign file.
        plan: What the features are.
        part: n examples.
        keep: Which of them. Shape (n,), bool.

    Attributes:
        raw: What conditions compare, and values of strategies. Shape (m, R), float64.
        possible: Which strategies could have been used. Shape (m, S), bool.
        log: The decisions.
        judge: Asked about policies on them.
    """

    def __init__(self, campaign: Campaign, plan: Inputs, part: Part, keep: Bools) -> None:
        self._campaign = _without_chance(campaign)
        self._keep = keep
        some = part.take(keep)
        self.raw = np.empty((len(some), len(plan.raw_columns)))
        for where, values in some.raw_blocks() if len(plan.raw_columns) else ():
            self.raw[where] = values[:, plan.raw_columns]
        self.possible = self._find_possible(plan, some)
        names = (*(one.id for one in campaign.strategies), NOTHING)
        reward = self._earned(some) - self._paid(some)
        self.log = Log(some.strategy, some.logged.propensity, reward, some.customer, names)
        features = np.concatenate([x for _, x in some.blocks()])
        self.judge = Judge(
            self.log, features, some.outcome.astype(np.float64), len(campaign.strategies),
            np.column_stack([self.possible, np.ones(len(some), np.bool_)]),
        )  # fmt: skip

    def policy(self, scored: Scores) -> Float64s:
        """What the worker's own policy makes of a model's scores, without chance. Shape (m, S + 1)."""
        n, purposes = len(self.log), len(purposes_of(self._campaign))
        policy = Policy(self._campaign, "response", self.log.names, scored.untrained)
        nobody = np.zeros(n, np.int64)
        decisions = policy.choose(
            np.ascontiguousarray(scored.scores[self._keep]), self.possible,
            np.full((purposes, n), NOT_SAID, np.int8), np.zeros((0, n), np.bool_),
            Asked(self.raw, nobody, nobody),
        )  # fmt: skip
        return always(self.log, decisions.strategy.astype(np.int64))

    def _find_possible(self, plan: Inputs, part: Part) -> Bools:
        """Which strategies could have been used. Shape (m, S), bool."""
        strategies = len(self._campaign.strategies)
        bits = part.logged.possible[:, np.newaxis]
        said: Bools = ((bits >> np.arange(strategies)) & 1 == 1) | (bits < 0)
        return said & eligible(
            self.raw, plan.condition_strategy, plan.condition_column, plan.condition_op,
            plan.condition_number, strategies,
        )  # fmt: skip

    def _earned(self, part: Part) -> Float64s:
        """The amount, where there is one. Else the value of the outcome.

        Of an outcome without a contact the largest value is taken: it makes
        contacts earn less, not more.
        """
        if part.amount is not None:
            return part.amount
        strategies = self._campaign.strategies
        value = np.tile([one.value for one in strategies], (len(part), 1))
        priced = [k for k, one in enumerate(strategies) if one.value_from]
        if priced:
            own = self.raw[:, -len(priced) :]  # as `stream.policy.arbitration` finds them
            value[:, priced] = np.where(np.isfinite(own), own, value[:, priced])
        value = np.column_stack([value, value.max(axis=1)])
        return np.asarray(part.outcome * value[np.arange(len(part)), part.strategy])

    def _paid(self, part: Part) -> Float64s:
        cost: Float64s = np.array([*(one.cost for one in self._campaign.strategies), 0.0])
        return cost[part.strategy]


def _without_chance(campaign: Campaign) -> Campaign:
    """The campaign of a policy that leaves nothing to chance, over what customers allowed at the time."""
    policy = replace(campaign.policy, consent="ignore", without_model="wait")
    return replace(
        campaign, policy=policy, exploration=ExplorationSpec(), holdouts=(), suppressions=()
    )


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
