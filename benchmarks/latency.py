"""How late a decision is: events at a steady pace, and for each the time until its decision.

Latency is the append time of the decision less the append time of its event, both by the broker's
clock: all that the worker and the broker take, and nothing that the producer takes.
"""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import pandas as pd
from confluent_kafka import Producer

from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.reference.contestants import Job, Start
from benchmarks.reference.input import generate
from benchmarks.reference.read import Decisions, Events, Float64s, Form, read_decisions, read_events
from benchmarks.reference.throughput import Made

_TICK_S = 0.001
_FLUSH_S = 30.0
_LINGER_MS = 5
"""The default of Kafka's own producer since 4.0; it comes before the append and is not measured."""


@dataclass(frozen=True)
class Pace:
    """Events at a steady rate.

    Attributes:
        rate: Events a second.
        warm_up_s: What comes before and is not measured, seconds.
        seconds: What is measured.
    """

    rate: int
    warm_up_s: float
    seconds: float

    @property
    def events(self) -> int:
        """Events of the whole, with those of the warm-up."""
        return round(self.rate * (self.warm_up_s + self.seconds))


@dataclass(frozen=True)
class Latency:
    """Latencies in milliseconds of the events after the warm-up.

    Attributes:
        events: Number of measured events.
        missing: Events without a decision, of the whole.
        rate_kept: Events a second that the producer really appended while it was measured.
    """

    events: int
    missing: int
    rate_kept: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


def measure_latency(
    bench: Bench, start: Start, form: Form, pace: Pace, made: Made = generate
) -> Latency:
    """Starts a worker, sends events to it at a pace and reads the times back.

    Args:
        bench: Where.
        start: Starts the worker.
        form: Of its decisions.
        pace: How fast, and for how long.
        made: Makes the input from the number of events and of customers; can be pickled.
    """
    with bench.job() as job:
        with start(job) as worker:
            with bench.steps.step("latency: starting the worker"):
                worker.wait_for_line("begin", bench.cluster.partitions)
            with bench.steps.step(f"latency: {pace.rate:,} events a second", pace.events):
                send_at_pace(job, pace, bench.customers, made)
                decided = partial(bench.cluster.records, job.decisions)
                worker.wait_until("decisions", decided, pace.events)
            worker.stop()
        with bench.steps.step("latency: reading"):
            events = read_events(bench.cluster, job.events)
            decisions = read_decisions(bench.cluster, job.decisions, form)
    return latency_of(events, decisions, pace.warm_up_s)


def latency_of(events: Events, decisions: Decisions, warm_up_s: float) -> Latency:
    """The latency of the events after the warm-up."""
    late_ms = late_by_event(events, decisions)
    measured = events.append_ms >= events.append_ms.min() + 1000 * warm_up_s
    sent_ms = events.append_ms[measured]
    quantiles = np.nanquantile(late_ms[measured], [0.5, 0.9, 0.99, 0.999, 1.0])
    return Latency(
        int(measured.sum()),
        int(np.isnan(late_ms).sum()),
        1000 * len(sent_ms) / max(int(np.ptp(sent_ms)), 1),
        *quantiles.tolist(),
    )


def late_by_event(events: Events, decisions: Decisions) -> Float64s:
    """Milliseconds from each event to its first decision, joined by id; NaN without one."""
    about = pd.Index(events.id).get_indexer(decisions.event)
    decided_ms = np.full(len(events), np.inf)
    np.minimum.at(decided_ms, about[about >= 0], decisions.append_ms[about >= 0].astype(np.float64))
    decided_ms[np.isinf(decided_ms)] = np.nan
    return decided_ms - events.append_ms


def send_at_pace(job: Job, pace: Pace, customers: int, made: Made = generate) -> None:
    """Runs the producer in a process of its own: nothing else takes its interpreter lock."""
    arguments = job.cluster.bootstrap, job.events, pace.events, customers, pace.rate, made
    producer = multiprocessing.get_context("spawn").Process(target=_produce_at_pace, args=arguments)
    producer.start()
    try:
        producer.join()
    finally:
        producer.kill()  # it has ended, unless something else ends this process
    if producer.exitcode != 0:
        raise BenchmarkError(
            f"expected the producer to send {pace.events} events, it ended with exit code "
            f"{producer.exitcode}, see above"
        )


def _produce_at_pace(
    bootstrap: str, topic: str, events: int, customers: int, rate: int, made: Made
) -> None:
    """Appends the events of the reference job, each when it is due."""
    records = made(events, customers).records()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 3,  # not what it tries again by itself
            "enable.idempotence": True,
            "linger.ms": _LINGER_MS,
            "partitioner": "murmur2_random",
        }
    )
    began_s = time.perf_counter()
    sent = 0
    while sent < events:
        due = min(events, int((time.perf_counter() - began_s) * rate))
        for key, value in islice(records, due - sent):
            producer.produce(topic, value, key)
        sent = due
        producer.poll(0)
        time.sleep(_TICK_S)
    producer.flush(_FLUSH_S)
