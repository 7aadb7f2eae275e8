"""What a training did, as a file of the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from stream.campaign import Campaign
from stream.policy import NOTHING
from trainer.dataset import Joined

if TYPE_CHECKING:  # reading a report needs no TensorFlow
    from trainer.fit import Fitted

REPORT = "report.json"


class ExampleCount(msgspec.Struct, frozen=True):
    """Examples of one strategy, and how many of them were followed by the outcome."""

    rows: int
    conversions: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a training did, for people and for later comparisons.

    Attributes:
        events: Events of the history.
        rejects: Records that are no events, by reason code.
        customers: Customers of the history.
        history_start: Oldest event time.
        history_end: Newest event time.
        treatments: What became of each treatment in the history.
        examples: Rows and conversions by strategy, all of them.
        train_rows: Rows that the network was fitted on.
        validation_rows: Later rows that stopped the training and gave the metrics.
        epochs: Epochs that the weights have seen.
        losses: Training loss of each epoch.
        validation_losses: Validation loss of each epoch.
        metrics: On the validation rows.
    """

    events: int
    rejects: dict[str, int]
    customers: int
    history_start: datetime
    history_end: datetime
    treatments: dict[str, int]
    examples: dict[str, ExampleCount]
    train_rows: int
    validation_rows: int
    epochs: int
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    metrics: dict[str, float]

    @classmethod
    def of(
        cls,
        campaign: Campaign,
        joined: Joined,
        fitted: Fitted,
        metrics: dict[str, float],
        *,
        rejects: Mapping[str, int],
        train_rows: int,
        validation_rows: int,
    ) -> Report:
        """The report of one training."""
        dataset, counts = joined.dataset, joined.counts
        names = (*(strategy.id for strategy in campaign.strategies), NOTHING)
        return cls(
            events=joined.events,
            rejects=dict(rejects),
            customers=joined.customers,
            history_start=_time(joined.start_ms),
            history_end=_time(joined.end_ms),
            treatments={
                "in_history": counts.treatments,
                "unknown_strategy": counts.unknown_strategy,
                "no_decision_point": counts.no_decision_point,
                "immature": counts.immature,
            },
            examples={
                name: ExampleCount(
                    int((dataset.strategy == k).sum()),
                    int(dataset.outcome[dataset.strategy == k].sum()),
                )
                for k, name in enumerate(names)
            },
            train_rows=train_rows,
            validation_rows=validation_rows,
            epochs=fitted.epochs,
            losses=fitted.losses,
            validation_losses=fitted.validation_losses,
            metrics=metrics,
        )

    @classmethod
    def decode(cls, data: bytes) -> Report:
        """Reads a report that `encode` wrote."""
        return msgspec.json.decode(data, type=cls)

    def encode(self) -> bytes:
        """JSON for people, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def _time(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
