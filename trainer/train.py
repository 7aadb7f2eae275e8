"""From event topics to a published model. Read this file first.

Chunks of history -> timelines -> examples -> normalized inputs -> network -> bundle -> registry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from models import network
from models.bundle import Bundle, Fit, Golden
from models.contract import Normalization
from models.manifest import DataWindow, NetworkConfig
from models.registry import Registry
from stream.campaign import Campaign
from stream.campaign_types import duration_ms
from stream.columns import Bools, Float64s, Int64s, RecordChunk
from stream.features import FeaturePlan, compile_features
from stream.policy import NOTHING
from stream.scores import Scorer
from trainer.dataset import Dataset, fit_normalization, inputs, join, split
from trainer.errors import TrainingError
from trainer.evaluate import choice_metrics, response_metrics
from trainer.fit import Fitted, OnEpoch, Samples, fit, predict
from trainer.replay import Timelines
from trainer.report import REPORT, Report

_GOLDEN_ROWS = 64
_PENALTIES = {"response": {"l2": 2e-3, "delta_l2": 1e-2}, "choice": {}}
"""Conversions are few and differences between strategies rest on fewer: without these penalties a
response model of the example campaign is at its best after two epochs and worse on later data."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that is ready to be published, and what is known about it.

    Attributes:
        bundle: The model.
        report: The same facts as in the bundle's report.json.
    """

    bundle: Bundle
    report: Report


def train(
    campaign: Campaign,
    chunks: Iterable[RecordChunk],
    *,
    seed: int,
    created: datetime,
    until_ms: int | None = None,
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Trains a model on a history.

    Args:
        campaign: The campaign file.
        chunks: All records of its event topics.
        seed: Of everything random.
        created: When, with a time zone; part of the bundle's version.
        until_ms: Events from this event time on are left out.
        on_epoch: Told of the progress of the fit.

    Raises:
        TrainingError: The history does not hold what the model needs.
    """
    plan = compile_features(campaign)
    timelines = Timelines(campaign, plan, until_ms)
    for chunk in chunks:
        timelines.add(chunk)
    joined = join(campaign, plan, timelines.finish(), seed)
    dataset = _for_head(campaign, joined.dataset)
    gap_ms = duration_ms(campaign.training.attribution_window)
    train_rows, validation_rows = split(dataset, campaign.training.validation_share, gap_ms)
    _expect_both_outcomes(campaign, dataset[train_rows])
    normalization = fit_normalization(plan, dataset.values[train_rows])
    samples = Samples(
        inputs(plan, dataset.values, normalization), dataset.strategy, dataset.outcome
    )
    config = network_config(campaign, plan)
    learn, judge = _take(samples, train_rows), _take(samples, validation_rows)
    fitted = fit(config, campaign.training, learn, judge, seed, on_epoch)
    metrics = _metrics(campaign, fitted, learn, judge)
    report = Report.of(
        campaign, joined, fitted, metrics,
        rejects=timelines.rejects, train_rows=len(learn), validation_rows=len(judge),
    )  # fmt: skip
    bundle = _bundle(
        campaign, plan, normalization, config, fitted, learn,
        Fit(
            created=created,
            window=DataWindow(joined.start_ms, joined.end_ms + 1),
            seed=seed,
            metrics=metrics,
            reports={REPORT: report.encode()},
        ),
    )  # fmt: skip
    return Trained(bundle, report)


def publish(trained: Trained, registry: Registry, *, promote: bool) -> str:
    """Publishes a model, after a check that workers will take it; returns its version."""
    Scorer(trained.bundle).check_golden()
    version = registry.publish(trained.bundle)
    if promote:
        registry.promote(version)
    return version


def outputs(campaign: Campaign) -> tuple[str, ...]:
    """Strategy id of each output of the network.

    A response model says what happens without contact, so that the policy knows the gain; a choice
    is made among the strategies, and the policy compares it with doing nothing.
    """
    ids = tuple(strategy.id for strategy in campaign.strategies)
    return (*ids, NOTHING) if campaign.model.head == "response" else ids


def network_config(campaign: Campaign, plan: FeaturePlan) -> NetworkConfig:
    """The network of a campaign."""
    model = campaign.model
    return NetworkConfig(
        network=model.network,
        head=model.head,
        inputs=len(plan.names),
        outputs=len(outputs(campaign)),
        hidden=model.hidden if model.network == "mlp" else (),
        activation=model.activation,
        **_PENALTIES[model.head],
    )


def _for_head(campaign: Campaign, dataset: Dataset) -> Dataset:
    """A choice is learned from what worked, a response from everything."""
    return dataset if campaign.model.head == "response" else dataset[dataset.outcome]


def _expect_both_outcomes(campaign: Campaign, dataset: Dataset) -> None:
    conversions = int(dataset.outcome.sum())
    enough = conversions > 0 and (
        campaign.model.head == "choice" or conversions < len(dataset.outcome)
    )
    if not enough:
        training = campaign.training
        raise TrainingError(
            f'expected treatments that were followed by "{training.outcome}" within '
            f"{training.attribution_window} and others that were not, got {conversions} of "
            f"{len(dataset)} in the training part. Train on a longer history, or look at "
            "training.outcome and training.attribution_window"
        )


def _take(samples: Samples, rows: Bools) -> Samples:
    return Samples(samples.x[rows], samples.strategy[rows], samples.outcome[rows])


def _metrics(
    campaign: Campaign, fitted: Fitted, learn: Samples, judge: Samples
) -> dict[str, float]:
    """On the rows that judge; of none, nothing is known."""
    if len(judge) == 0:
        return {}
    names = outputs(campaign)
    scores = predict(fitted.model, judge.x)
    used = np.bincount(learn.strategy, minlength=len(names))
    if campaign.model.head == "choice":
        return choice_metrics(scores, judge.strategy, names, used / len(learn))
    rates = _base_rates(learn, used)
    return response_metrics(scores, judge.strategy, judge.outcome, names, rates)


def _base_rates(learn: Samples, used: Int64s) -> Float64s:
    """Mean outcome of each strategy; of one that was never used, of all."""
    positives = np.bincount(learn.strategy, weights=learn.outcome, minlength=len(used))
    return np.where(used > 0, positives / np.maximum(used, 1), learn.outcome.mean())


def _bundle(
    campaign: Campaign,
    plan: FeaturePlan,
    normalization: Normalization,
    config: NetworkConfig,
    fitted: Fitted,
    learn: Samples,
    how: Fit,
) -> Bundle:
    golden = np.ascontiguousarray(learn.x[:: max(len(learn) // _GOLDEN_ROWS, 1)][:_GOLDEN_ROWS])
    return Bundle.create(
        contract=plan.contract,
        normalization=normalization,
        strategies=outputs(campaign),
        network=config,
        weights=network.weights(fitted.model),
        golden=Golden(golden, predict(fitted.model, golden)),
        fit=how,
    )
