"""The reference job in Faust as its user guide teaches it: the baseline of the benchmark.

A record class for each kind of message, a table with the state of a customer, one agent that takes
one event at a time, reads the table, writes the table and sends the decision. The settings are the
fastest that were found for this job: they do not handicap it. It runs as

    python -m benchmarks.reference.naive_faust worker --loglevel info --without-web

with the environment that `benchmarks.reference.contestants` gives it. The forward pass is numpy with the
normalization folded into the first layer, which is faster than one call of a network per event.
"""

from __future__ import annotations

import math
import os
import time

import faust
import numpy as np

from benchmarks.reference.input import EVENT_TYPES
from benchmarks.reference.model import Float64s, ReferenceModel

_KINDS = {name: i for i, name in enumerate(EVENT_TYPES)}
_PURCHASE = _KINDS["purchase"]
_RECENCY_MAX_S = 90 * 86_400.0
_DECAY = -np.tile(math.log(2) / np.array([3_600.0, 86_400.0, 604_800.0, 2_592_000.0]), 7)

_model = ReferenceModel.load()
_w1 = _model.w1 / _model.std[:, None]
_b1 = _model.b1 - (_model.mean / _model.std) @ _model.w1
_w2, _b2 = _model.w2, _model.b2


class Properties(faust.Record):
    """The properties of an event."""

    value: float
    category: str
    channel: str
    currency: str


class Event(faust.Record):
    """What a customer did."""

    event_id: str
    customer_id: str
    type: str
    timestamp: int
    properties: Properties
    consent: bool


class Customer(faust.Record):
    """What is kept of a customer: decayed counts and spend, the last time of each type in seconds."""

    counts: list[float] = [0.0] * 24
    spend: list[float] = [0.0] * 4
    last: list[float] = [0.0] * 6
    updated: float = 0.0


class Decision(faust.Record):
    """What the campaign engine is told."""

    decision_id: str
    customer_id: str
    event_id: str
    strategy: str
    score: float
    model: str
    decided_at: int


app = faust.App(
    os.environ["NAIVE_GROUP"],
    broker=f"kafka://{os.environ['NAIVE_BOOTSTRAP']}",
    store="memory://",
    datadir=os.environ["NAIVE_DATA"],
    topic_partitions=int(os.environ["NAIVE_PARTITIONS"]),
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    consumer_max_fetch_size=4 << 20,
    broker_commit_interval=1.0,
    broker_commit_every=1_000_000,  # by time only
    broker_max_poll_records=4096,
    stream_buffer_maxsize=16_384,
    producer_linger=0.1,  # seconds; without it nearly every message travels alone
    producer_max_batch_size=512 << 10,
    producer_acks=-1,
    web_enabled=False,
)
events = app.topic(os.environ["NAIVE_EVENTS"], key_type=str, value_type=Event)
decisions = app.topic(os.environ["NAIVE_DECISIONS"], key_type=str, value_type=Decision)
customers = app.Table("customers", key_type=str, value_type=Customer, default=Customer)


@app.agent(events)
async def decide(stream: faust.StreamT[Event]) -> None:
    """One event, one decision."""
    async for event in stream:
        now_s = event.timestamp / 1000
        customer = add(customers[event.customer_id], event, now_s)
        customers[event.customer_id] = customer
        strategy, score = choose(features(customer, now_s))
        await decisions.send(
            key=event.customer_id,
            value=Decision(
                decision_id=event.event_id,
                customer_id=event.customer_id,
                event_id=event.event_id,
                strategy=f"strategy-{strategy}",
                score=score,
                model="ref-1",
                decided_at=int(time.time() * 1000),
            ),
        )


def add(customer: Customer, event: Event, now_s: float) -> Customer:
    """The customer after the event."""
    totals = np.array([*customer.counts, *customer.spend])
    passed_s = now_s - customer.updated
    if passed_s > 0:
        totals *= np.exp(_DECAY * passed_s)
    kind = _KINDS[event.type]
    totals[4 * kind : 4 * kind + 4] += 1
    if kind == _PURCHASE:
        totals[24:] += event.properties.value
    last = [*customer.last]
    last[kind] = now_s
    numbers = totals.tolist()
    return Customer(
        counts=numbers[:24], spend=numbers[24:], last=last, updated=max(now_s, customer.updated)
    )


def features(customer: Customer, now_s: float) -> Float64s:
    """The 36 features, not normalized."""
    x = np.empty(36)
    np.log1p([*customer.counts, *customer.spend], out=x[:28])
    since_s = now_s - np.array(customer.last)
    np.log1p(np.minimum(since_s, _RECENCY_MAX_S), out=x[28:34])
    turn = 2 * math.pi / 24 * (now_s / 3600 % 24)
    x[34] = math.sin(turn)
    x[35] = math.cos(turn)
    return x


def choose(x: Float64s) -> tuple[int, float]:
    """Number of the best strategy and its share."""
    logits = (np.maximum(x @ _w1 + _b1, 0) @ _w2 + _b2).tolist()
    best = max(logits)
    return logits.index(best), 1 / sum(math.exp(logit - best) for logit in logits)


if __name__ == "__main__":
    app.main()
