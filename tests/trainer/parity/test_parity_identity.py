"""Logins and tombstones: the replay of a parity check has the rows that the worker had."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.registry import Registry
from stream.campaign.file import Campaign
from stream.features.plan import compile_features
from tests.trainer.parity.parity_harness import (
    HOUR_MS,
    START_MS,
    Record,
    Shop,
    Worker,
    bundle,
    campaign,
    causes,
    event,
)
from trainer.parity.logged import Scope


def emptying(made: Campaign) -> Campaign:
    events = msgspec.structs.replace(made.events, login="merge", tombstones="forget")
    return msgspec.structs.replace(made, events=events)


def login(user: str, device: str, time_ms: int) -> Record:
    value = {"type": "identify", "userId": user, "anonymousId": device, "timestamp": time_ms}
    return Record(user.encode(), json.dumps(value).encode(), [], time_ms)


def history(n: int, seed: int) -> list[Record]:
    """Carts of devices, logins of users, and some who are to be forgotten."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        at_ms, user, device = START_MS + i * HOUR_MS, f"u{rng.integers(6)}", f"a{rng.integers(6)}"
        kind = rng.choice(["cart", "order", "login", "tombstone"], p=[0.5, 0.25, 0.2, 0.05])
        if kind == "login":
            out.append(login(user, device, at_ms))
        elif kind == "tombstone":
            out.append(Record(user.encode(), None, [], at_ms))
        else:
            out.append(
                event(device if kind == "cart" else user, int(kind == "order"), at_ms, 1.0 + i)
            )
    return out


def open_shop(folder: Path, topics: Sequence[str]) -> tuple[Shop, Worker]:
    made = emptying(campaign(events=topics))
    model = bundle(compile_features(made), 1)
    registry = Registry(folder / "registry")
    registry.publish(model)
    worker = Worker(made, model)
    return Shop(made, registry, {topic: [] for topic in topics}, worker.decisions), worker


def test_what_a_worker_logs_of_logins_and_tombstones_equals_the_replay(tmp_path: Path) -> None:
    shop, worker = open_shop(tmp_path, ["events"])
    records = shop.events["events"] = history(300, 1)
    worker.take(records)
    parity = shop.check()
    assert (causes(parity), parity.equal) == ({}, len(worker.decisions))
    separate = replace(shop, campaign=campaign(events=["events"]))
    assert not separate.check().holds, "without the logins the features are others"


def test_the_order_is_kept_between_topics(tmp_path: Path) -> None:
    shop, worker = open_shop(tmp_path, ["carts", "logins"])
    for record in history(300, 2):
        topic = "logins" if record.key and record.key[:1] == b"u" else "carts"
        shop.events[topic].append(record)
        worker.take([record], len(shop.events[topic]) - 1, topic)
    parity = shop.check()
    assert parity.equal == len(worker.decisions)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_sample_knows_what_was_carried_over_to_its_customers(
    tmp_path: Path, share: float
) -> None:
    shop, worker = open_shop(tmp_path, ["events"])
    records = shop.events["events"] = history(300, 3)
    worker.take(records)
    parity = shop.check(Scope(share))
    assert (causes(parity), parity.equal) == ({}, parity.compared)
    assert 0 < parity.compared < len(worker.decisions)
    assert parity.customers < 12


def test_what_is_missing_of_a_device_is_missing_of_who_has_logged_in(tmp_path: Path) -> None:
    shop, worker = open_shop(tmp_path, ["events"])
    first = event("a1", 0, START_MS)
    records = shop.events["events"] = [
        first,
        login("u1", "a1", START_MS + HOUR_MS),
        event("u1", 1, START_MS + 2 * HOUR_MS),
        event("u2", 1, START_MS + 2 * HOUR_MS),
    ]
    worker.take(records)
    shop.starts = {"events": 1}
    parity = shop.check()
    assert causes(parity) == {"event_removed": 1, "history_cut": 2}
    assert parity.equal == 1


def test_an_id_that_logins_name_alone_is_no_customer(tmp_path: Path) -> None:
    shop, worker = open_shop(tmp_path, ["events"])
    records = shop.events["events"] = [login("u1", f"a{k}", START_MS + k) for k in range(5)]
    worker.take(records)
    assert shop.check().customers == 1
