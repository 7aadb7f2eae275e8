"""The stateless funnel in the words of docs/decisions.md, one customer and one strategy at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.campaign.file import Campaign, StrategySpec
from stream.campaign.funnel_sections import HoldoutSpec, has_chance
from stream.policy.decision import CERTAIN, NOTHING


@dataclass(frozen=True)
class Customer:
    """All that is known of a customer at a decision.

    Attributes:
        scores: Model output by name; None when there is no model.
        untrained: Of the model.
        eligible: By strategy.
        consents: Whether marketing is not withdrawn.
        prices: By strategy the feature that has its value.
        held_out: Hold-outs that the customer is in.
    """

    scores: Mapping[str, float] | None
    untrained: Sequence[str]
    eligible: Mapping[str, bool]
    consents: bool
    prices: Mapping[str, float]
    held_out: Sequence[HoldoutSpec]


@dataclass
class Arm:
    """A customer, held out or not, after all stages but the draw."""

    best: str
    codes: dict[str, str]
    gain: dict[str, float]
    shares: dict[str, float]
    reason: str


def why_unscored(customer: Customer, strategy: StrategySpec) -> str:
    if strategy.transactional:
        return ""
    if customer.scores is None:
        return "NO_MODEL"
    if strategy.id not in customer.scores:
        return "NOT_IN_MODEL"
    return "UNTRAINED" if strategy.id in customer.untrained else ""


def is_kept(customer: Customer, strategy: StrategySpec) -> bool:
    return not strategy.transactional and any(
        spec.is_universal or strategy.id in spec.strategies or strategy.channel in spec.channels
        for spec in customer.held_out
    )


def gain_of(customer: Customer, strategy: StrategySpec) -> float:
    if why_unscored(customer, strategy):
        return math.nan
    value = customer.prices.get(strategy.id, math.nan) if strategy.value_from else strategy.value
    value = strategy.value if math.isnan(value) else value
    scores = customer.scores or {}
    by = 1.0
    if not strategy.transactional:
        by = scores[strategy.id] - scores.get(NOTHING, 0.0)
    return by * value * strategy.weight - strategy.cost


def stages(campaign: Campaign, customer: Customer, *, held: bool) -> dict[str, str]:
    """By strategy why it is out before arbitration, "" for no reason."""
    codes = {}
    for strategy in campaign.strategies:
        unscored = why_unscored(customer, strategy)
        first = not has_chance(campaign) and strategy.id != campaign.policy.fallback
        codes[strategy.id] = (
            "DISABLED" if not strategy.enabled
            else unscored if unscored and first
            else "NO_CONSENT" if not customer.consents
            else "NOT_ELIGIBLE" if not customer.eligible[strategy.id]
            else "HOLDOUT" if held and is_kept(customer, strategy)
            else ""
        )  # fmt: skip
    return codes


def arbitrate(campaign: Campaign, customer: Customer, *, held: bool) -> Arm:
    codes = stages(campaign, customer, held=held)
    allowed = [s for s in campaign.strategies if not codes[s.id]]
    gain = {s.id: gain_of(customer, s) for s in allowed}
    finite = [s for s in allowed if math.isfinite(gain[s.id])]
    least = 0.0 if campaign.policy.do_nothing else -math.inf
    worthy = [s for s in finite if gain[s.id] > least]
    first = max((s.priority for s in worthy), default=0)
    tier = [s for s in worthy if s.priority == first]
    most = max((gain[s.id] for s in tier), default=0.0)
    best = next((s for s in tier if gain[s.id] == most), None)
    for s in allowed:
        lower = best is not None and s.priority < first
        codes[s.id] = why_unscored(customer, s) or (
            "SCORE_NOT_FINITE" if s not in finite
            else "LOWER_PRIORITY" if lower
            else "LOWER_VALUE"
        )  # fmt: skip
    fallback = campaign.policy.fallback
    by_fallback = best is None and fallback in gain
    name = best.id if best else fallback if by_fallback else NOTHING
    reason = why(campaign, customer, codes, allowed, finite)
    if best is not None:
        outdone = any(gain[s.id] > most for s in finite)
        reason = (
            "ONLY_ELIGIBLE" if len(allowed) == 1
            else "HIGHEST_PRIORITY" if outdone
            else "HIGHEST_VALUE"
        )  # fmt: skip
    elif by_fallback:
        reason = "FALLBACK"
    shares = share(campaign, customer, name, gain, first if best else -(10**9))
    return Arm(name, codes, gain, shares, reason)


def why(
    campaign: Campaign, customer: Customer, codes: Mapping[str, str],
    allowed: Sequence[StrategySpec], finite: Sequence[StrategySpec],
) -> str:  # fmt: skip
    """Why nothing is best."""
    if not customer.consents:
        return "NO_CONSENT"
    if not allowed:
        return "HOLDOUT" if "HOLDOUT" in codes.values() else "NONE_ELIGIBLE"
    if finite:
        return "NOTHING_BETTER"
    if customer.scores is None:
        return "NO_MODEL"
    broken = any(codes[s.id] == "SCORE_NOT_FINITE" for s in allowed)
    return "SCORE_NOT_FINITE" if broken else "NONE_SCORED"


def share(
    campaign: Campaign, customer: Customer, best: str, gain: Mapping[str, float], first: int
) -> dict[str, float]:
    """The probability of each strategy and of nothing, not yet rounded."""
    specs = {s.id: s for s in campaign.strategies}
    how = campaign.exploration
    method, epsilon, floor = how.method, how.epsilon, how.floor
    if customer.scores is None:
        method, epsilon, floor = "epsilon", how.without_model, 0.0
    arms = [name for name in gain if not specs[name].transactional]
    if campaign.policy.do_nothing or best == NOTHING:
        arms.append(NOTHING)
    certain = dict.fromkeys([*specs, NOTHING], 0.0)
    if method == "none" or arms == [best] or (best in specs and specs[best].transactional):
        return certain | {best: 1.0}
    worth = {**gain, NOTHING: 0.0}
    priority = first if best == NOTHING or first > -(10**9) else specs[best].priority
    compared = [
        name for name in arms
        if math.isfinite(worth[name]) and (name == NOTHING or specs[name].priority >= priority)
    ]  # fmt: skip
    top = max((worth[name] for name in compared), default=0.0)
    k = len(arms)
    others = [name for name in arms if name != best]
    if method == "softmax":
        weight = {
            name: math.exp((worth[name] - top) / how.temperature) if name in compared else 0.0
            for name in others
        } | {best: 1.0}
        total = sum(weight.values())
        return certain | {name: floor / k + (1 - floor) * weight[name] / total for name in arms}
    drawn = {
        name: max(
            floor / k,
            epsilon / k if method == "epsilon"
            else 1 / (k + how.gamma * (top - worth[name])) if name in compared
            else 0.0,
        )
        for name in others
    }  # fmt: skip
    return certain | drawn | {best: 1.0 - sum(drawn.values())}


def drawn(chances: Sequence[int], names: Sequence[str], draw: int) -> str:
    """Which one a draw takes."""
    assert sum(chances) == CERTAIN
    below = 0
    for name, chance in zip(names, chances, strict=True):
        below += chance
        if draw < below:
            return name
    raise AssertionError(draw)
