"""Datasets of small histories, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from models.contract import Normalization
from stream.campaign.file import Campaign
from stream.columns import RecordChunk
from stream.features.normalization import NONE
from stream.features.plan import compile_features
from tests.trainer.shop_history import (
    DAY_MS,
    START_MS,
    Event,
    chunk_of,
    chunks,
    decisions_about,
    shards_of,
)
from trainer.examples.building import build
from trainer.examples.chance import Logged
from trainer.examples.dataset import Dataset
from trainer.examples.part import Part

WINDOW_DAYS = 10


def changed(campaign: Campaign, head: str = "response", **training: Any) -> Campaign:
    return msgspec.structs.replace(
        campaign,
        model=msgspec.structs.replace(campaign.model, head=head),
        training=msgspec.structs.replace(campaign.training, **training),
    )


def built(
    campaign: Campaign, records: Iterable[RecordChunk], folder: str | Path = "/nowhere"
) -> Dataset:
    plan = compile_features(campaign)
    return build(campaign, plan, shards_of(records, campaign, plan, folder), Path(folder), seed=1)


def values_of(data: Dataset) -> np.ndarray:
    return data.values[0 : len(data.values)][data.rows]


def decision_history(
    campaign: Campaign, strategy: list[int], propensity: list[float]
) -> list[RecordChunk]:
    """One order each of some customers, decided about, and a redemption of every second of them."""
    n = len(strategy)
    orders = [Event(0, f"c{i}", START_MS + i * DAY_MS) for i in range(n)]
    redeemed = [Event(2, f"c{i}", START_MS + (i + 1) * DAY_MS) for i in range(0, n, 2)]
    end = Event(2, "end", START_MS + 900 * DAY_MS)
    (topic,) = chunks(orders, size=n)
    published = decisions_about(campaign, topic, range(n), strategy, propensity)
    return [topic, chunk_of("decisions", 0, 0, published), *chunks([*redeemed, end])]


def part_of(
    values: Any, strategy: Any = None, outcome: Any = None, transforms: list[int] | None = None
) -> Part:
    """Examples that are all there is in their values, each of a customer of its own."""
    n, features = values.shape
    return Part(
        values=np.asarray(values, np.float64),
        transforms=np.array(transforms or [NONE] * features),
        normalization=Normalization.identity(features),
        rows=np.arange(n),
        strategy=np.zeros(n, np.int64) if strategy is None else np.asarray(strategy, np.int64),
        outcome=np.zeros(n, np.bool_) if outcome is None else np.asarray(outcome, np.bool_),
        time_ms=np.arange(n),
        customer=np.arange(n),
        weight=np.ones(n),
        logged=Logged.unsaid(n),
    )
