"""From models and examples to an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.bundle import Bundle
from stream.campaign import Campaign
from stream.columns import Float32s
from stream.features import FeaturePlan
from stream.scores import Scorer
from trainer.evaluation.baselines import fit_baselines
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Evaluation
from trainer.evaluation.judged import Judged
from trainer.evaluation.slices import slices
from trainer.evaluation.thresholds import scored
from trainer.part import Part

__all__ = [
    "CHAMPION", "LINEAR", "Evaluation", "Scores", "baselines", "comparable", "evaluate_models",
]  # fmt: skip

LINEAR = "linear"


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
    def of(cls, scorer: Scorer, check: Part, test: Part) -> Scores:
        """The scores that a worker would give."""
        return cls(scores_of(scorer, check), scores_of(scorer, test))


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
    campaign: Campaign,
    plan: FeaturePlan,
    names: tuple[str, ...],
    learn: Part,
    check: Part,
    test: Part,
) -> dict[str, Scores]:
    """The scores of rules that need no network, learned from the training part."""
    rules = fit_baselines(campaign, plan, learn, names)
    return {name: Scores(rule.scores(check), rule.scores(test)) for name, rule in rules.items()}


def evaluate_models(
    campaign: Campaign,
    plan: FeaturePlan,
    names: tuple[str, ...],
    learn: Part,
    check: Part,
    test: Part,
    candidate: Scores,
    others: Mapping[str, Scores],
    seed: int,
) -> Evaluation:
    """Judges a model beside others, with thresholds from the validation part.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        names: Strategy id of each output.
        learn: The training part: customers in it are known ones.
        check: The validation part.
        test: The test part.
        candidate: Scores of the model.
        others: Scores of champion and baselines.
        seed: Of the resamples.

    Raises:
        TrainingError: A score is no probability.
    """
    head = campaign.model.head
    before = Judged.of(check, head, names)
    judged = Judged.of(test, head, names, slices(campaign, plan, test, learn))
    found = {
        name: scored(before, one.check, one.test)
        for name, one in ({CANDIDATE: candidate} | dict(others)).items()
    }
    return evaluate(judged, found.pop(CANDIDATE), found, campaign.evaluation, seed)
