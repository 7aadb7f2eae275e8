"""From chunks of history to rows that a network can be fitted on.

Rules of this file
1. Everything that the rows depend on is an argument: history, campaign, seed.
2. Rows are sorted by time, and split by time with a gap of one attribution window, so that no label
   of the training part reaches into the validation part.
3. Normalization is fitted on the training part alone, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.contract import Normalization
from stream.campaign import Campaign
from stream.campaign_types import duration_ms
from stream.columns import Bools, Float32s, Float64s, Int64s
from stream.features import FeaturePlan
from stream.normalization import normalize
from stream.policy import NOTHING
from stream.scalars import category_hash
from trainer.errors import TrainingError
from trainer.labels import Examples, History, JoinCounts, treated, untreated
from trainer.replay import Timeline, replay

UNTREATED_PER_TREATED = 3
"""Examples of doing nothing for each treatment: as many kinds of them as a campaign has strategies.
Their share biases nothing, since a response model predicts outcomes and not strategies."""
CLIP = 8.0
"""Largest absolute z-score: beyond it a value is an error or an oddity, not more information."""
_CONSTANT = 1e-6


@dataclass(frozen=True, slots=True)
class Dataset:
    """n examples, the oldest first.

    Attributes:
        values: Features, neither transformed nor normalized. Shape (n, F), float64.
        strategy: Index into the campaign's S strategies, S for nothing. Shape (n,), int64.
        outcome: Whether a conversion followed. Shape (n,), bool.
        time_ms: When the strategy was used, epoch milliseconds. Shape (n,), int64.
    """

    values: Float64s
    strategy: Int64s
    outcome: Bools
    time_ms: Int64s

    def __len__(self) -> int:
        return len(self.strategy)

    def __getitem__(self, rows: Bools | Int64s) -> Dataset:
        return Dataset(
            self.values[rows], self.strategy[rows], self.outcome[rows], self.time_ms[rows]
        )


@dataclass(frozen=True, slots=True)
class Joined:
    """A dataset and how it came about.

    Attributes:
        dataset: The examples.
        counts: What became of treatments and decision points.
        events: Events in the history.
        customers: Customers in the history.
        start_ms: Oldest event time.
        end_ms: Newest event time.
    """

    dataset: Dataset
    counts: JoinCounts
    events: int
    customers: int
    start_ms: int
    end_ms: int


def join(campaign: Campaign, plan: FeaturePlan, timelines: list[Timeline], seed: int) -> Joined:
    """Makes the examples of a whole history.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        timelines: Every partition.
        seed: Chooses among the decision points without a contact.

    Raises:
        TrainingError: There are no events, or no example of a treatment.
    """
    timelines = [timeline for timeline in timelines if len(timeline)]
    if not timelines:
        raise TrainingError(
            f"expected events in {', '.join(campaign.topics.events)}, got none. Let events come in "
            "first, and look for their rejects in the dead-letter topic"
        )
    end_ms = max(int(timeline.time_ms.max()) for timeline in timelines)
    counts = JoinCounts(0, 0, 0, 0, 0)
    parts = []
    for timeline in timelines:
        random = np.random.default_rng([seed, timeline.partition])
        examples, more = _examples(campaign, plan, timeline, end_ms, random)
        points, slot = np.unique(examples.event, return_inverse=True)
        values = replay(plan, timeline, points)[slot]
        parts.append(Dataset(values, examples.strategy, examples.outcome, examples.time_ms))
        counts += more
    dataset = Dataset(*(
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("values", "strategy", "outcome", "time_ms")
    ))  # fmt: skip
    if len(dataset) == 0:
        raise TrainingError(_no_treatments(campaign, counts))
    order = np.argsort(dataset.time_ms, kind="stable")
    return Joined(
        dataset=dataset[order],
        counts=counts,
        events=sum(len(timeline) for timeline in timelines),
        customers=sum(timeline.table.rows for timeline in timelines),
        start_ms=min(int(timeline.time_ms.min()) for timeline in timelines),
        end_ms=end_ms,
    )


def _examples(
    campaign: Campaign,
    plan: FeaturePlan,
    timeline: Timeline,
    end_ms: int,
    random: np.random.Generator,
) -> tuple[Examples, JoinCounts]:
    """Of one partition: every treatment, and a sample of the decision points without contact."""
    training = campaign.training
    window_ms = duration_ms(training.attribution_window)
    nothing = len(campaign.strategies)
    history = History(
        row=timeline.row,
        time_ms=timeline.time_ms,
        decides=plan.decides[timeline.type_code],
        treatment=timeline.type_code == plan.event_types.index(training.treatment),
        strategy=_strategies(campaign, timeline),
        outcome=timeline.type_code == plan.event_types.index(training.outcome),
    )
    examples, counts = treated(history, window_ms, end_ms)
    if campaign.model.head == "choice":
        return examples, counts  # a choice is made among contacts; the policy compares with nothing
    alone = untreated(history, nothing, window_ms, end_ms)
    size = min(len(alone.event), UNTREATED_PER_TREATED * len(examples.event))
    chosen = random.choice(len(alone.event), size, replace=False)
    counts += JoinCounts(0, 0, 0, 0, len(alone.event))
    return Examples(
        event=np.concatenate([examples.event, alone.event[chosen]]),
        strategy=np.concatenate([examples.strategy, alone.strategy[chosen]]),
        time_ms=np.concatenate([examples.time_ms, alone.time_ms[chosen]]),
        outcome=np.concatenate([examples.outcome, alone.outcome[chosen]]),
    ), counts


def _strategies(campaign: Campaign, timeline: Timeline) -> Int64s:
    """Index of the strategy that each event names, -1 for none that the campaign has."""
    strategy = np.full(len(timeline), -1, np.int64)
    for k, name in enumerate([*(strategy.id for strategy in campaign.strategies), NOTHING]):
        strategy[timeline.strategy == np.uint64(category_hash(name.encode()))] = k
    return strategy


def _no_treatments(campaign: Campaign, counts: JoinCounts) -> str:
    training = campaign.training
    return (
        f'expected "{training.treatment}" events that name a strategy of the campaign in '
        f"{training.strategy_property}, come after an event that asks for a decision "
        f"({', '.join(campaign.decisions.on)}) and are older than {training.attribution_window}, "
        f"got {counts.treatments} such events, of them {counts.unknown_strategy} with another "
        f"strategy, {counts.no_decision_point} without a decision before, {counts.immature} too "
        "young"
    )


def split(dataset: Dataset, validation_share: float, gap_ms: int) -> tuple[Bools, Bools]:
    """Rows to train on and, later in time, rows to validate on.

    Args:
        dataset: Examples, the oldest first.
        validation_share: Share of the rows that validate; 0 trains on all.
        gap_ms: Time left out before the validation rows.

    Raises:
        TrainingError: The history is too short for both parts.
    """
    time_ms = dataset.time_ms
    if validation_share == 0:
        return np.ones(len(time_ms), np.bool_), np.zeros(len(time_ms), np.bool_)
    cut_ms = time_ms[min(int(len(time_ms) * (1 - validation_share)), len(time_ms) - 1)]
    train, validation = time_ms < cut_ms - gap_ms, time_ms >= cut_ms
    if not train.any():
        raise TrainingError(
            f"expected examples more than one attribution window ({gap_ms / 86_400_000:g} days) "
            f"older than the last {validation_share:.0%}, got none in "
            f"{(time_ms[-1] - time_ms[0]) / 86_400_000:.1f} days. Train on a longer history, or "
            "lower training.attribution_window or training.validation_share"
        )
    return train, validation


def fit_normalization(plan: FeaturePlan, values: Float64s) -> Normalization:
    """Mean and standard deviation of the transformed features, missing values left out.

    A feature that never moves keeps its scale: it must not shout when it moves for the first time.

    Args:
        plan: The features.
        values: Rows of the training part. Shape (n, F), float64.
    """
    moved = transformed(plan, values)
    missing = np.isnan(moved)
    known = np.maximum((~missing).sum(axis=0), 1)
    mean = np.where(missing, 0.0, moved).sum(axis=0) / known
    variance = np.where(missing, 0.0, (moved - mean) ** 2).sum(axis=0) / known
    std = np.sqrt(variance)
    return Normalization(mean, np.where(std > _CONSTANT, std, 1.0), CLIP)


def transformed(plan: FeaturePlan, values: Float64s) -> Float64s:
    """Features after their transform, NaN where missing. Shape (n, F), float64."""
    out = values.copy()
    for column, transform in enumerate(plan.transforms):
        with np.errstate(invalid="ignore"):  # log1p of a value below -1 is missing
            if transform == "log1p":
                out[:, column] = np.log1p(values[:, column])
            elif transform == "signlog":
                out[:, column] = np.sign(values[:, column]) * np.log1p(np.abs(values[:, column]))
    return out


def inputs(plan: FeaturePlan, values: Float64s, normalization: Normalization) -> Float32s:
    """What the network eats, computed as the worker computes it. Shape (n, F), float32."""
    out = np.empty(values.shape, np.float32)
    normalize(
        values, np.ones(len(values), np.bool_), plan.transform_codes,
        normalization.mean, normalization.std, normalization.clip, out,
    )  # fmt: skip
    return out
