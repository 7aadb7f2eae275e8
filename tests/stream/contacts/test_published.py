"""Published decisions are ground: who decides about the same events again takes them as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign
from stream.columns import RecordChunk, Spans
from stream.decisions.published import Published, PublishedDecisions
from stream.kafka.records import RecordReader
from stream.merged_step import steps_merged
from stream.pipeline import Step
from tests.stream.contacts.contact_shop import (
    ALL,
    DAILY,
    DAY_MS,
    HOUR_MS,
    NOON_MS,
    THREE,
    TWO,
    Shop,
    campaign,
    event,
    history,
    taken,
    told,
)
from tests.stream.test_merged_step import published

NOTHING = RecordChunk(
    "out", 0, np.zeros(0, np.int64), np.zeros(0, np.int64), Spans.of([]), Spans.of([]), 0
)
FORMS = ("cloudevents", "flat")


def lying(*steps: Step) -> RecordChunk:
    """The decisions of some steps as they lie in the decision topic."""
    data, at = b"", 0
    for batch in (batch for step in steps for batch in step.decisions):
        raw = bytearray(batch.seal(-1, -1, -1))
        raw[:8] = at.to_bytes(8, "big")
        data, at = data + bytes(raw), at + batch.records
    return next(RecordReader("out", 0, data, 0, 1 << 20), NOTHING)


def read_back(of: Campaign, *steps: Step, covered: int = 0) -> Mapping[str, Published]:
    read = PublishedDecisions(of, dict.fromkeys(of.topics.events, covered))
    read.read(lying(*steps))
    assert read.foreign == 0
    return dict(read.found())


def in_form(form: str, of: Campaign) -> Campaign:
    spec = msgspec.structs.replace(of.decisions, format=form)
    return msgspec.structs.replace(of, decisions=spec)


def strategies(step: Step) -> list[str]:
    found = [json.loads(value) for _, value, _ in published(step.decisions)]
    return [one.get("strategy") or one["data"]["action"]["strategy"] for one in found]


def again(shop: Shop, chunk: RecordChunk, now_ms: int, lie: Mapping[str, Published]) -> Step:
    """Another worker decides about a chunk, of which something is published."""
    return shop.pipeline.step(
        chunk, shop.table, shop.deployment, silent_until=0, now_ms=now_ms, contacts=shop.contacts,
        published=lie,
    )  # fmt: skip


CARTS = [event("cart", NOON_MS + i, f"u-{i % 3}") for i in range(9)]
WEEK = '[contacts]\ntime_zone = "UTC"\n[[caps]]\nid = "w"\ncontacts = 2\nwithin = "30m"\n'
CHANGES = {
    "another champion": (campaign(WEEK), campaign(WEEK, TWO.replace("value = 1", "value = 3")), 0),
    "another campaign file": (
        campaign(WEEK),
        campaign(WEEK.replace("contacts = 2", "contacts = 1"), more='policy = { version = "new" }'),
        0,
    ),
    "the end of a window": (campaign(WEEK), campaign(WEEK), HOUR_MS // 2 + 2_000),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_published_before_a_crash_is_neither_decided_again_nor_counted_otherwise(
    change: str, form: str
) -> None:
    before, after, later_ms = CHANGES[change]
    before, after = in_form(form, before), in_form(form, after)
    killed, next_one, unaware = Shop(before), Shop(after), Shop(after)
    durable, chunk = killed.chunk(CARTS[:3]), killed.chunk(CARTS[3:])
    lie = read_back(after, killed.step(durable, NOON_MS + 20))
    for shop in (next_one, unaware):
        assert again(shop, durable, NOON_MS + 20, lie).decided == 0
    step, now_ms = killed.step(chunk, NOON_MS + 30), NOON_MS + 30 + later_ms
    assert again(next_one, chunk, now_ms, read_back(after, step)).decided == 0
    if change != "another campaign file":  # which lays out other rows
        assert next_one.written() == killed.written()
    next_one.next["events"] = len(CARTS)
    late = NOON_MS + HOUR_MS // 2 - 1_000
    (then,) = strategies(next_one.step(next_one.chunk([event("cart", late, "u-0")]), late))
    assert then == "nothing"  # one more contact would be too many
    assert strategies(again(unaware, chunk, now_ms, {})) != strategies(step)


@pytest.mark.parametrize("form", FORMS)
def test_only_what_is_not_there_is_decided(form: str) -> None:
    of = in_form(form, campaign(WEEK))
    killed, next_one = Shop(of), Shop(of)
    whole = killed.chunk(CARTS)
    first = whole.take(np.arange(4))
    lie = read_back(of, killed.step(first, NOON_MS + 20))
    step = again(next_one, whole, NOON_MS + 20, lie)
    killed.step(whole.take(np.arange(4, 9)), NOON_MS + 20)
    assert step.decided == 5
    assert next_one.written() == killed.written()


def test_of_events_that_are_covered_nothing_is_kept() -> None:
    of = campaign(WEEK)
    step = Shop(of).step(Shop(of).chunk(CARTS), NOON_MS + 20)
    (lie,) = read_back(of, step, covered=7).values()
    assert len(lie.place) == 2
    assert read_back(of, step, covered=9) == {}


def test_a_strategy_that_is_gone_counts_wherever_it_may_have() -> None:
    caps = "".join(
        f'[[caps]]\nid = "{scope}"\ncontacts = 1\nwithin = "7d"\nscope = "{scope}"\n'
        for scope in ("strategy", "channel")
    )
    before = campaign(caps, '{ id = "letter", channel = "post" }')
    after = campaign(caps, '{ id = "mail", channel = "email" }, { id = "push", channel = "app" }')
    killed, next_one = Shop(before), Shop(after)
    chunk = killed.chunk([event("cart", NOON_MS)])
    lie = read_back(after, killed.step(chunk, NOON_MS))
    assert again(next_one, chunk, NOON_MS, lie).decided == 0
    next_one.next["events"] = 1
    assert taken(next_one.decide(event("cart", NOON_MS), event("cart", NOON_MS, "u-2"))) == [
        "nothing", "mail",
    ]  # fmt: skip


def test_a_topic_that_was_begun_anew_has_other_offsets() -> None:
    killed = Shop(campaign(WEEK))
    step = killed.step(killed.chunk(CARTS), NOON_MS + 20)
    begun = campaign(WEEK, topics='"events"], anew = [{ topic = "events", epoch = 1, id = "x" }')
    read = PublishedDecisions(begun, {"events": 0})
    read.read(lying(step))
    assert read.foreign == len(CARTS)
    assert not list(read.found())


def test_the_first_of_two_decisions_about_an_event_counts() -> None:
    of = campaign(WEEK)
    shops = [Shop(of), Shop(campaign(WEEK, TWO.replace("value = 1", "value = 3")))]
    steps = [shop.step(shop.chunk(CARTS), NOON_MS + 20) for shop in shops]
    assert taken(told(steps[0])) != taken(told(steps[1]))
    (lie,), (first,) = read_back(of, *steps).values(), read_back(of, steps[0]).values()
    assert (lie.rows == first.rows).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cut", [1, 140, 299])
def test_contacts_after_a_crash_are_those_without_one(seed: int, cut: int) -> None:
    """Quiet hours, hold-outs, chance, engines' events: whatever was published up to a record."""
    of = campaign(ALL, THREE)
    killed, next_one, whole = Shop(of), Shop(of), Shop(of)
    chunk = killed.chunk(history(seed))
    now_ms = NOON_MS + 20_000
    first = killed.step(chunk.take(np.arange(cut)), now_ms)
    second = killed.step(chunk.take(np.arange(cut, 300)), now_ms)
    step = again(next_one, chunk, now_ms, read_back(of, first))
    assert told(step) == told(second)
    assert next_one.written() == killed.written()
    nothing_left = again(whole, chunk, now_ms + DAY_MS, read_back(of, first, second))
    assert nothing_left.decided == 0
    assert whole.written() == killed.written()


def test_a_window_of_several_topics_takes_over_what_is_there() -> None:
    of = campaign(DAILY, topics='"events", "mails"')
    killed, next_one = Shop(of), Shop(of)
    parts = [killed.chunk(CARTS, topic) for topic in of.topics.events]
    seen = [chunk.timestamp_ms for chunk in parts]

    def window(shop: Shop, now_ms: int, lie: Mapping[str, Published]) -> list[Step]:
        return steps_merged(
            shop.pipeline, parts, seen, shop.table, shop.deployment, silent_until={}, now_ms=now_ms,
            contacts=shop.contacts, published=lie,
        )  # fmt: skip

    steps = window(killed, NOON_MS + 20, {})
    assert sum(step.decided for step in steps) == 18
    lie = read_back(of, *steps)
    assert sum(step.decided for step in window(next_one, NOON_MS + DAY_MS, lie)) == 0
    assert next_one.written() == killed.written()
