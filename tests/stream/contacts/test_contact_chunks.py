"""Decisions under rules about contacts do not depend on how events are cut, nor on what comes twice."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.merged_step import steps_merged
from stream.record_order import NOT_SEEN_MS, seen
from stream.state.table import CustomerTable
from tests.stream.contacts.contact_shop import (
    ALL,
    DAILY,
    NOON_MS,
    THREE,
    Shop,
    campaign,
    event,
    history,
    told,
)
from tests.stream.test_merged_step import published


@pytest.mark.parametrize("size", [7, 1])
def test_chunks_cut_anywhere_give_the_same_bytes(size: int) -> None:
    events, of = history(3), campaign(ALL, THREE)
    whole, cut = Shop(of), Shop(of)
    expected = published(whole.step(whole.chunk(events), NOON_MS + 13_000).decisions)
    got = []
    for first in range(0, len(events), size):
        part = cut.chunk(events[first : first + size])
        got += published(cut.step(part, NOON_MS + 13_000).decisions)
    assert got == expected
    assert cut.written() == whole.written()
    said = [json.loads(value)["data"] for _, value, _ in expected]
    codes = {drop["code"] for one in said for drop in one["dropped"]}
    assert codes >= {"CAPPED", "OPEN_DECISION", "ANSWERED"}
    assert any(one["not_before"] for one in said)
    assert any(one["retry_at"] for one in said)


def test_what_is_read_again_after_its_contact_was_written_is_not_decided_again() -> None:
    shop, events = Shop(campaign(ALL, THREE)), history(5, 100)
    chunk = shop.chunk(events)
    acts = [one for one in told(shop.step(chunk, NOON_MS + 5_000)) if one["decision"] == "act"]
    contacted = {one["external_id"]: one["event"]["offset"] for one in acts}
    rows = shop.written()
    shop.table = CustomerTable(shop.pipeline.plan.row_words)  # the features were not written
    again = told(shop.step(chunk, NOON_MS + 5_000))
    assert shop.written() == rows
    assert "act" not in {one["decision"] for one in again}
    assert all(one["event"]["offset"] > contacted.get(one["external_id"], -1) for one in again)


def test_silent_events_count_no_contact() -> None:
    shop = Shop(campaign(DAILY))
    assert shop.contacts is not None
    shop.step(shop.chunk([event("cart", NOON_MS)]), NOON_MS, silent_until=9)
    assert not shop.contacts.has_dirty


def test_topics_are_decided_in_the_order_of_their_events() -> None:
    of = campaign(ALL, THREE, topics='"events", "mails"')
    events = history(7)
    some = Random(8)
    split = [some.choice(of.topics.events) for _ in events]
    one_by_one, window = Shop(of), Shop(of)
    expected: dict[str, list[Any]] = {}
    for topic, one in zip(split, events, strict=True):
        (step,) = (one_by_one.step(one_by_one.chunk([one], topic), NOON_MS + 13_000),)
        for decision in told(step):
            expected.setdefault(decision["external_id"], []).append(decision)
    chunks, seen_ms = [], []
    for topic in of.topics.events:
        mine = [i for i, name in enumerate(split) if name == topic]
        chunks.append(window.chunk([events[i] for i in mine], topic))
        times = np.array([NOON_MS + 40 * i for i in mine], np.int64)
        seen_ms.append(seen(times, NOT_SEEN_MS))
    steps = steps_merged(
        window.pipeline, chunks, seen_ms, window.table, window.deployment, silent_until={},
        now_ms=NOON_MS + 13_000, contacts=window.contacts,
    )  # fmt: skip
    got: dict[str, list[Any]] = {}
    for decision in told(*steps):
        got.setdefault(decision["external_id"], []).append(decision)
    assert got == expected
    assert sorted(map(str, window.written())) == sorted(map(str, one_by_one.written()))
