"""From history to a model that was judged. Read this file first.

source -> shards -> examples -> train, validation, test -> (search) -> network -> evaluation -> verdict
-> bundle

The parts lie one after the other in time. The network learns from the first; the second decides when
to stop, on thresholds and in the search; the third, which nothing has seen, judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from models.bundle import Bundle
from stream.campaign.file import Campaign
from stream.features.plan import compile_features
from stream.scoring.scorer import Scorer
from trainer.earnings import Scores
from trainer.evaluation.baselines import rfm_features
from trainer.evaluation.offpolicy.uplift_found import Uplift
from trainer.evaluation.slices import compile_slices
from trainer.examples.building import build
from trainer.examples.dataset import PARTS, Dataset
from trainer.examples.inputs import Inputs
from trainer.examples.notices import example_notices
from trainer.gate.gate import Verdict
from trainer.history.source import Bounds, Source
from trainer.judging import Parts, scores_of
from trainer.learning import SILENT, Learned, Watch, learn, outputs
from trainer.reactions import uplift_of
from trainer.refitting import refitted
from trainer.replay.shards import Shards
from trainer.report.arms_of import arms_of
from trainer.report.facts import Facts
from trainer.report.report import HTML, REPORT, Report, facts_of_history, facts_of_training


@dataclass(frozen=True, slots=True)
class Prepared:
    """A history as examples.

    Attributes:
        plan: What the features are.
        dataset: The examples.
        rejects: Records that are no events, by reason code.
    """

    plan: Inputs
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
    dataset = prepared.dataset
    normalization = dataset.fit_normalization()
    learned_from, check, test = (dataset.part(which, normalization) for which in PARTS)
    parts = Parts(learned_from, check, test, dataset.doubts)
    learned = learn(
        campaign, prepared.plan, parts, start_ms=dataset.start_ms, seed=seed, created=created,
        champion=champion, searches=searches, trials_file=trials_file, watch=watch,
    )  # fmt: skip
    if learned.campaign.training.refit:
        learned = refitted(learned, dataset.everything(), watch)
    report = _report(learned, prepared, parts, created)
    reports = {REPORT: report.encode(), HTML: report.html()}
    return Trained(learned.bundle(reports), report)


def _report(learned: Learned, prepared: Prepared, parts: Parts, created: datetime) -> Report:
    """What a training on this history did."""
    campaign, verdict = learned.campaign, learned.verdict
    facts = facts_of_history(
        campaign, prepared.dataset, prepared.rejects, outputs(campaign), created,
        {"train": parts.learn, "validation": parts.check, "test": parts.test},
        champion=verdict.champion or "",
        notices=example_notices.never_chosen(campaign, learned.few),
    )  # fmt: skip
    facts = replace(facts, arms=arms_of(prepared.dataset, outputs(campaign)))
    return Report(
        model=campaign.model,
        training=campaign.training,
        facts=_with_refit(
            facts_of_training(facts, campaign, learned.fitted, learned.found, verdict), learned
        ),
        evaluation=learned.evaluation,
        verdict=verdict,
        search=learned.found,
        uplift=_uplift(learned, prepared, parts),
    )


def _uplift(learned: Learned, prepared: Prepared, parts: Parts) -> Uplift | None:
    """Who reacts to what, where the gate can say something of money."""
    if learned.verdict.money is None:
        return None
    judged = learned.judged or learned.draft  # what is fitted anew has learned from the test part
    scorer = Scorer(judged, learned.campaign.model.builder)
    scored = Scores(parts.test, scores_of(scorer, parts.test), judged.manifest.untrained)
    return uplift_of(learned.campaign, prepared.plan, scored)


def _with_refit(facts: Facts, learned: Learned) -> Facts:
    """That what is published has learned from more than what was judged."""
    manifest = learned.draft.manifest
    if manifest.judged_window is None:
        return facts
    until, before = (
        f"{datetime.fromtimestamp(window.end_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        for window in (manifest.window, manifest.judged_window)
    )
    told = (
        f"fitted anew on all examples until {until}, with the settings and the epochs of the model that was "
        f"judged, which had learned of those until {before}: verdict and figures are of that one"
    )
    return replace(facts, settings={**facts.settings, "published": told})
