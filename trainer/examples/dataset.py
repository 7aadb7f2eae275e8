"""Examples that a network can be fitted on and judged by, in parts.

Rules of this file
1. Parts are cut by time (`trainer.examples.split`).
2. Nothing that is fitted sees more than the training part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.contract import Normalization
from stream.campaign.training import TrainingSpec
from stream.campaign.words import duration_ms
from stream.columns import Bools, Float64s, Int64s
from trainer.examples import moments
from trainer.examples.chance import Doubts, Logged
from trainer.examples.controls import Controls
from trainer.examples.labels import JoinCounts
from trainer.examples.part import Part, Values
from trainer.examples.split import Split, split
from trainer.examples.weights import inverse_propensity

PartName = Literal["train", "validation", "test"]
PARTS: tuple[PartName, ...] = ("train", "validation", "test")


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
        transforms: Transform of each feature, as `stream.features.normalization` reads them. Shape (F,).
        values: The features, float64, neither transformed nor normalized.
        rows: Place of each example in `values`, rising. Shape (n,), int64.
        strategy: Index into the campaign's S strategies, S for nothing: the output of the network.
            Shape (n,), int64.
        outcome: Whether a conversion followed. Shape (n,), bool.
        time_ms: When the strategy was used, epoch milliseconds. Shape (n,), int64.
        customer: Number of the customer, from 0 on. Shape (n,), int64.
        logged: What the log says of chance.
        counts: What became of actions and decision points.
        events: Events in the history.
        repeated: Those of them that count for nothing, since other records told of them before.
        customers: Customers in the history.
        start_ms: Oldest event time.
        end_ms: How far the history goes, as `Shards.end_ms`.
        notices: What the history lacks, in sentences.
        timed: As `trainer.examples.part.Part`.
        amount: As there.
        is_table: Whether the examples are the rows of a table, and not those of a stream.
        doubts: What stands in the way of a verdict.
        beside: As in `trainer.examples.labels.Examples`; None where nothing is. Shape (n,), int64.
        controls: Where examples of doing nothing come from.
        sent: Whether an engine said that it has gone out; None where engines say nothing. Shape (n,), bool.
        caveats: What the examples cannot prove, in sentences.
    """

    training: TrainingSpec
    transforms: Int64s
    values: Values
    rows: Int64s
    strategy: Int64s
    outcome: Bools
    time_ms: Int64s
    customer: Int64s
    logged: Logged
    counts: JoinCounts
    events: int
    repeated: int
    customers: int
    start_ms: int
    end_ms: int
    notices: tuple[str, ...]
    timed: bool = True
    amount: Float64s | None = None
    is_table: bool = False
    doubts: Doubts = Doubts()  # noqa: RUF009  # frozen
    beside: Int64s | None = None
    controls: Controls = Controls.LOGGED
    sent: Bools | None = None
    caveats: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def split(self) -> Split:
        """The examples of each part.

        Raises:
            TrainingError: The history is too short for all parts.
        """
        training = self.training
        return split(self.time_ms, training.validation_share, training.test_share, self.gap_ms)

    @property
    def gap_ms(self) -> int:
        """How far apart the parts are, so that no label of one reaches into the next."""
        return duration_ms(self.training.attribution_window) if self.timed else 0

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
            self.time_ms, self.customer, weight, self.logged, self.timed, self.amount,
        )  # fmt: skip
        return whole.take(rows)

    def everything(self) -> Part:
        """All examples, also those between the parts, normalized by their own moments."""
        period = Period(int(self.time_ms.min()), int(self.time_ms.max()) + 1)
        raw = self.part(period, Normalization.identity(len(self.transforms)))
        return raw.normalized_with(moments.fit_normalization(raw))

    def _weights(self, reference: Bools) -> Float64s:
        """What each example counts; 1 on average among those of the reference."""
        if not self.training.propensity_weights:
            return np.ones(len(self))
        return inverse_propensity(self.logged.propensity, reference, self.training.weight_max)
