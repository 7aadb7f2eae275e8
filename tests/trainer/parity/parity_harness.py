"""A small campaign whose worker is a pipeline by hand: its topics are lists that tests may change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from models import network
from models.bundle import Bundle
from models.contract import Normalization
from models.manifest import NetworkConfig
from models.registry import Registry
from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk
from stream.features.plan import FeaturePlan, compile_features
from stream.kafka.records import RecordReader
from stream.pipeline import Deployment, Pipeline
from stream.policy.choice import Policy
from stream.scoring.no_model import NoModel
from stream.scoring.scorer import Scorer
from stream.state.marker import Stretch
from stream.state.table import CustomerTable
from tests.bundles import bundle_of
from trainer.history.topics import Extent
from trainer.parity.bundles import Bundles
from trainer.parity.explain import Holds
from trainer.parity.findings import Findings
from trainer.parity.logged import Scope
from trainer.parity.partition import Subject, compare_partition
from trainer.parity.result import Parity, Where

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
NOW_MS = START_MS + 30 * 24 * HOUR_MS
"""When workers read, unless a test says otherwise."""
TYPES = ("View", "Order")

CAMPAIGN = """
app = "{app}"
topics = {{ events = {events}, decisions = "{app}-decisions", dead_letter = "{app}-dead" }}
decisions = {{ on = {on}, format = "{form}" }}
policy = {{ do_nothing = false }}
model = {{ head = "choice", network = "linear" }}
features = [
  {{ op = "count", events = ["View", "Order"], half_lives = ["1h", "7d"] }},
  {{ op = "sum", events = ["Order"], property = "properties.value", half_lives = ["7d"] }},
  {{ op = "window_count", events = ["Order"], window = "3d", tile = "6h" }},
  {{ op = "share", events = ["View"], property = "properties.kind", half_lives = ["1d"], buckets = 4 }},
  {{ op = "recency", events = ["Order"] }},
  {{ op = "last", events = ["Order"], property = "properties.value" }},
  {more}
]
strategies = [{{ id = "mail" }}, {{ id = "push" }}]
"""

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Record:
    """One record of a topic; its offset is its place in the list."""

    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    timestamp_ms: int = START_MS


def campaign(
    app: str = "shop", events: Sequence[str] = ("events",), on: Sequence[str] = ("*",),
    form: str = "cloudevents", more: str = "",
) -> Campaign:  # fmt: skip
    return parse(text(app, events, on, form, more))


def text(
    app: str, events: Sequence[str], on: Sequence[str] = ("*",), form: str = "cloudevents",
    more: str = "",
) -> str:  # fmt: skip
    return CAMPAIGN.format(
        app=app, events=json.dumps(list(events)), on=json.dumps(list(on)), form=form, more=more
    )


def event(
    customer: str, kind: int, time_ms: int, value: float = 1.0, received_ms: int | None = None
) -> Record:
    message = {
        "type": "track", "event": TYPES[kind], "userId": customer, "timestamp": time_ms,
        "properties": {"value": value, "kind": customer},
    }  # fmt: skip
    return Record(
        customer.encode(),
        json.dumps(message).encode(),
        [],
        time_ms if received_ms is None else received_ms,
    )


def history(n: int, seed: int = 0, customers: int = 12) -> list[Record]:
    """Events of which some are late."""
    rng = np.random.default_rng(seed)
    time_ms = START_MS + np.cumsum(rng.integers(0, HOUR_MS, n)) - rng.integers(0, HOUR_MS, n)
    return [
        event(f"c{rng.integers(customers)}", int(rng.integers(2)), int(time), rng.gamma(2, 20),
              int(time) + 5_000)
        for time in time_ms
    ]  # fmt: skip


def bundle(plan: FeaturePlan, seed: int) -> Bundle:
    """A model with a normalization of its own."""
    rng, n = np.random.default_rng(seed), len(plan.names)
    config = NetworkConfig(network="linear", head="choice", inputs=n, outputs=2)
    model = network.build(config, seed=seed)
    inputs = rng.normal(size=(4, n)).astype(np.float32)
    return bundle_of(
        model, config, plan.contract, ("mail", "push"), inputs, seed=seed,
        normalization=Normalization(rng.normal(size=n), rng.uniform(0.5, 2, n), 4.0),
    )  # fmt: skip


@dataclass
class Worker:
    """A worker of one partition: chunks of event topics in, decisions out."""

    campaign: Campaign
    bundle: Bundle
    partition: int = 0
    decisions: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.plan = compile_features(self.campaign)
        self._pipeline = Pipeline(self.campaign, self.plan)
        self.table = CustomerTable(self.plan.row_words)
        self.load(self.bundle)

    def explore(self) -> None:
        """No model, from the next chunk on."""
        policy = Policy.without_model(self.campaign)
        self._deployment = Deployment(NoModel(self.plan.contract), policy)

    def load(self, model: Bundle) -> None:
        """Another model, from the next chunk on."""
        scorer = Scorer(model)
        self._deployment = Deployment(scorer, Policy(self.campaign, scorer.head, scorer.strategies))

    def take(
        self, records: Sequence[Record], first: int = 0, topic: str = "", now_ms: int = NOW_MS
    ) -> None:
        """Decides about the records from an offset on, in chunks of 7."""
        for at in range(0, len(records), 7):
            chunk = chunk_of(
                topic or self.campaign.topics.events[0], records[at : at + 7], first + at,
                self.partition,
            )  # fmt: skip
            step = self._pipeline.step(
                chunk, self.table, self._deployment, silent_until=0, now_ms=now_ms
            )
            for batch in step.decisions:
                whole = MemoryRecords(bytes(batch.seal(-1, -1, -1)))
                while whole.has_next():
                    for record in whole.next_batch():
                        self.decisions.append(
                            Record(record.key, record.value, list(record.headers))
                        )


def chunk_of(
    topic: str, records: Sequence[Record], first: int = 0, partition: int = 0
) -> RecordChunk:
    """Records as they are fetched; `Record`s of any headers."""
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 30,
    )  # fmt: skip
    for i, record in enumerate(records):
        builder.append(i, record.timestamp_ms, record.key, record.value, record.headers)
    raw = bytearray(builder.build())
    raw[:8] = first.to_bytes(8, "big")
    (chunk,) = RecordReader(topic, partition, bytes(raw), first, 1_000_000)
    return chunk


def chunks(
    topic: str, records: Sequence[Record], first: int = 0, size: int = 11
) -> Iterator[RecordChunk]:
    for at in range(0, len(records), size):
        yield chunk_of(topic, records[at : at + size], first + at)


@dataclass
class Shop:
    """One partition with all that a parity check looks at."""

    campaign: Campaign
    registry: Registry
    events: dict[str, list[Record]]
    decisions: list[Record]
    starts: Mapping[str, int] = field(default_factory=dict)
    """Where topics begin: what was before is removed."""
    caught_up: Sequence[Stretch] = ()

    def check(self, scope: Scope | None = None, *, show_customers: bool = True) -> Parity:
        topics, plan = self.campaign.topics, compile_features(self.campaign)
        records = {topics.decisions: self.decisions, **self.events}
        extents = {
            name: Extent(self.starts.get(name, 0), len(there)) for name, there in records.items()
        }
        left = {
            name: chunks(name, there[extents[name].begin :], extents[name].begin)
            for name, there in records.items()
        }
        findings = Findings(plan.names)
        compare_partition(
            Subject(
                self.campaign,
                plan,
                Bundles(self.registry, plan.contract),
                scope or Scope(),
                show_customers,
            ),
            Holds(
                0,
                extents[topics.decisions],
                [extents[name] for name in topics.events],
                caught_up=self.caught_up,
            ),
            left[topics.decisions],
            [left[name] for name in topics.events],
            findings,
        )
        return findings.report(self.campaign.app, plan.contract.digest, 1.0)

    def change(self, i: int, **changes: Any) -> None:
        """Replaces parts of decision i."""
        self.decisions[i] = replace(self.decisions[i], **changes)

    def edit(self, i: int, edit: Callable[[dict[str, Any]], None]) -> None:
        """Changes the JSON of decision i."""
        message = json.loads(self.decisions[i].value or b"")
        edit(message)
        self.change(i, value=json.dumps(message).encode())

    def flip(self, i: int, feature: int = 3, bit: int = 0) -> None:
        """Flips a bit of the vector of decision i."""
        headers = dict(self.decisions[i].headers)
        vector = np.frombuffer(headers["features"], "<u4").copy()
        vector[feature] ^= np.uint32(1 << bit)
        self.change(i, headers=list({**headers, "features": vector.tobytes()}.items()))

    def vector(self, i: int) -> np.ndarray:
        return np.frombuffer(dict(self.decisions[i].headers)["features"], "<f4")


def open_shop(folder: Path, n: int = 150, **settings: Any) -> Shop:
    """A shop with one event topic, all decided; the model changes in the middle."""
    made = campaign(**settings)
    registry, plan, records = Registry(folder / "registry"), compile_features(made), history(n)
    worker = Worker(made, bundle(plan, 1))
    worker.take(records[: n // 2])
    worker.load(bundle(plan, 2))
    worker.take(records[n // 2 :], n // 2)
    for seed in (1, 2):
        registry.publish(bundle(plan, seed))
    return Shop(made, registry, {"events": records}, worker.decisions)


def causes(parity: Parity) -> dict[str, int]:
    return {finding.cause: finding.count for finding in parity.findings}


def about(shop: Shop, i: int) -> Where:
    data = json.loads(shop.decisions[i].value or b"")["data"]
    place = data["event"]
    return Where(place["topic"], place["partition"], place["offset"], data["external_id"])


def two_topics(tmp_path: Path, on: Sequence[str] = ("*",)) -> tuple[Shop, Worker]:
    made = campaign(events=("views", "orders"), on=on)
    model = bundle(compile_features(made), 1)
    registry = Registry(tmp_path / "registry")
    registry.publish(model)
    worker = Worker(made, model)
    return Shop(made, registry, {"views": [], "orders": []}, worker.decisions), worker
