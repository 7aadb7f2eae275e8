"""From a history in shards to examples that a network can be fitted on and judged by.

Rules of this file
1. Everything that the examples depend on is an argument: history, campaign, seed.
2. Examples come in the order of their shards; parts are cut by time (`trainer.split`).
3. Nothing that is fitted sees more than the training part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from models.contract import Normalization
from stream.campaign import Campaign
from stream.campaign_training import TrainingSpec
from stream.campaign_types import duration_ms
from stream.columns import Bools, Float64s, Int64s
from stream.features import FeaturePlan
from trainer import normalization as moments
from trainer.errors import TrainingError
from trainer.examples import ValuesWriter
from trainer.labels import Examples, History, JoinCounts, decided, treated, untreated
from trainer.part import Part, Values
from trainer.replay import Timeline, replay_blocks
from trainer.shards import Shards
from trainer.split import Split, split
from trainer.weights import expect_propensities, inverse_propensity

PartName = Literal["train", "validation", "test"]
PARTS: tuple[PartName, ...] = ("train", "validation", "test")
OnShard = Callable[[int, int], None]
"""Called with the number of shards that are done and of those there are in all."""


@dataclass(frozen=True, slots=True)
class Period:
    """Examples with since_ms <= time < until_ms, epoch milliseconds."""

    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """n examples, and how they came about.

    Attributes:
        training: How they are split and weighted.
        transforms: Transform of each feature, as `stream.normalization` reads them. Shape (F,).
        values: The features, float64, neither transformed nor normalized.
        rows: Place of each example in `values`, rising. Shape (n,), int64.
        strategy: Index into the campaign's S strategies, S for nothing: the output of the network.
            Shape (n,), int64.
        outcome: Whether a conversion followed. Shape (n,), bool.
        time_ms: When the strategy was used, epoch milliseconds. Shape (n,), int64.
        customer: Number of the customer, from 0 on. Shape (n,), int64.
        propensity: Probability with which the strategy was used, NaN if nobody said.
            Shape (n,), float64.
        counts: What became of actions and decision points.
        events: Events in the history.
        customers: Customers in the history.
        start_ms: Oldest event time.
        end_ms: How far the history goes, as `Shards.end_ms`.
    """

    training: TrainingSpec
    transforms: Int64s
    values: Values
    rows: Int64s
    strategy: Int64s
    outcome: Bools
    time_ms: Int64s
    customer: Int64s
    propensity: Float64s
    counts: JoinCounts
    events: int
    customers: int
    start_ms: int
    end_ms: int

    def __len__(self) -> int:
        return len(self.rows)

    def split(self) -> Split:
        """The examples of each part.

        Raises:
            TrainingError: The history is too short for all parts.
        """
        training = self.training
        gap_ms = duration_ms(training.attribution_window)
        return split(self.time_ms, training.validation_share, training.test_share, gap_ms)

    def fit_normalization(self) -> Normalization:
        """Mean and spread of the features in the training part.

        Raises:
            TrainingError: As `split`.
        """
        return moments.fit_normalization(
            self.part("train", Normalization.identity(len(self.transforms)))
        )

    def part(self, which: PartName | Period, normalization: Normalization) -> Part:
        """The examples of a part or of a period.

        Args:
            which: Name of the part, or a period of examples that were not learned from. Weights are
                1 on average in the training part, or in the period.
            normalization: Makes the features inputs of the network.

        Raises:
            TrainingError: As `split`.
        """
        if isinstance(which, Period):
            rows = (self.time_ms >= which.since_ms) & (self.time_ms < which.until_ms)
            weight = self._weights(rows)
        else:
            parts = self.split()
            rows = getattr(parts, which)
            weight = self._weights(parts.train)
        whole = Part(
            self.values, self.transforms, normalization, self.rows, self.strategy, self.outcome,
            self.time_ms, self.customer, weight,
        )  # fmt: skip
        return whole.take(rows)

    def _weights(self, reference: Bools) -> Float64s:
        """What each example counts; 1 on average among those of the reference."""
        if not self.training.propensity_weights:
            return np.ones(len(self))
        return inverse_propensity(self.propensity, reference)


def build(
    campaign: Campaign,
    plan: FeaturePlan,
    shards: Shards,
    folder: Path,
    seed: int,
    on_shard: OnShard | None = None,
) -> Dataset:
    """Makes the examples of a whole history.

    A choice is learned from what worked: its examples are contacts with the outcome. A response is
    learned from everything.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        shards: The history, all of it.
        folder: For features that do not fit into memory; has to stay as long as the dataset.
        seed: Chooses among the decision points without a contact.
        on_shard: Told of the progress.

    Raises:
        TrainingError: There are no events or no examples, or a propensity is needed and missing.
    """
    if shards.events == 0:
        raise TrainingError(
            f"expected events in {', '.join(campaign.topics.events)}, got none; "
            f"{sum(shards.rejects.values())} records were no events. Let events come in first, or "
            "look at the bounds of the history and at the rejects in the dead-letter topic"
        )
    builder = _Builder(campaign, plan, folder, seed)
    all_shards = shards.shards()
    for done, shard in enumerate(all_shards, start=1):
        builder.add(shards.timeline(shard), shards.end_ms)
        if on_shard is not None:
            on_shard(done, len(all_shards))
    return builder.finish(shards)


class _Builder:
    """Collects the examples of one shard after the other."""

    def __init__(self, campaign: Campaign, plan: FeaturePlan, folder: Path, seed: int) -> None:
        self._campaign = campaign
        self._plan = plan
        self._seed = seed
        self._values = ValuesWriter(
            folder / "features.f64", len(plan.names), campaign.training.memory_mb * 2**20 // 2
        )
        self._counts = JoinCounts()
        self._customers = 0
        self._parts: list[tuple[Examples, Int64s, Int64s]] = []

    def add(self, timeline: Timeline, end_ms: int) -> None:
        """Takes a shard of a history that ends then."""
        examples, counts = _examples(self._campaign, self._plan, timeline, end_ms, self._seed)
        if self._campaign.training.propensity_weights:
            expect_propensities(self._campaign.training, examples.propensity)
        points, slot = np.unique(examples.event, return_inverse=True)
        rows = self._write(timeline, points)[slot]
        order = np.argsort(rows, kind="stable")
        examples, rows = examples.take(order), rows[order]
        customer = self._customers + _numbers(timeline)[examples.event]
        self._parts.append((examples, rows, customer))
        self._counts += counts
        self._customers += timeline.table.rows

    def finish(self, shards: Shards) -> Dataset:
        """The examples of all shards.

        Raises:
            TrainingError: There are none.
        """
        examples = Examples.joined(*(examples for examples, _, _ in self._parts))
        if len(examples) == 0:
            raise TrainingError(_no_examples(self._campaign, self._counts))
        return Dataset(
            training=self._campaign.training,
            transforms=self._plan.transform_codes,
            values=self._values.finish(),
            rows=np.concatenate([rows for _, rows, _ in self._parts]),
            strategy=examples.strategy,
            outcome=examples.outcome,
            time_ms=examples.time_ms,
            customer=np.concatenate([customer for _, _, customer in self._parts]),
            propensity=examples.propensity,
            counts=self._counts,
            events=shards.events,
            customers=self._customers,
            start_ms=shards.start_ms,
            end_ms=shards.end_ms,
        )

    def _write(self, timeline: Timeline, points: Int64s) -> Int64s:
        """Writes the features after some events, each once; returns where they stand."""
        place = np.empty(len(points), np.int64)
        for which, values in replay_blocks(self._plan, timeline, points):
            place[which] = np.arange(len(self._values), len(self._values) + len(values))
            self._values.append(values)
        return place


def _examples(
    campaign: Campaign, plan: FeaturePlan, timeline: Timeline, end_ms: int, seed: int
) -> tuple[Examples, JoinCounts]:
    """Of one shard: every action, and a sample of the decision points without contact."""
    training = campaign.training
    window_ms = duration_ms(training.attribution_window)
    nothing = len(campaign.strategies)
    history = History(
        row=timeline.row,
        time_ms=timeline.time_ms,
        decides=plan.decides[timeline.type_code],
        outcome=timeline.type_code == plan.event_types.index(training.outcome),
    )
    if training.learn_from == "decisions":
        examples, counts = decided(history, timeline.actions, window_ms, end_ms)
    else:
        examples, counts = treated(history, timeline.actions, window_ms, end_ms)
    if campaign.model.head == "choice":
        return examples.take(examples.outcome & (examples.strategy < nothing)), counts
    if training.learn_from == "decisions":
        return examples, counts  # doing nothing was decided as well
    alone = untreated(history, timeline.actions, nothing, window_ms, end_ms)
    size = min(len(alone), round(training.untreated_per_treated * len(examples)))
    random = np.random.default_rng([seed, *timeline.shard])
    chosen = random.choice(len(alone), size, replace=False)
    counts += JoinCounts(untreated=len(alone))
    return Examples.joined(examples, alone.take(chosen)), counts


def _numbers(timeline: Timeline) -> Int64s:
    """Number of the customer of each event, by the order of their last events. Shape (n,), int64.

    The number of a row will not do: it depends on which topic was read first.
    """
    last = np.empty(timeline.table.rows, np.int64)
    last[timeline.row] = np.arange(len(timeline))  # of several the last is kept
    return np.argsort(np.argsort(last))[timeline.row]


def _no_examples(campaign: Campaign, counts: JoinCounts) -> str:
    training = campaign.training
    if training.learn_from == "decisions":
        expected = f"decisions in {campaign.topics.decisions} about events of the history"
        missing = f"{counts.event_missing} about other events"
    else:
        expected = (
            f'"{training.treatment}" events with {training.strategy_property}, after an event that '
            f"asks for a decision ({', '.join(campaign.decisions.on)})"
        )
        missing = f"{counts.no_decision_point} without a decision before"
    outcome = f', with a later "{training.outcome}"' if campaign.model.head == "choice" else ""
    return (
        f"expected {expected}{outcome}, older than {training.attribution_window}, got "
        f"{counts.actions}, of them {counts.unknown_strategy} with a strategy that the campaign "
        f"does not have, {missing}, {counts.immature} too young"
    )
