"""One partition of a made-up shop with rules about contacts, and what it decides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import jsonschema
import numpy as np

from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk, Spans
from stream.contacts.contact_layout import lay_out_contacts
from stream.contacts.contact_records import encode_contact_rows
from stream.contacts.contact_table import ContactTable
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline, Step
from stream.policy.choice import Policy
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
