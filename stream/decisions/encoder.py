"""Decisions as Kafka records: key, value and headers of the decision topic.

The two forms are written down below as they are published; docs/decisions.md explains them to those
who read the topic, docs/decision.schema.json and docs/flat-decision.schema.json define them. A new form is
one more of them here, its name in `DecisionSpec`, how it is read in `stream.decisions.reader`, its schema
and its golden bytes: CONTRIBUTING.md.

Rules of this file
1. The id comes from source topic, partition, offset, of an element its index in the batch, and policy
   version alone, and from how often the topic was begun anew: a decision that is published again after a
   fault has the id it had before.
2. Of what one model decides about one event, nothing but the wall clock may differ when it is
   published again: `time`, or `decided_at`.
3. A decision expires some time after its event, not after it was made: about an old event, after an
   outage or at a first start, it must not look fresh.
4. No clock here: the caller passes the time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.funnel_sections import has_chance
from stream.campaign.rules_digest import rules_digest
from stream.campaign.words import duration_ms
from stream.columns import Bytes, EventBatch, Int64s, Spans
from stream.contacts.chunk_contacts import has_contact_rules
from stream.decisions.entries import action_texts, drop_texts
from stream.decisions.place_header import (
    EVENT_HEADER,
    RULES_HEADER,
    log_headers,
    log_name,
    write_places,
)
from stream.decisions.slots import Page, Table
from stream.decisions.template import Form, Optional, Slot, Template, Text, json_bytes
from stream.policy.decision import NOTHING, DecisionBatch, Dropped, Reason

EVENT_TYPE = "opportune.decision.v1"
DATA_SCHEMA = "urn:opportune:schema:decision:1#data"
CONTENT_TYPES = {"cloudevents": "application/cloudevents+json", "flat": "application/json"}
FEATURES_HEADER = "features"
"""Header with the feature vector: float32, little-endian, in the order of the feature contract."""

_LATEST_MS = 253_402_300_799_999  # the end of 9999: RFC 3339 has four digits for a year

_Parts = tuple[str | Slot, ...]


# In the place of keys that say that there was none, where chance has a part in the policy.
_CHANCE: Mapping[str, Form] = {
    "explored": Slot("explored"),
    "group": Slot("group"),
    "holdouts": Slot("holdouts"),
    "ghost": Slot("ghost"),
    "probabilities": Slot("probabilities"),
}
# Behind those, where there are rules about contacts.
_CONTACTS: Mapping[str, Form] = {"retry_at": Slot("retry_at"), "not_before": Slot("not_before")}
GROUPS = ("treatment", "holdout")
"""Of a customer who is in no hold-out, and of one who is."""
_NO_CHANCE: Mapping[str, Form] = {"explored": False, "group": GROUPS[0]}


def _cloudevent(campaign: Campaign, topic: str, decision_id: _Parts) -> Form:
    event: dict[str, Form] = {
        "topic": topic,
        "partition": Slot("partition"),
        "offset": Slot("offset"),
    }
    if campaign.events.batch is not None:
        event["index"] = Optional(Slot("index"))
    event["time"] = Slot("event_time")
    return {
        "specversion": "1.0",
        "id": Text(decision_id),
        "source": campaign.decisions.source,
        "type": EVENT_TYPE,
        "subject": Slot("customer"),
        "partitionkey": Slot("customer"),
        "time": Slot("decided"),
        "expirytime": Slot("expires"),
        "causationid": Slot("cause"),
        "datacontenttype": "application/json",
        "dataschema": DATA_SCHEMA,
        "data": {
            "external_id": Slot("customer"),
            "decision": Slot("decision"),
            "action": Slot("action"),
            "score": Slot("score"),
            "expected_value": Slot("expected_value"),
            "probability": Slot("probability"),
            "probability_without": Slot("probability_without"),
            "action_probability": Slot("action_probability"),
            **(_CHANCE if has_chance(campaign) else _NO_CHANCE),
            "reasons": Slot("reasons"),
            "dropped": Slot("dropped"),
            **(_CONTACTS if has_contact_rules(campaign) else {}),
            "event": event,
            "model": Slot("model"),
            "policy": campaign.policy.version,
            "feature_contract": Slot("feature_contract"),
        },
    }


_FLAT: Mapping[str, Form] = {
    "decision_id": Slot("cause"),
    "customer_id": Slot("customer"),
    "event_id": Slot("event_id"),
    "strategy": Slot("strategy"),
    "score": Slot("score"),
    "model": Slot("model"),
    "decided_at": Slot("decided_ms"),
}
_FLAT_CONTACTS: Mapping[str, Form] = {"not_before": Slot("not_before_ms")}
_FLAT_CHANCE: Mapping[str, Form] = {"action_probability": Slot("action_probability"), **_CHANCE}


class DecisionEncoder:
    """Writes the decisions of one campaign about events of one topic; `headers` all records carry."""

    def __init__(self, campaign: Campaign, topic: str) -> None:
        """Compiles the message form that the campaign asks for.

        Raises:
            CampaignError: A property of a strategy cannot be said in JSON.
        """
        form = campaign.decisions.format
        self.headers = [("content-type", CONTENT_TYPES[form].encode())]
        self.headers += [(RULES_HEADER, rules_digest(campaign).encode())]
        self.headers += log_headers(campaign, topic) if form == "flat" else []
        self._expires_after_ms = duration_ms(campaign.decisions.expires_after)
        self._has_batches = campaign.events.batch is not None
        place = (Slot("offset"), Slot("dot_index")) if self._has_batches else (Slot("offset"),)
        event: _Parts = (log_name(campaign, topic), "-", Slot("partition"), "-", *place)
        decision_id: _Parts = (*event, "-", campaign.policy.version)
        self._flat = form == "flat"
        self._chance = has_chance(campaign)
        self._contacts = has_contact_rules(campaign)
        flat = {
            **_FLAT, **(_FLAT_CONTACTS if self._contacts else {}),
            **(_FLAT_CHANCE if self._chance else {}),
        }  # fmt: skip
        self._template = Template.of(
            flat if self._flat else _cloudevent(campaign, topic, decision_id)
        )
        # What stands for the id of an event that has none.
        self._event_without_id = Template.of(Text(decision_id if self._flat else event))
        ids = [strategy.id for strategy in campaign.strategies]
        self._strategy = Table.of([json_bytes(name) for name in (*ids, NOTHING)])
        self._decision = Table.of([b'"act"'] * len(ids) + [b'"nothing"'])
        self._action = Table.of(action_texts(campaign.strategies))
        self._reasons = Table.of([json_bytes([reason.name]) for reason in Reason])
        drops = drop_texts(ids, with_stage=self._chance or self._contacts)
        self._dropped = Table.of(drops, shape=(len(ids), len(Dropped)))
        self._retry_keys = Table.of([json_bytes(name) + b":" for name in ids])
        self._chance_keys = Table.of([json_bytes(name) + b":" for name in (*ids, NOTHING)])
        self._ghost = Table.of([b"null", *(json_bytes(name) for name in (*ids, NOTHING))])
        holdouts = [
            text for spec in campaign.holdouts for text in (b"", json_bytes(spec.id) + b",")
        ]
        self._holdouts = Table.of(holdouts, shape=(-1, 2))

    def keys(self, batch: EventBatch, index: Int64s) -> Spans:
        """Record keys: the customers of the events `index`."""
        return batch.customer.take(index)

    def places(self, batch: EventBatch, index: Int64s) -> list[tuple[str, Bytes]]:
        """Headers of each record's own: in the flat form where the event stands."""
        expires_ms = self._expires_ms(batch.time_ms[index])
        return [(EVENT_HEADER, write_places(batch, index, expires_ms))] if self._flat else []

    def _expires_ms(self, event_ms: Int64s) -> Int64s:
        return np.minimum(event_ms + self._expires_after_ms, _LATEST_MS)

    def encode(
        self,
        batch: EventBatch,
        index: Int64s,
        decisions: DecisionBatch,
        *,
        partition: int,
        model_version: str,
        contract_digest: str,
        decided_ms: int,
    ) -> Spans:
        """Record values.

        Args:
            batch: Events of one partition.
            index: The events that got a decision. Shape (m,).
            decisions: The m decisions about them.
            partition: Source partition.
            model_version: Version of the model bundle.
            contract_digest: Digest of the feature contract.
            decided_ms: The time now, epoch milliseconds.
        """
        assert len(index) == len(decisions), (len(index), len(decisions))
        page = Page(messages=len(index), slots=len(self._template.slots) + 4)
        page.strings("customer", batch.customer.take(index))
        page.strings("event_id", batch.event_id.take(index))
        page.integers("offset", batch.offset[index])
        if self._has_batches:
            element = batch.element[index].astype(np.int64)
            page.suffixes("dot_index", b".", element)
            page.suffixes("index", b',"index":', element)
        page.decimals("score", decisions.score.astype(np.float64))
        constants = {"partition": b"%d" % partition, "model": json_bytes(model_version)}
        self._event_without_id.bind(constants).fill(page, "cause", missing_in="event_id")
        if self._chance:
            self._fill_chance(page, decisions)
        if self._contacts:
            self._fill_contacts(page, decisions)
        if self._flat:
            page.choices("strategy", self._strategy, decisions.strategy)
            constants["decided_ms"] = b"%d" % decided_ms
        else:
            self._fill_cloudevent(page, decisions, batch.time_ms[index])
            constants["feature_contract"] = json_bytes(contract_digest)
            constants["decided"] = _time(decided_ms)
        return self._template.bind(constants).render(page)

    def _fill_cloudevent(self, page: Page, decisions: DecisionBatch, event_ms: Int64s) -> None:
        page.choices("decision", self._decision, decisions.strategy)
        page.choices("action", self._action, decisions.strategy)
        page.choices("reasons", self._reasons, decisions.reason)
        page.lists("dropped", self._dropped, decisions.dropped)
        page.decimals("expected_value", decisions.expected_value)
        page.decimals("probability", decisions.probability.astype(np.float64))
        page.decimals("probability_without", decisions.probability_without.astype(np.float64))
        if not self._chance:
            page.decimals("action_probability", decisions.action_probability)
        page.times("event_time", event_ms)
        page.times("expires", self._expires_ms(event_ms))

    def _fill_contacts(self, page: Page, decisions: DecisionBatch) -> None:
        at_ms = decisions.not_before_ms
        if self._flat:
            page.integers("not_before_ms", at_ms)
            page.omit("not_before_ms", at_ms == 0)
            return
        page.some_times("not_before", at_ms)
        page.retries("retry_at", self._retry_keys, decisions.retry_ms)

    def _fill_chance(self, page: Page, decisions: DecisionBatch) -> None:
        chosen = decisions.chances[np.arange(len(decisions)), decisions.strategy]
        page.fractions("action_probability", chosen)
        page.chances("probabilities", self._chance_keys, decisions.chances)
        page.choices("explored", _TRUTH, decisions.explored.astype(np.int64))
        page.choices("group", _GROUPS, (decisions.held_out != 0).astype(np.int64))
        page.choices("ghost", self._ghost, decisions.ghost + 1)
        bits = np.arange(len(self._holdouts.size))
        held = (decisions.held_out[:, None] >> bits) & 1
        page.lists("holdouts", self._holdouts, held.astype(np.int8))


_TRUTH = Table.of([b"false", b"true"])
_GROUPS = Table.of([json_bytes(name) for name in GROUPS])


def _time(epoch_ms: int) -> bytes:
    page = Page(messages=1, slots=1)
    page.times("time", np.array([epoch_ms]))
    return Template([Slot("time")]).render(page)[0] or b""
