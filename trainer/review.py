"""A published model on what happened after it was fitted: the same judgement, later data."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from msgspec.structs import replace

from models.bundle import Bundle
from stream.campaign.file import Campaign
from trainer import judging
from trainer.errors import TrainingError
from trainer.evaluation.baselines import BASE_RATE, BaseRate
from trainer.evaluation.evaluate import evaluate_unseen
from trainer.evaluation.judged import Judged, Scored
from trainer.evaluation.slices import slices
from trainer.examples.dataset import Dataset, Period
from trainer.examples.part import Part
from trainer.learning import outputs
from trainer.report import published
from trainer.report.report import Report, facts_of_history
from trainer.train import Prepared


def review(
    campaign: Campaign,
    prepared: Prepared,
    bundle: Bundle,
    champion: Bundle | None,
    created: datetime,
) -> Report:
    """Judges a model on the examples after its window, one attribution window later.

    Thresholds and base rates are those of the report that it was published with: what it was fitted
    on need not be in the history any more.

    Args:
        campaign: The campaign file.
        prepared: A history that reaches further than the window.
        bundle: The model.
        champion: Another model to stand beside it, on examples that it has not seen either.
        created: When.

    Raises:
        TrainingError: The model eats other features, or there are no later examples.
        BundleError: A report cannot be read.
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
    later = _later(dataset, bundle)
    names, rates = manifest.strategies, published.base_rates(bundle)
    rival = judging.rival_of(champion, bundle, campaign, later)
    others = {}
    if rates is not None:
        scores = BaseRate(rates).scores(later)
        others[BASE_RATE] = Scored(scores, published.thresholds(bundle, BASE_RATE))
    evaluation = evaluate_unseen(
        Judged.of(later, manifest.network.head, names, slices(campaign, prepared.plan, later)),
        judging.published_scores(bundle, campaign, later),
        others,
        rival,
        campaign.evaluation,
        manifest.seed,
    )
    if rates is not None:
        evaluation = replace(evaluation, base_rates=dict(zip(names, rates.tolist(), strict=True)))
    return Report(
        model=campaign.model,
        training=campaign.training,
        facts=facts_of_history(
            campaign, dataset, prepared.rejects, names, created, {"judged on": later},
            candidate=manifest.version,
            champion="" if champion is None or rival is None else champion.manifest.version,
        ),
        evaluation=evaluation,
    )  # fmt: skip


def _later(dataset: Dataset, bundle: Bundle) -> Part:
    """The examples that the model has seen nothing of."""
    from_ms = bundle.manifest.window.end_ms + dataset.gap_ms
    later = dataset.part(Period(from_ms, np.iinfo(np.int64).max), bundle.normalization)
    if len(later) == 0:
        when = np.datetime64(from_ms, "ms").item()
        raise TrainingError(
            f"expected examples from {when} UTC on, an attribution window after the end of what "
            f"{bundle.manifest.version} was fitted on, got none among {len(dataset)}. Wait for more "
            "history, or read more of it"
        )
    return later
