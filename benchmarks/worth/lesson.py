"""From a log to a model that was judged, by the code that trains every model.

Rules of this file
1. First 60 % of a log to learn, 20 % to validate, 20 % to judge.
2. Settings are those of a campaign file that sets nothing but what the data need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from models.bundle import Bundle
from models.contract import Normalization
from stream.campaign.file import Campaign, parse
from stream.columns import Bools, Float32s, Float64s, Int64s
from stream.features.plan import FeaturePlan, compile_features
from stream.scoring.scorer import Scorer
from trainer.examples.chance import NOT_SAID, Logged
from trainer.examples.moments import fit_normalization
from trainer.examples.part import Part
from trainer.judging import Parts, scores_of
from trainer.learning import Learned, learn

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_LEARN, _CHECK = 0.6, 0.8
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Course:
    """What a model is asked for.

    Attributes:
        campaign: The campaign file.
        plan: Its compiled features: two columns for each, the second says whether it is missing.
    """

    campaign: Campaign
    plan: FeaturePlan


def course(
    features: Sequence[str], costs: dict[str, float], value: float, more: str = ""
) -> Course:
    """A campaign of features that are the customers' last known, and of strategies.

    Args:
        features: Names.
        costs: Of a contact, by strategy.
        value: Of an outcome.
        more: Further lines of the campaign file.
    """
    lines = ['app = "worth"', "[topics]", 'events = ["events"]']
    for name in features:
        lines += [
            "[[features]]",
            'op = "last"',
            f'property = "traits.{name}"',
            'transform = "none"',
        ]
    for strategy, cost in costs.items():
        lines += ["[[strategies]]", f'id = "{strategy}"', f"value = {value}", f"cost = {cost}"]
    lines += ["[training]", 'learn_from = "decisions"', more]
    campaign = parse("\n".join(lines))
    return Course(campaign, compile_features(campaign))


def examples(of: Course, x: Float64s, action: Int64s, outcome: Bools, propensity: Float64s) -> Part:
    """Decisions as examples, one customer each, a minute apart."""
    n = len(x)
    values = np.zeros((n, 2 * x.shape[1]))
    values[:, ::2] = x
    return Part(
        values=values, transforms=of.plan.transform_codes,
        normalization=Normalization.identity(values.shape[1]), rows=np.arange(n), strategy=action,
        outcome=outcome, time_ms=np.arange(n) * 60_000 + 365 * _DAY_MS, customer=np.arange(n),
        weight=np.ones(n),
        logged=Logged(propensity, np.zeros(n, np.bool_), np.full(n, NOT_SAID)),
    )  # fmt: skip


def thirds(whole: Part) -> Parts:
    """The examples in three periods, with the normalization of the first."""
    first, second = int(_LEARN * len(whole)), int(_CHECK * len(whole))
    at = np.arange(len(whole))
    whole = replace(whole, normalization=fit_normalization(whole.take(at < first)))
    return Parts(
        whole.take(at < first), whole.take((at >= first) & (at < second)), whole.take(at >= second)
    )


def taught(of: Course, parts: Parts, seed: int, champion: Bundle | None = None) -> Learned:
    """Learns and judges, as `opportune train` does."""
    return learn(
        of.campaign, of.plan, parts, start_ms=int(parts.learn.time_ms[0]), seed=seed,
        created=CREATED, champion=champion,
    )  # fmt: skip


def probabilities(of: Course, model: Learned, x: Float64s) -> Float32s:
    """What a worker would say of customers. Shape (n, strategies + 1), float32."""
    n = len(x)
    nobody = np.zeros(n, np.int64)
    part = examples(of, x, nobody, np.zeros(n, np.bool_), np.full(n, np.nan))
    scorer = Scorer(model.draft)
    return scores_of(scorer, part.normalized_with(scorer.normalization))
