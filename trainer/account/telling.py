"""From a record of the decision topic, the campaign file and the registry to the story of a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.errors import BundleError, RegistryError
from models.registry import Registry
from stream.campaign.file import Campaign
from stream.columns import Float32s
from stream.features.plan import compile_features
from stream.policy.decision import NO_MODEL, NOTHING
from trainer.account.contributions import attribute
from trainer.account.found_decision import FoundDecision
from trainer.account.story import (
    FeatureStory,
    Story,
    differences,
    raw_values,
    stages_of,
    strategies_of,
)


def tell(found: FoundDecision, campaign: Campaign, registry: Registry) -> Story:
    """The story of a decision; what cannot be told is said in its notes."""
    told, data = found.told, _data(found.told)
    notes: list[str] = []
    if data is not told.get("data"):
        notes.append("the flat form tells neither stages nor reasons")
    vector = found.vector
    bundle = _bundle(data.get("model") or "", registry, notes)
    if vector is None:
        notes.append("the record carries no features (decisions.feature_header): nothing is scored")
    elif bundle is not None and len(vector) != bundle.manifest.network.inputs:
        notes.append(f"the record carries {len(vector)} features, the model eats others")
        vector = None
    scores, values, extra = {}, {}, {}
    if bundle is not None and vector is not None:
        scores = _scores(bundle, vector, campaign)
        names = bundle.manifest.contract.names
        plan = compile_features(campaign)
        raw = raw_values(bundle, vector, dict(zip(plan.names, plan.transforms, strict=True)))
        values = dict(zip(names, raw.tolist(), strict=True))
    strategies = strategies_of(data, campaign, scores, values)
    if bundle is not None and vector is not None:
        extra = _features(bundle, vector, values, _about(data, strategies, scores), campaign)
    notes += differences(data, strategies, campaign)
    dropped = {one["strategy"]: one["code"] for one in data.get("dropped", ())}
    topic, partition, offset = found.where
    return Story(
        decision=str(told.get("id", told.get("decision_id"))),
        customer=str(told.get("subject", told.get("customer_id"))),
        record=f"{topic}/{partition}:{offset}", event=data.get("event"), time=told.get("time"),
        model=str(data.get("model")), policy=data.get("policy"),
        chosen=data["action"]["strategy"], reasons=list(data.get("reasons", ())),
        action_probability=data.get("action_probability"), explored=data.get("explored"),
        group=data.get("group"), holdouts=list(data.get("holdouts", ())), ghost=data.get("ghost"),
        not_before=data.get("not_before"), notes=notes, strategies=strategies,
        stages=stages_of(dropped, [s.strategy for s in strategies if s.strategy != NOTHING])
        if "dropped" in data else [],
        **extra,
    )  # fmt: skip


def _data(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was decided, of either form."""
    if "data" in told:
        data: Mapping[str, Any] = told["data"]
        return data
    return {**told, "action": {"strategy": told["strategy"]}}


def is_decision(told: Mapping[str, Any]) -> bool:
    """Whether a record has what every decision has."""
    data = told.get("data", {})
    flat = isinstance(told.get("strategy"), str) and "decision_id" in told
    return flat or (isinstance(data, dict) and isinstance(data.get("action"), dict))


def _bundle(version: str, registry: Registry, notes: list[str]) -> Bundle | None:
    if version == NO_MODEL:
        notes.append("there was no model: chance among what was allowed")
        return None
    try:
        return registry.load(version)
    except (BundleError, RegistryError, OSError) as exc:
        notes.append(f"the model {version} cannot be loaded, so nothing is scored: {exc}")
        return None


def _scores(bundle: Bundle, vector: Float32s, campaign: Campaign) -> dict[str, float]:
    from stream.scoring.scorer import Scorer

    scores = Scorer(bundle, campaign.model.builder).score(np.ascontiguousarray(vector[None]))[0]
    return dict(zip(bundle.manifest.strategies, scores.tolist(), strict=True))


def _about(
    data: Mapping[str, Any], strategies: Sequence[Any], scores: Mapping[str, float]
) -> str | None:
    """Whose logit the features explain: the chosen one, or of those that the model knows the best."""
    chosen = data["action"]["strategy"]
    if chosen in scores and chosen != NOTHING:
        return str(chosen)
    known = [one for one in strategies if one.strategy in scores and one.worth is not None]
    known = [one for one in known if one.strategy != NOTHING]
    return max(known, key=lambda one: one.worth).strategy if known else None


def _features(
    bundle: Bundle, vector: Float32s, values: Mapping[str, float], about: str | None,
    campaign: Campaign,
) -> dict[str, Any]:  # fmt: skip
    """What moved the logit of one strategy, the most first."""
    if about is None:
        return {}
    outputs, head = bundle.manifest.strategies, bundle.manifest.network.head
    against = NOTHING if NOTHING in outputs else None
    if against is None and head == "choice":  # a share says nothing by itself: beside the next best
        scores = _scores(bundle, vector, campaign)
        others = [name for name in outputs if name != about]
        against = max(others, key=lambda name: scores[name]) if others else None
    found = attribute(
        bundle, vector, outputs.index(about), outputs.index(against) if against else -1,
        campaign.model.builder,
    )  # fmt: skip
    order = np.argsort(-np.abs(found.contribution), kind="stable").tolist()
    names = bundle.manifest.contract.names
    return {
        "about": about, "against": against, "logit": found.logit,
        "logit_of_average": found.average, "rest": found.rest,
        "method": "exact, a linear network" if found.is_exact else "integrated gradients",
        "features": [
            FeatureStory(names[i], values[names[i]], float(vector[i]), float(found.contribution[i]))
            for i in order
        ],
    }  # fmt: skip
