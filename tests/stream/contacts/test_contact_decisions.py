"""Rules about contacts bind decisions: end to end, in one chunk and cut anywhere, of one topic and of two."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import jsonschema
import numpy as np
import pytest

from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk, Spans
from stream.contacts.contact_layout import lay_out_contacts
from stream.contacts.contact_records import encode_contact_rows
from stream.contacts.contact_table import ContactTable
from stream.features.plan import compile_features
from stream.merged_step import steps_merged
from stream.pipeline import Deployment, Pipeline, Step
from stream.policy.choice import Policy
from stream.record_order import NOT_SEEN_MS, seen
from stream.scoring.scorer import Scorer
from stream.state.table import CustomerTable
from tests.stream.consent_harness import Sure
from tests.stream.decisions.test_decision_docs import SCHEMAS
from tests.stream.test_merged_step import published

NOON_MS = 1_780_056_000_000  # Friday, 29 May 2026, 12:00 UTC, 14:00 in Berlin
SECOND_MS, HOUR_MS, DAY_MS = 1_000, 3_600_000, 86_400_000
OPEN = '[contacts]\ntime_zone = "Europe/Berlin"\none_open = true\n'
DAILY = OPEN.replace("one_open = true\n", "") + '[[caps]]\nid = "day"\ncontacts = 1\nper = "day"\n'
TWO = '{ id = "mail", value = 2 }, { id = "push", value = 1 }'


def campaign(
    rules: str, strategies: str = TWO, topics: str = '"events"', more: str = ""
) -> Campaign:
    return parse(f"""
        app = "t"
        topics = {{ events = [{topics}], decisions = "out", dead_letter = "dead" }}
        features = [{{ op = "count", events = ["cart"], half_lives = ["1d"] }}]
        strategies = [{strategies}]
        {more}
        [decisions]
        on = ["cart"]
        {rules}
    """)


def at(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


Event = Mapping[str, Any]


def event(name: str, time_ms: int, user: str = "u-1", **properties: Any) -> Event:
    return {"userId": user, "type": name, "timestamp": at(time_ms), "properties": properties}


class Shop:
    """One partition of a campaign, with its customers and their contacts."""

    def __init__(self, of: Campaign) -> None:
        plan = compile_features(of)
        self.pipeline = Pipeline(of, plan)
        self.table = CustomerTable(plan.row_words)
        layout = lay_out_contacts(of)
        self.contacts = ContactTable(layout) if layout.cells else None
        ids = [strategy.id for strategy in of.strategies]
        scorer = cast(Scorer, cast(Any, Sure(len(plan.names), len(ids))))
        self.deployment = Deployment(scorer, Policy(of, "response", ids))
        self.next = dict.fromkeys(of.topics.events, 0)

    def chunk(self, events: Sequence[Event], topic: str = "events") -> RecordChunk:
        n, first = len(events), self.next[topic]
        self.next[topic] += n
        values = Spans.of([json.dumps(one).encode() for one in events])
        keys = Spans.of([one["userId"].encode() for one in events])
        offset = first + np.arange(n)
        sent = [datetime.fromisoformat(one["timestamp"]).timestamp() for one in events]
        sent_ms = np.round(1000 * np.array(sent)).astype(np.int64)
        return RecordChunk(topic, 0, offset, sent_ms, keys, values, first + n)

    def step(self, chunk: RecordChunk, now_ms: int, silent_until: int = 0) -> Step:
        return self.pipeline.step(
            chunk, self.table, self.deployment, silent_until=silent_until, now_ms=now_ms,
            contacts=self.contacts,
        )  # fmt: skip

    def decide(self, *events: Event, now_ms: int = NOON_MS) -> list[Any]:
        return told(self.step(self.chunk(events), now_ms))

    def written(self) -> list[bytes | None]:
        assert self.contacts is not None
        values = encode_contact_rows(self.contacts, np.arange(self.table.rows))
        return [values[i] for i in range(len(values))]


def told(*steps: Step) -> list[Any]:
    found = [json.loads(value) for step in steps for _, value, _ in published(step.decisions)]
    for one in found:
        jsonschema.Draft202012Validator(SCHEMAS["cloudevents"]).validate(one)
    return [one["data"] for one in found]


def taken(decisions: Sequence[Any]) -> list[str]:
    return [one["action"]["strategy"] for one in decisions]


def test_the_second_event_of_a_customer_in_one_chunk_is_capped() -> None:
    first, second, other = Shop(campaign(DAILY)).decide(
        event("cart", NOON_MS), event("cart", NOON_MS), event("cart", NOON_MS, "u-2")
    )
    assert taken([first, second, other]) == ["mail", "nothing", "mail"]
    assert (first["retry_at"], first["not_before"]) == ({}, None)
    assert second["reasons"] == ["CONTACT_RULES"]
    assert second["dropped"] == [
        {"strategy": name, "code": "CAPPED", "stage": "contacts"} for name in ("mail", "push")
    ]
    midnight = "2026-05-29T22:00:00.000Z"  # in Berlin
    assert second["retry_at"] == {"mail": midnight, "push": midnight}


def test_a_burst_of_five_carts_leaves_one_decision_open() -> None:
    shop = Shop(campaign(OPEN, '{ id = "mail" }'))
    burst = [event("cart", NOON_MS + 120 * i) for i in range(5)]
    decisions = shop.decide(*burst, now_ms=NOON_MS + SECOND_MS)
    assert taken(decisions) == ["mail"] + 4 * ["nothing"]
    assert {one["dropped"][0]["code"] for one in decisions[1:]} == {"OPEN_DECISION"}
    assert {one["retry_at"]["mail"] for one in decisions[1:]} == {at(NOON_MS + HOUR_MS)}
    late = NOON_MS + HOUR_MS
    assert taken(shop.decide(event("cart", late), now_ms=late)) == ["mail"]


@pytest.mark.parametrize(
    ("rules", "strategies", "code", "free_ms"),
    [
        ("", '{ id = "mail", cool_down = "3d" }', "COOL_DOWN", 3 * DAY_MS),
        ('[[caps]]\nid = "w"\ncontacts = 1\nwithin = "7d"', '{ id = "mail" }', "CAPPED", 7 * DAY_MS),
    ],
)  # fmt: skip
def test_retry_at_is_the_first_second_that_passes(
    rules: str, strategies: str, code: str, free_ms: int
) -> None:
    for wait_ms, then in ((free_ms - SECOND_MS, "nothing"), (free_ms, "mail")):
        shop = Shop(campaign(rules, strategies))
        first, again = shop.decide(event("cart", NOON_MS), event("cart", NOON_MS))
        assert taken([first, again]) == ["mail", "nothing"]
        assert again["dropped"][0]["code"] == code
        assert again["retry_at"] == {"mail": at(NOON_MS + free_ms)}
        later = NOON_MS + wait_ms
        assert taken(shop.decide(event("cart", later), now_ms=later)) == [then]


def test_exclusive_strategies_keep_each_other_away() -> None:
    rules = '[[exclusive]]\nid = "x"\nmembers = ["mail", "push"]\nwithin = "30d"\n'
    cooling = '{ id = "mail", value = 2, cool_down = "9d" }, { id = "push" }'
    _, second = Shop(campaign(rules, cooling)).decide(*2 * [event("cart", NOON_MS)])
    assert [one["code"] for one in second["dropped"]] == ["COOL_DOWN", "EXCLUDED"]


def test_what_obeys_no_caps_goes_out_and_what_does_not_count_stops_nobody() -> None:
    service = '{ id = "mail", value = 2, obeys_caps = false }, { id = "push" }'
    assert taken(Shop(campaign(DAILY, service)).decide(*3 * [event("cart", NOON_MS)])) == 3 * [
        "mail"
    ]
    uncounted = '{ id = "mail", value = 2, counts = false, cool_down = "1d" }, { id = "push" }'
    got = Shop(campaign(DAILY, uncounted)).decide(*3 * [event("cart", NOON_MS)])
    assert taken(got) == ["mail", "push", "nothing"]


def test_what_has_expired_counts_nothing() -> None:
    shop = Shop(campaign(DAILY))
    old = [event("cart", NOON_MS)] * 2
    assert taken(shop.decide(*old, now_ms=NOON_MS + HOUR_MS)) == ["mail", "mail"]
    fresh = [event("cart", NOON_MS + 1)] * 2  # of a day without contacts so far
    assert taken(shop.decide(*fresh, now_ms=NOON_MS + HOUR_MS)) == ["mail", "nothing"]


def test_a_decision_sees_what_engines_said_before_it_and_not_after() -> None:
    rules = DAILY.replace("[[caps]]", 'failed = ["bounce"]\n[[caps]]')
    cart, bounce = event("cart", NOON_MS), event("bounce", NOON_MS, strategy="mail")
    shop = Shop(campaign(rules))
    assert taken(shop.decide(cart, cart, bounce, cart, cart)) == [
        "mail", "nothing", "mail", "nothing",
    ]  # fmt: skip
    assert taken(shop.decide(bounce)) == []  # a chunk without decisions is heard, too
    assert taken(shop.decide(cart)) == ["mail"]


QUIET = """[contacts]
time_zone = "Europe/Berlin"
zone_property = "context.timezone"
[quiet_hours]
from = "21:00"
until = "08:00"
"""


def test_what_is_decided_at_night_is_held_until_the_morning() -> None:
    at_night = NOON_MS + 9 * HOUR_MS  # 23:00 in Berlin, 17:00 in New York
    rules = QUIET.replace("[contacts]", 'expires_after = "15h"\n[contacts]')
    away = {**event("cart", at_night, "u-2"), "context": {"timezone": "America/New_York"}}
    got = Shop(campaign(rules)).decide(event("cart", at_night), away, now_ms=at_night)
    assert taken(got) == ["mail", "mail"]
    assert "2026-05-30T06:00" <= got[0]["not_before"] < "2026-05-30T07:00"
    assert got[1]["not_before"] is None


@pytest.mark.parametrize(("mode", "code"), [("hold", "HELD_PAST_EXPIRY"), ("drop", "QUIET_HOURS")])
def test_what_cannot_be_held_is_dropped_and_passes_at_its_retry(mode: str, code: str) -> None:
    at_night = NOON_MS + 9 * HOUR_MS
    of = campaign(QUIET.replace('zone_property = "context.timezone"\n', "") + f'mode = "{mode}"')
    shop = Shop(of)
    assert shop.contacts is None  # nothing has to be remembered
    (got,) = shop.decide(event("cart", at_night), now_ms=at_night)
    assert got["dropped"][0] == {"strategy": "mail", "code": code, "stage": "quiet_hours"}
    retry = datetime.fromisoformat(got["retry_at"]["mail"])
    for early_s, then in ((1, "nothing"), (0, "mail")):
        now_ms = round(retry.timestamp() - early_s) * 1000
        assert taken(shop.decide(event("cart", now_ms), now_ms=now_ms)) == [then]


def test_ghosts_of_customers_who_are_held_out_count() -> None:
    more = '[[holdouts]]\nid = "all"\nshare = 0.5\n'
    shop = Shop(campaign(DAILY + more))
    got = shop.decide(*[event("cart", NOON_MS, f"u-{i % 20}") for i in range(40)])
    groups = {one["external_id"]: one["group"] for one in got}
    assert set(groups.values()) == {"treatment", "holdout"}
    for n, one in enumerate(got):
        would = one["ghost"] if one["group"] == "holdout" else one["action"]["strategy"]
        assert would == ("mail" if n < 20 else "nothing")


ALL = """expires_after = "15h"
[contacts]
time_zone = "Europe/Berlin"
zone_property = "context.timezone"
one_open = true
sent = ["sent"]
failed = ["bounce"]
converted = ["order"]
complained = ["complaint"]
[[caps]]
id = "two"
contacts = 2
within = "12h"
[[caps]]
id = "day"
contacts = 1
per = "day"
scope = "strategy"
[quiet_hours]
from = "13:00"
until = "15:00"
[exploration]
method = "epsilon"
epsilon = 0.3
[[holdouts]]
id = "some"
share = 0.3
"""


def history(seed: int, n: int = 300) -> list[Event]:
    some, found = Random(seed), []
    names = ("cart", "cart", "cart", "sent", "bounce", "order", "complaint")
    for i in range(n):
        strategy = some.choice(("mail", "push", "other"))
        one = event(
            some.choice(names), NOON_MS + 40 * i, f"u-{some.randrange(6)}", strategy=strategy
        )
        zone = some.choice(("", "", "Asia/Tokyo", "America/New_York", "nowhere"))
        found.append({**one, "context": {"timezone": zone}} if zone else one)
    return found


THREE = (
    '{ id = "mail", value = 2, cool_down_complained = "2d" }, { id = "push", obeys_quiet_hours = false }, '
    '{ id = "letter", cool_down = "1d" }'
)


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
    shop.step(chunk, NOON_MS + 5_000)
    rows = shop.written()
    shop.table = CustomerTable(shop.pipeline.plan.row_words)  # the features were not written
    again = told(shop.step(chunk, NOON_MS + 5_000))
    assert shop.written() == rows
    assert "act" not in {one["decision"] for one in again}


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
