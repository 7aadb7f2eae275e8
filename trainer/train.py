"""From history to a model that was judged. Read this file first.

source -> shards -> examples -> train, validation, test -> (search) -> network -> evaluation -> verdict
-> bundle

The parts lie one after the other in time. The network learns from the first; the second decides when
to stop, on thresholds and in the search; the third, which nothing has seen, judges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from models import network
from models.bundle import Bundle, Fit, Golden
from models.manifest import DataWindow
from stream.campaign.file import Campaign
from stream.features.plan import FeaturePlan, compile_features
from stream.policy.decision import NOTHING
from trainer.errors import TrainingError
from trainer.evaluation.baselines import rfm_features
from trainer.evaluation.slices import compile_slices
from trainer.examples.building import OnShard, build
from trainer.examples.dataset import PARTS, Dataset
from trainer.examples.notices import example_notices
from trainer.examples.part import Part
from trainer.fitting.fit import Fitted, OnEpoch, fit, network_config, scores
from trainer.gate.gate import Verdict
from trainer.history.source import Bounds, OnRecords, Source
from trainer.judging import Parts, judge_candidate
from trainer.replay.shards import Shards
from trainer.report.report import HTML, REPORT, Report, facts_of_history, facts_of_training
from trainer.search.found import Found
from trainer.search.search import OnTrial, search

_GOLDEN_ROWS = 64


@dataclass(frozen=True, slots=True)
class Watch:
    """Who wants to know how far a training is; all of it may be None.

    Attributes:
        records: Records read.
        shards: Shards replayed.
        trials: Trials of the search.
        epochs: Epochs of the fit.
        step: Told what begins, in a few words.
    """

    records: OnRecords | None = None
    shards: OnShard | None = None
    trials: OnTrial | None = None
    epochs: OnEpoch | None = None
    step: Callable[[str], None] = field(default=lambda _: None)


SILENT = Watch()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A history as examples.

    Attributes:
        plan: The compiled features.
        dataset: The examples.
        rejects: Records that are no events, by reason code.
    """

    plan: FeaturePlan
    dataset: Dataset
    rejects: dict[str, int]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that is ready to be published.

    Attributes:
        bundle: The model, with its report as JSON and as a page.
        report: The same facts as in the bundle's report.json.
    """

    bundle: Bundle
    report: Report

    @property
    def verdict(self) -> Verdict:
        """What the gate says."""
        assert self.report.verdict is not None, "a training ends with one"
        return self.report.verdict


def outputs(campaign: Campaign) -> tuple[str, ...]:
    """Strategy id of each output of the network.

    A response model says what happens without contact, so that the policy knows the gain; a choice
    is made among the strategies, and the policy compares it with doing nothing.
    """
    ids = tuple(strategy.id for strategy in campaign.strategies)
    return (*ids, NOTHING) if campaign.model.head == "response" else ids


def prepare(
    campaign: Campaign,
    source: Source,
    folder: Path,
    seed: int,
    bounds: Bounds = Bounds(),  # noqa: B008  # frozen
    watch: Watch = SILENT,
) -> Prepared:
    """Reads a history and makes its examples.

    Args:
        campaign: The campaign file.
        source: Where the history comes from, with the same bounds.
        folder: For what does not fit into memory; has to stay as long as the dataset.
        seed: Chooses among the decision points without a contact.
        bounds: Which event times count.
        watch: Told of the progress.

    Raises:
        CampaignError: Features, slices or the recency-frequency-monetary rule contradict themselves.
        TrainingError: The history does not hold what the model needs.
    """
    plan = compile_features(campaign)
    compile_slices(campaign, plan.names)  # a mistake there is told before hours of reading
    rfm_features(campaign, plan)
    shards = Shards(campaign, plan, folder, bounds)
    topics = list(campaign.topics.events)
    if campaign.training.learn_from == "decisions":
        topics.append(campaign.topics.decisions)
    for chunk in source.chunks(topics, watch.records):
        shards.add(chunk)
    dataset = build(campaign, plan, shards, folder, seed, watch.shards)
    return Prepared(plan, dataset, dict(shards.rejects))


def train(
    campaign: Campaign,
    prepared: Prepared,
    *,
    seed: int,
    created: datetime,
    champion: Bundle | None = None,
    searches: bool = False,
    trials_file: Path | None = None,
    watch: Watch = SILENT,
) -> Trained:
    """Fits a model and judges it.

    Args:
        campaign: The campaign file.
        prepared: The examples.
        seed: Of everything random.
        created: When, with a time zone; part of the bundle's version.
        champion: The model in force, to be compared with.
        searches: Whether settings are searched for, or those of the campaign file taken.
        trials_file: Where a search goes on; None begins anew.
        watch: Told of the progress.

    Raises:
        TrainingError: The history does not hold what the model needs.
    """
    plan, dataset, names = prepared.plan, prepared.dataset, outputs(campaign)
    normalization = dataset.fit_normalization()
    parts = Parts(*(dataset.part(which, normalization) for which in PARTS))
    learn, check = parts.learn, parts.check
    _expect_both_outcomes(campaign, learn)
    found = _search(campaign, parts, seed, trials_file, watch) if searches else None
    if found is not None:
        campaign = msgspec.structs.replace(campaign, model=found.model, training=found.training)
    watch.step("fitting")
    config = network_config(campaign.model, campaign.training, len(plan.names), len(names))
    fitted = fit(config, campaign.training, learn, check, seed, watch.epochs)
    untrained = example_notices.untrained(names, learn.strategy, campaign.training.examples_min)
    window = DataWindow(dataset.start_ms, _end_ms(learn, check) + 1)
    bundle = partial(
        Bundle.create, contract=plan.contract, normalization=normalization, strategies=names,
        network=config, weights=network.weights(fitted.model), golden=_golden(fitted, learn),
        untrained=tuple(untrained),
    )  # fmt: skip
    draft = bundle(fit=Fit(created, window, seed))
    watch.step("judging")
    evaluation, verdict = judge_candidate(campaign, plan, parts, draft, champion, seed)
    facts = facts_of_history(
        campaign, dataset, prepared.rejects, names, created,
        {"train": learn, "validation": check, "test": parts.test},
        champion=verdict.champion or "",
        notices=example_notices.never_chosen(campaign, untrained),
    )  # fmt: skip
    report = Report(
        model=campaign.model,
        training=campaign.training,
        facts=facts_of_training(facts, campaign, fitted, found, verdict),
        evaluation=evaluation,
        verdict=verdict,
        search=found,
    )
    metrics = {} if evaluation is None else evaluation.headline()
    reports = {REPORT: report.encode(), HTML: report.html()}
    return Trained(bundle(fit=Fit(created, window, seed, metrics, reports)), report)


def _search(
    campaign: Campaign, parts: Parts, seed: int, trials_file: Path | None, watch: Watch
) -> Found:
    watch.step("searching")
    return search(
        campaign,
        parts.learn,
        parts.check,
        len(outputs(campaign)),
        seed=seed,
        storage=trials_file,
        on_trial=watch.trials,
    )


def _expect_both_outcomes(campaign: Campaign, learn: Part) -> None:
    conversions = int(learn.outcome.sum())
    enough = conversions > 0 and (
        campaign.model.head == "choice" or conversions < len(learn.outcome)
    )
    if not enough:
        training = campaign.training
        raise TrainingError(
            f'expected actions that were followed by "{training.outcome}" within '
            f"{training.attribution_window} and others that were not, got {conversions} of "
            f"{len(learn)} in the training part. Train on a longer history, or look at "
            "training.outcome and training.attribution_window"
        )


def _end_ms(*parts: Part) -> int:
    return max(int(part.time_ms.max()) for part in parts if len(part))


def _golden(fitted: Fitted, learn: Part) -> Golden:
    """A few of the rows that it was fitted on, from all over them."""
    step = max(len(learn) // _GOLDEN_ROWS, 1)
    some = learn.take(np.arange(0, len(learn), step)[:_GOLDEN_ROWS])
    inputs = np.ascontiguousarray(np.concatenate([x for _, x in some.blocks()]))
    return Golden(inputs, scores(fitted.model, inputs))
