"""Records that hold batches, through a worker and back: decided, decided again, compared, learned from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.registry import Registry
from stream.campaign.file import Campaign, parse
from stream.decisions.reader import parse as parse_decision
from stream.events.batches import pieces
from stream.features.plan import compile_features
from tests.trainer.parity.parity_harness import (
    Record,
    Shop,
    Worker,
    bundle,
    causes,
    chunks,
    history,
    text,
)
from trainer.history.source import Bounds
from trainer.parity.result import Where
from trainer.replay.shards import Shards
from trainer.replay.timeline import replay_blocks

BATCHED = '\nevents = { batch = "batch" }\n'
LEARNING = '\ntraining = { treatment = "View", outcome = "Order", strategy_property = "properties.kind" }\n'


def campaign(more: str = "", events: Sequence[str] = ("events",)) -> Campaign:
    return parse(text("shop", events) + more)


def packed(records: Sequence[Record], seed: int = 0) -> list[Record]:
    """The same events in batches of 1 to 9, some alone, some batches empty."""
    rng = np.random.default_rng(seed)
    made: list[Record] = []
    at = 0
    while at < len(records):
        some = records[at : at + int(rng.integers(1, 10))]
        at += len(some)
        if rng.random() < 0.2:
            made += some
            continue
        elements = [json.loads(one.value or b"") for one in some]
        record = {"type": "batch", "sentAt": "2024-01-01T00:00:00Z", "batch": elements}
        made.append(Record(some[0].key, json.dumps(record).encode(), [], some[-1].timestamp_ms))
        if rng.random() < 0.1:
            made.append(Record(b"k", b'{"userId":"c1","batch":[]}', [], some[-1].timestamp_ms))
    return made


def vectors(worker: Worker) -> list[tuple[Any, ...]]:
    """Of each decision all but its place: customer, time of the event, vector, action."""
    found = []
    for record in worker.decisions:
        data = json.loads(record.value or b"")["data"]
        vector = dict(record.headers)["features"]
        found.append((record.key, data["event"]["time"], vector, data["action"]["strategy"]))
    return found


def shop_of(tmp_path: Path, made: Campaign, records: list[Record]) -> tuple[Shop, Worker]:
    model = bundle(compile_features(made), 1)
    registry = Registry(tmp_path / "registry")
    registry.publish(model)
    worker = Worker(made, model)
    worker.take(records)
    return Shop(made, registry, {"events": records}, worker.decisions), worker


def same_times(records: Sequence[Record]) -> list[Record]:
    """No event is later than its record, whichever record that is."""
    return [Record(one.key, one.value, [], one.timestamp_ms + 10**9) for one in records]


def test_events_in_batches_are_decided_like_events_alone(tmp_path: Path) -> None:
    events = same_times(history(200))
    _, alone = shop_of(tmp_path / "alone", campaign(), events)
    for seed in (0, 1):
        _, together = shop_of(tmp_path / f"{seed}", campaign(BATCHED), packed(events, seed))
        assert vectors(together) == vectors(alone)
        assert (together.table.state == alone.table.state)[:, 3:].all()
        parsed = [parse_decision(one.value or b"") for one in together.decisions]
        assert len({one.id for one in parsed if one}) == len(events)
        assert len({one.event_id for one in parsed if one}) == len(events)


def test_a_plain_record_is_decided_byte_for_byte_as_without_batches(tmp_path: Path) -> None:
    events = history(20)
    _, alone = shop_of(tmp_path / "alone", campaign(), events)
    _, among = shop_of(tmp_path / "among", campaign(BATCHED), events)
    assert [one.value for one in among.decisions] == [one.value for one in alone.decisions]


@pytest.mark.parametrize("again_from", [0, 13])
def test_what_is_read_again_counts_for_no_customer_of_a_batch(
    tmp_path: Path, again_from: int
) -> None:
    records = packed(history(150))
    _, worker = shop_of(tmp_path, campaign(BATCHED), records)
    state, decided = worker.table.state.copy(), len(worker.decisions)
    worker.take(records[again_from:], again_from)
    assert len(worker.decisions) == decided
    assert worker.table.state.tobytes() == state.tobytes()


def test_parity_finds_every_element_again(tmp_path: Path) -> None:
    records = packed(same_times(history(150)))
    shop, worker = shop_of(tmp_path, campaign(BATCHED), records)
    parity = shop.check()
    assert (parity.holds, parity.findings) == (True, ())
    assert parity.decisions == parity.equal == parity.events == 150
    # A decision about an element that is not there, a flipped bit, and one published again.
    which = next(i for i, one in enumerate(worker.decisions) if b'"index":2' in (one.value or b""))
    shop.flip(which)
    data = json.loads(worker.decisions[which].value or b"")["data"]
    shop.decisions.append(worker.decisions[which - 1])
    shop.edit(which - 2, lambda one: one["data"]["event"].update(index=77))
    parity = shop.check()
    assert causes(parity)["different"] == 1
    assert causes(parity)["no_event"] == 1
    assert causes(parity)["no_decision"] == 1
    assert parity.repeated == 1
    place = data["event"]
    different = next(one for one in parity.findings if one.cause == "different")
    assert different.first == Where("events", 0, place["offset"], data["external_id"], 2)


def test_the_end_of_the_decisions_may_lie_within_a_batch(tmp_path: Path) -> None:
    shop, _ = shop_of(tmp_path, campaign(BATCHED), packed(same_times(history(150))))
    del shop.decisions[100:]
    parity = shop.check()
    assert (parity.holds, parity.findings) == (True, ())
    assert parity.undecided_yet == 50


def shards_of(made: Campaign, folder: Path, records: Sequence[Record], size: int) -> Shards:
    folder.mkdir(parents=True)
    shards = Shards(made, compile_features(made), folder, Bounds())
    for chunk in chunks("events", records, size=size):
        shards.add(chunk)
    return shards


def learned(shards: Shards, made: Campaign) -> list[tuple[Any, ...]]:
    """Of each shard customers, features after every event, and what was done."""
    plan, found = compile_features(made), list[tuple[Any, ...]]()
    for shard in shards.shards():
        timeline = shards.timeline(shard)
        wanted = np.arange(len(timeline))
        values = np.empty((len(timeline), len(plan.names)))
        for which, block in replay_blocks(plan, timeline, wanted):
            values[which] = block
        who = [timeline.table.key(row) for row in timeline.row.tolist()]
        actions = timeline.actions
        found.append((who, values.tobytes(), actions.event.tolist(), actions.strategy.tolist()))
    return found


def test_training_learns_from_batches_what_it_learns_from_events_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = same_times(history(300))
    alone = learned(
        shards_of(campaign(LEARNING), tmp_path / "alone", events, 11), campaign(LEARNING)
    )
    made = campaign(BATCHED + LEARNING)
    assert sum(len(actions) for _, _, actions, _ in alone) > 100
    for seed, size in ((0, 1), (1, 11), (2, 1000)):
        shards = shards_of(made, tmp_path / str(seed), packed(events, seed), size)
        assert learned(shards, made) == alone
    # A chunk that unfolds to too much is taken in parts.
    monkeypatch.setattr(pieces, "PIECE_EVENTS_MAX", 40)
    shards = shards_of(made, tmp_path / "parts", packed(events, 3), 1000)
    assert learned(shards, made) == alone
    monkeypatch.setattr("trainer.replay.timeline._EVENTS_PER_CALL", 2)
    assert learned(shards, made) == alone
