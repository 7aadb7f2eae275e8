"""From models and examples to an evaluation and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from models.bundle import Bundle
from models.contract import Normalization
from stream.campaign import Campaign
from stream.columns import Float32s
from stream.features import FeaturePlan
from stream.scores import Scorer, score_ms
from trainer.evaluation.baselines import fit_baselines
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Evaluation
from trainer.evaluation.judged import Judged
from trainer.evaluation.slices import slices
from trainer.evaluation.thresholds import scored
from trainer.evidence import evidence
from trainer.fit import fit, network_config, predict
from trainer.gate import Evidence, Verdict, judge
from trainer.part import Part

LINEAR = "linear"


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Examples of three periods, as inputs of one model.

    Attributes:
        learn: What models and rules are fitted on.
        check: What thresholds are chosen on.
        test: What judges.
    """

    learn: Part
    check: Part
    test: Part

    def normalized_with(self, normalization: Normalization) -> Parts:
        """The same examples as inputs of another model."""
        return Parts(*(
            part.normalized_with(normalization) for part in (self.learn, self.check, self.test)
        ))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The scores of one model.

    Attributes:
        check: On the examples that thresholds are chosen on. Shape (m, K), float32.
        test: On those that judge. Shape (n, K), float32.
    """

    check: Float32s
    test: Float32s

    @classmethod
    def of(cls, scorer: Scorer, parts: Parts) -> Scores:
        """The scores that a worker would give."""
        own = parts.normalized_with(scorer.normalization)
        return cls(scores_of(scorer, own.check), scores_of(scorer, own.test))


def scores_of(scorer: Scorer, part: Part) -> Float32s:
    """Scores of a part whose normalization is the model's. Shape (n, K), float32."""
    out = np.empty((len(part), len(scorer.strategies)), np.float32)
    for where, x in part.blocks():
        out[where] = scorer.score(np.ascontiguousarray(x))
    return out


def comparable(champion: Bundle | None, candidate: Bundle) -> bool:
    """Whether both can score the same examples and answer the same question."""
    if champion is None:
        return False
    old, new = champion.manifest, candidate.manifest
    return (
        old.contract_digest == new.contract_digest
        and old.strategies == new.strategies
        and old.network.head == new.network.head
    )


def baselines(
    campaign: Campaign, plan: FeaturePlan, names: tuple[str, ...], parts: Parts
) -> dict[str, Scores]:
    """The scores of rules that need no network."""
    rules = fit_baselines(campaign, plan, parts.learn, names)
    return {
        name: Scores(rule.scores(parts.check), rule.scores(parts.test))
        for name, rule in rules.items()
    }


def evaluate_models(
    campaign: Campaign,
    plan: FeaturePlan,
    names: tuple[str, ...],
    parts: Parts,
    candidate: Scores,
    others: Mapping[str, Scores],
    seed: int,
) -> Evaluation:
    """Judges a model beside others, with thresholds from the validation part.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        names: Strategy id of each output.
        parts: The examples; customers in `learn` are known ones.
        candidate: Scores of the model.
        others: Scores of champion and baselines.
        seed: Of the resamples.

    Raises:
        TrainingError: A score is no probability.
    """
    head = campaign.model.head
    before = Judged.of(parts.check, head, names)
    groups = slices(campaign, plan, parts.test, parts.learn)
    judged = Judged.of(parts.test, head, names, groups)
    found = {
        name: scored(before, one.check, one.test)
        for name, one in ({CANDIDATE: candidate} | dict(others)).items()
    }
    return evaluate(judged, found.pop(CANDIDATE), found, campaign.evaluation, seed)


def judge_candidate(
    campaign: Campaign,
    plan: FeaturePlan,
    parts: Parts,
    draft: Bundle,
    champion: Bundle | None,
    seed: int,
) -> tuple[Evaluation | None, Verdict]:
    """Judges a new model beside the champion and the baselines, on the test part.

    Args:
        campaign: The campaign file, with the settings of the model.
        plan: Its compiled features.
        parts: The examples, as inputs of the candidate.
        draft: The candidate, without its report.
        champion: The model in force.
        seed: Of the linear baseline and of the resamples.

    Returns:
        The evaluation, None without test examples; and what the gate says.
    """
    names, builder = draft.manifest.strategies, campaign.model.builder
    scorer = Scorer(draft, builder)
    scorer.check_golden()
    evaluation = None
    if len(parts.test):
        others = baselines(campaign, plan, names, parts)
        if draft.manifest.network.network != "linear":
            others[LINEAR] = _linear(campaign, plan, names, parts, seed)
        if champion is not None and comparable(champion, draft):
            others[CHAMPION] = Scores.of(Scorer(champion, builder), parts)
        candidate = Scores.of(scorer, parts)
        evaluation = evaluate_models(campaign, plan, names, parts, candidate, others, seed)
    measured: dict[str, Any] = {
        "champion": None if champion is None else champion.manifest.version,
        "score_ms": score_ms(scorer),
        "bundle_bytes": sum(map(len, draft.files.values())),
    }
    found = (
        Evidence(rows=0, conversions=0, value=None, over_base_rates=None, **measured)
        if evaluation is None
        else evidence(evaluation, campaign.gate.metric, **measured)
    )
    return evaluation, judge(campaign.gate, found, score_ms_max=campaign.model.score_ms_max)


def _linear(
    campaign: Campaign, plan: FeaturePlan, names: tuple[str, ...], parts: Parts, seed: int
) -> Scores:
    """The weighted sum of the features, which a deeper network has to be worth its trouble beside."""
    model = msgspec.structs.replace(campaign.model, network="linear")
    training = msgspec.structs.replace(
        campaign.training, loss="cross_entropy", class_weights="none"
    )
    config = network_config(model, training, len(plan.names), len(names))
    fitted = fit(config, training, parts.learn, parts.check, seed)
    return Scores(predict(fitted.model, parts.check), predict(fitted.model, parts.test))
