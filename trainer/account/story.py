"""One decision as a story: its stages, its strategies, and the features that moved the one that was best.

Rules of this file
1. What the decision says is told as it says it; what is computed again, scores and worths, is held
   against it, and a difference is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from models.bundle import Bundle
from stream.campaign.file import Campaign, StrategySpec
from stream.columns import Float32s, Float64s
from stream.policy.decision import CERTAIN, NO_MODEL, NOTHING, Dropped
from stream.policy.stages import STAGES, stage_of

_SCORE_ERROR = 2e-5
_VALUE_ERROR = 1e-4


class StageStory(Struct, frozen=True):
    """A stage: what it dropped, by code, and how many strategies it left."""

    stage: str
    drops: str
    dropped: dict[str, list[str]]
    left: int


class StrategyStory(Struct, frozen=True):
    """A strategy: how it ended, and what the model and the campaign file say of it."""

    strategy: str
    code: str
    stage: str | None
    score: float | None
    worth: float | None
    probability: float | None
    retry_at: str | None


class FeatureStory(Struct, frozen=True):
    """A feature: its value before normalization, normalized, and what it added to the logit."""

    feature: str
    value: float
    normalized: float
    contribution: float


class Story(Struct, frozen=True, kw_only=True):
    """The whole.

    Attributes:
        about: Strategy whose logit the features explain.
        against: What it is held against, None for nothing.
        rest: What the contributions leave of the difference to the average customer.
    """

    decision: str
    customer: str
    record: str
    event: dict[str, Any] | None
    time: str | None
    model: str
    policy: str | None
    chosen: str
    reasons: list[str]
    action_probability: float | None
    explored: bool | None
    group: str | None
    holdouts: list[str]
    ghost: str | None
    not_before: str | None
    stages: list[StageStory]
    strategies: list[StrategyStory]
    about: str | None = None
    against: str | None = None
    features: list[FeatureStory] = []
    logit: float | None = None
    logit_of_average: float | None = None
    rest: float | None = None
    method: str | None = None
    notes: list[str] = []


def stages_of(dropped: Mapping[str, str], strategies: Sequence[str]) -> list[StageStory]:
    """What each stage dropped, and left.

    Args:
        dropped: Code of each strategy that was not taken.
        strategies: Ids of all that there were.
    """
    left, told = len(strategies), []
    for stage in STAGES:
        codes = {code.name for code in stage.codes}
        mine: dict[str, list[str]] = {}
        for name, code in dropped.items():
            if code in codes:
                mine.setdefault(code, []).append(name)
        left -= sum(map(len, mine.values()))
        told.append(StageStory(stage.name, stage.drops, mine, left))
    return told


def strategies_of(
    told: Mapping[str, Any], campaign: Campaign, scores: Mapping[str, float],
    values: Mapping[str, float],
) -> list[StrategyStory]:  # fmt: skip
    """The strategies that the decision names, as it ended for them.

    Args:
        told: The `data` of the decision.
        campaign: The campaign file.
        scores: Of each output of the model.
        values: Features before normalization, by their names.
    """
    dropped = {one["strategy"]: one["code"] for one in told.get("dropped", ())}
    chances = told.get("probabilities")
    chosen = told["action"]["strategy"]
    specs = {one.id: one for one in campaign.strategies}
    names = [*dict.fromkeys([*specs, *dropped]), NOTHING]
    retry = told.get("retry_at") or {}
    found = []
    for name in names:
        if name not in dropped and name not in (chosen, NOTHING):
            continue  # the campaign file has it, the decision had not
        code = dropped.get(name, Dropped.CHOSEN.name if name == chosen else "")
        is_dropped = name in dropped and code in Dropped.__members__
        found.append(
            StrategyStory(
                name, code, stage_of(Dropped[code]) if is_dropped else None, scores.get(name),
                0.0 if name == NOTHING else worth_of(specs.get(name), scores, values),
                None if chances is None else chances.get(name, 0) / CERTAIN, retry.get(name),
            )
        )  # fmt: skip
    return found


def worth_of(
    spec: StrategySpec | None, scores: Mapping[str, float], values: Mapping[str, float]
) -> float | None:
    """What a strategy is worth: see `stream.policy.arbitration`; None when that cannot be said."""
    if spec is None:
        return None
    value = spec.value
    if spec.value_from:
        known = values.get(spec.value_from, np.nan)
        value = value if np.isnan(known) else float(known)
    if spec.transactional:
        return value * spec.weight - spec.cost
    if spec.id not in scores:
        return None
    return (scores[spec.id] - scores.get(NOTHING, 0.0)) * value * spec.weight - spec.cost


def differences(
    told: Mapping[str, Any], found: Sequence[StrategyStory], campaign: Campaign
) -> list[str]:
    """Where what is computed now is not what the decision says."""
    notes = []
    if told.get("policy") not in (None, campaign.policy.version):
        notes.append(
            f"the decision was made by policy {told['policy']}, the campaign file has "
            f"{campaign.policy.version}: what strategies are worth is told by the file as it is now"
        )
    chosen = next((one for one in found if one.strategy == told["action"]["strategy"]), None)
    if chosen is None or told.get("model") == NO_MODEL:
        return notes
    pairs = [("score", chosen.score, _SCORE_ERROR)]
    if chosen.strategy != NOTHING:
        pairs.append(("expected_value", chosen.worth, _VALUE_ERROR))
    for name, now, error in pairs:
        said = told.get(name)
        if said is not None and now is not None and abs(said - now) > error * max(1, abs(said)):
            notes.append(
                f"{name} of {chosen.strategy}: the decision says {said:.6f}, computed again it is "
                f"{now:.6f}; the model or the campaign file is another"
            )
    return notes


def raw_values(bundle: Bundle, vector: Float32s, transforms: Mapping[str, str]) -> Float64s:
    """Features before transform and normalization, as far as the vector tells. Shape (F,), float64."""
    norm = bundle.normalization
    x = vector.astype(np.float64) * norm.std + norm.mean
    for i, name in enumerate(bundle.manifest.contract.names):
        if transforms.get(name) == "log1p":
            x[i] = np.expm1(x[i])
        elif transforms.get(name) == "signlog":
            x[i] = np.sign(x[i]) * np.expm1(abs(x[i]))
    return x
