"""From examples of three periods to a model that was judged, wherever the examples come from.

The seam between data and models: `trainer.train` brings examples of events, a table its rows, a
benchmark the customers of a world that it knows. `learn` learns from all of them.

Rules of this file
1. Arrays in, a model and a verdict out: nothing here knows a topic, an archive or a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from models import network
from models.bundle import Bundle, Fit, Golden
from models.manifest import DataWindow
from stream.campaign.file import Campaign
from stream.policy.decision import NOTHING
from trainer.errors import TrainingError
from trainer.evaluation.evaluation import Evaluation
from trainer.examples.building import OnShard
from trainer.examples.inputs import Inputs
from trainer.examples.notices import example_notices
from trainer.examples.part import Part
from trainer.fitting.fit import Fitted, OnEpoch, fit
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import scores
from trainer.gate.gate import Verdict
from trainer.history.source import OnRecords
from trainer.judging import Parts, judge_candidate
from trainer.report.judged_model import FILE, packed
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
class Learned:
    """A model that was fitted and judged.

    Attributes:
        campaign: The campaign, with the settings that a search found.
        fitted: The network.
        draft: It as a bundle, without a report.
        few: What there were too few examples of.
        evaluation: How good it is on the test part; None without one.
        verdict: What the gate says.
        found: What a search found; None without one.
        judged: What the verdict is of, when the draft was fitted anew afterwards; else None.
    """

    campaign: Campaign
    fitted: Fitted
    draft: Bundle
    few: example_notices.Few
    evaluation: Evaluation | None
    verdict: Verdict
    found: Found | None
    judged: Bundle | None = None

    def bundle(self, reports: Mapping[str, bytes]) -> Bundle:
        """The model with its reports and its figures."""
        of, evaluation = self.draft.manifest, self.evaluation
        metrics = {} if evaluation is None else evaluation.headline()
        kept = None if self.judged is None else packed(self.judged)
        files = {**reports, **({} if kept is None else {FILE: kept})}
        return Bundle.create(
            contract=of.contract, normalization=of.normalization.arrays(), strategies=of.strategies,
            network=of.network, weights=self.draft.weights, golden=self.draft.golden,
            fit=Fit(of.created, of.window, of.seed, metrics, files, of.judged_window),
            untrained=of.untrained,
        )  # fmt: skip


def outputs(campaign: Campaign) -> tuple[str, ...]:
    """Strategy id of each output of the network.

    A response model says what happens without contact, so that the policy knows the gain; a choice
    is made among the strategies, and the policy compares it with doing nothing.
    """
    ids = tuple(strategy.id for strategy in campaign.strategies)
    return (*ids, NOTHING) if campaign.model.head == "response" else ids


def learn(
    campaign: Campaign,
    plan: Inputs,
    parts: Parts,
    *,
    start_ms: int,
    seed: int,
    created: datetime,
    champion: Bundle | None = None,
    searches: bool = False,
    trials_file: Path | None = None,
    watch: Watch = SILENT,
) -> Learned:
    """Fits a model on the first part, with the second beside it, and judges it on the third.

    Args:
        campaign: The campaign file.
        plan: What the features of the examples are.
        parts: The examples, with the normalization of the new model.
        start_ms: Where what they come from begins, epoch milliseconds.
        seed: Of everything random.
        created: When, with a time zone; part of the bundle's version.
        champion: The model in force, to be compared with.
        searches: Whether settings are searched for, or those of the campaign file taken.
        trials_file: Where a search goes on; None begins anew.
        watch: Told of the progress.

    Raises:
        TrainingError: The examples do not hold what the model needs.
    """
    examples, check, names = parts.learn, parts.check, outputs(campaign)
    _expect_both_outcomes(campaign, examples)
    found = _search(campaign, parts, seed, trials_file, watch) if searches else None
    if found is not None:
        campaign = msgspec.structs.replace(campaign, model=found.model, training=found.training)
    watch.step("fitting")
    config = network_config(campaign.model, campaign.training, examples.features, len(names))
    fitted = fit(config, campaign.training, examples, check, seed, watch.epochs)
    least, doubts = campaign.training.examples_min, parts.doubts
    few = example_notices.few_of(names, examples, least, doubts.alone)
    parts = replace(parts, doubts=replace(doubts, no_claim=few.no_claim(names)))
    window = DataWindow(start_ms, _end_ms(examples, check) + 1)
    draft = Bundle.create(
        contract=plan.contract, normalization=examples.normalization, strategies=names,
        network=config, weights=network.weights(fitted.model), golden=golden(fitted, examples),
        fit=Fit(created, window, seed), untrained=few.untrained(names),
    )  # fmt: skip
    watch.step("judging")
    evaluation, verdict = judge_candidate(campaign, plan, parts, draft, champion, seed)
    return Learned(campaign, fitted, draft, few, evaluation, verdict, found)


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


def _expect_both_outcomes(campaign: Campaign, examples: Part) -> None:
    conversions = int(examples.outcome.sum())
    enough = conversions > 0 and (
        campaign.model.head == "choice" or conversions < len(examples.outcome)
    )
    if not enough:
        training = campaign.training
        raise TrainingError(
            f'expected actions that were followed by "{training.outcome}" within '
            f"{training.attribution_window} and others that were not, got {conversions} of "
            f"{len(examples)} in the training part. Train on a longer history, or look at "
            "training.outcome and training.attribution_window"
        )


def _end_ms(*parts: Part) -> int:
    return max(int(part.time_ms.max()) for part in parts if len(part))


def golden(fitted: Fitted, examples: Part) -> Golden:
    """A few of the rows that a model was fitted on, from all over them, and what it says of them."""
    step = max(len(examples) // _GOLDEN_ROWS, 1)
    some = examples.take(np.arange(0, len(examples), step)[:_GOLDEN_ROWS])
    inputs = np.ascontiguousarray(np.concatenate([x for _, x in some.blocks()]))
    return Golden(inputs, scores(fitted.model, inputs))
