"""Events that a sender sent again: training sees each once, as the worker does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign
from stream.features.plan import compile_features
from tests.trainer.examples.dataset_harness import built, values_of
from tests.trainer.replay.shards_harness import learning_from_decisions
from tests.trainer.shop_history import START_MS, Event, chunk_of, chunks, decisions_about, shards_of
from tests.trainer.shop_history import shop as shop_of
from trainer.examples.dataset import Dataset

EVENTS = [replace(event, identity=f"id-{i}") for i, event in enumerate(shop_of(12, seed=3))]


def dataset_of(events: list[Event], campaign: Campaign, folder: Path) -> Dataset:
    folder.mkdir()
    return built(campaign, chunks(events), folder)


def response(campaign: Campaign, remembered: int = 16) -> Campaign:
    model = msgspec.structs.replace(campaign.model, head="response")
    mapping = msgspec.structs.replace(campaign.events, repeats_remembered=remembered)
    return msgspec.structs.replace(campaign, model=model, events=mapping)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_orders_contacts_and_outcomes_sent_twice_are_learned_from_once(
    campaign: Campaign, tmp_path: Path, kind: int
) -> None:
    twice = [
        event
        for i, event in enumerate(EVENTS)
        for event in [event] * (2 if event.kind == kind and i % 2 else 1)
    ]
    once = dataset_of(EVENTS, response(campaign), tmp_path / "once")
    got = dataset_of(twice, response(campaign), tmp_path / "twice")
    assert len(once) > 20
    for name in ("strategy", "outcome", "time_ms", "customer"):
        np.testing.assert_array_equal(getattr(got, name), getattr(once, name), name)
    np.testing.assert_array_equal(values_of(got), values_of(once))
    assert (once.repeated, got.repeated) == (0, len(twice) - len(EVENTS))
    assert got.counts.actions == once.counts.actions
    assert got.counts.duplicates == (got.repeated if kind == 1 else 0)
    counted = dataset_of(twice, response(campaign, 0), tmp_path / "counted")
    assert counted.repeated == 0
    assert len(counted) > len(once) or not np.array_equal(values_of(counted), values_of(once))


def test_a_decision_about_a_repetition_is_no_example() -> None:
    """A worker that remembered nothing decided it, with features in which the event counted twice."""
    campaign = learning_from_decisions()
    plan = compile_features(campaign)
    orders = [Event(0, "ann", START_MS + i, identity=f"id-{i // 2}") for i in range(4)]
    chunk = chunk_of("orders", 0, 0, [order.json() for order in orders])
    published = decisions_about(campaign, chunk, [0, 1, 2, 3], [0, 1, 0, 1], [0.5] * 4)
    shards = shards_of(
        [chunk, chunk_of(campaign.topics.decisions, 0, 0, published)], campaign, plan
    )
    (timeline,) = (shards.timeline(shard) for shard in shards.shards())
    assert timeline.offset.tolist() == [0, 2]
    assert timeline.actions.event.tolist() == [0, 1]
    assert timeline.actions.strategy.tolist() == [0, 0]
    assert (timeline.repeated, timeline.actions.duplicates) == (2, 2)
