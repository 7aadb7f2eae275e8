"""A published model on what happened after it was fitted: the same judgement, later data."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from models.bundle import Bundle
from models.contract import Normalization
from stream.campaign import Campaign
from stream.campaign_types import duration_ms
from stream.scores import Scorer
from trainer import judging
from trainer.dataset import Dataset, Period
from trainer.errors import TrainingError
from trainer.evaluation.evaluation import CHAMPION
from trainer.judging import Parts, Scores
from trainer.part import Part
from trainer.report import Report, facts_of_history
from trainer.train import Prepared, outputs


def review(
    campaign: Campaign,
    prepared: Prepared,
    bundle: Bundle,
    champion: Bundle | None,
    created: datetime,
) -> Report:
    """Judges a model on the examples after its window, one attribution window later.

    Rules and thresholds are learned from the examples inside its window.

    Args:
        campaign: The campaign file.
        prepared: A history that reaches further than the window.
        bundle: The model.
        champion: Another model to stand beside it; what it was fitted on is left out as well.
        created: When.

    Raises:
        TrainingError: The model eats other features, or there are no later examples.
    """
    dataset, manifest = prepared.dataset, bundle.manifest
    if manifest.contract_digest != prepared.plan.contract.digest:
        raise TrainingError(
            f"expected a model for feature contract {prepared.plan.contract.digest}, which this "
            f"campaign file declares, got {manifest.version} for {manifest.contract_digest}. Use "
            "the campaign file that it was trained with"
        )
    if manifest.strategies != outputs(campaign) or manifest.network.head != campaign.model.head:
        raise TrainingError(
            f"expected a model with the head {campaign.model.head} over {list(outputs(campaign))}, "
            f"got {manifest.version} with the head {manifest.network.head} over "
            f"{list(manifest.strategies)}. Use the campaign file that it was trained with"
        )
    rival = champion if judging.comparable(champion, bundle) else None
    fitted_until_ms = max(one.manifest.window.end_ms for one in (bundle, rival) if one is not None)
    known, later = _periods(dataset, manifest.window.end_ms, fitted_until_ms, bundle.normalization)
    parts, builder = Parts(known, known, later), campaign.model.builder
    others = judging.baselines(campaign, prepared.plan, manifest.strategies, parts)
    if rival is not None:
        others[CHAMPION] = Scores.of(Scorer(rival, builder), parts)
    candidate = Scores.of(Scorer(bundle, builder), parts)
    evaluation = judging.evaluate_models(
        campaign, prepared.plan, manifest.strategies, parts, candidate, others, manifest.seed
    )
    return Report(
        model=campaign.model,
        training=campaign.training,
        facts=facts_of_history(
            campaign, dataset, prepared.rejects, manifest.strategies, created,
            {"fitted on": known, "judged on": later},
            candidate=manifest.version,
            champion="" if rival is None else rival.manifest.version,
        ),
        evaluation=evaluation,
    )  # fmt: skip


def _periods(
    dataset: Dataset, end_ms: int, fitted_until_ms: int, normalization: Normalization
) -> tuple[Part, Part]:
    gap_ms = duration_ms(dataset.training.attribution_window)
    from_ms = fitted_until_ms + gap_ms
    known = dataset.part(Period(np.iinfo(np.int64).min, end_ms), normalization)
    later = dataset.part(Period(from_ms, np.iinfo(np.int64).max), normalization)
    if len(known) == 0 or len(later) == 0:
        when = np.datetime64(from_ms, "ms").item()
        raise TrainingError(
            f"expected examples from before the end of the model's window, and others from {when} "
            f"UTC on, an attribution window after it, got {len(known)} and {len(later)}. Wait for "
            "more history, or read more of it"
        )
    return known, later
