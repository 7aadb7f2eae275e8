"""What a fault test works on: a campaign of its own, its model, and what Kafka says about it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from models import network
from models.bundle import Bundle
from models.contract import Normalization
from models.manifest import WEIGHTS, NetworkConfig
from models.registry import Registry
from stream.campaign.file import Campaign, load
from stream.features.plan import compile_features
from tests.bundles import bundle_of

_NOT_YET = (
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)  # fmt: skip
_CAMPAIGN = """
app = "{app}"
topics = {{ events = {topics}, decisions = "{app}-decisions", dead_letter = "{app}-dead" }}
decisions = {{ format = "{form}", expires_after = "2h" }}
policy = {{ version = "p1"{policy} }}
model = {{ head = "response", network = "mlp", hidden = [8], poll_interval_s = 0.2 }}

[worker]
commit_interval_ms = {commit_interval_ms}
chunk_events_max = {chunk_events_max}
revoke_deadline_s = {revoke_deadline_s}
session_timeout_s = 6.0
summary_interval_s = 1.0
stuck_after_s = {stuck_after_s}

[[features]]
op = "count"
events = ["Product Viewed", "Order Completed", "Email Opened"]
half_lives = ["1h", "7d"]

[[features]]
op = "sum"
events = ["Order Completed"]
property = "properties.value"
half_lives = ["7d"]

[[features]]
op = "window_count"
name = "events_3d"
window = "3d"
tile = "6h"

[[features]]
op = "share"
events = ["Product Viewed"]
property = "properties.category"
half_lives = ["1d"]
buckets = 4

[[features]]
op = "recency"
events = ["Order Completed"]

{more}
[[strategies]]
id = "mail"
channel = "email"
value = 10.0
cost = 0.5
eligible = ["events_3d >= 2"]

[[strategies]]
id = "push"
value = 9.5
cost = 0.1
properties = {{ template = "t-1" }}

[[strategies]]
id = "sms"
value = 12.0
cost = 2.0
"""


@dataclass(frozen=True)
class Since:
    """What was there at some moment, as the next offset by topic and partition.

    Attributes:
        decided: Of the event topics.
        published: Of the decision and the dead-letter topic.
    """

    decided: Mapping[tuple[str, int], int] = field(default_factory=dict)
    published: Mapping[tuple[str, int], int] = field(default_factory=dict)


@dataclass
class Scene:
    """A campaign on a broker, with a folder for its file, its registry and the logs of its workers.

    Attributes:
        bootstrap: Address of the broker.
        folder: Where files go.
        app: Name of the app and its consumer group.
        topics: Event topics.
        partitions: Of every topic.
        settings: Values of the campaign that a test changes.
    """

    bootstrap: str
    folder: Path
    app: str
    topics: Sequence[str]
    partitions: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.change()

    @property
    def file(self) -> Path:
        return self.folder / "opportune.toml"

    @property
    def registry(self) -> Registry:
        return Registry(self.folder / "registry")

    @property
    def campaign(self) -> Campaign:
        return load(self.file)

    @property
    def changelog(self) -> str:
        digest = compile_features(self.campaign).layout_digest
        return f"{self.app}-customers-{digest}-changelog"

    def change(self, **settings: Any) -> None:
        """Writes the campaign file, with some values changed."""
        self.settings = {
            "form": "flat", "commit_interval_ms": 137, "chunk_events_max": 700,
            "revoke_deadline_s": 10.0,
            "stuck_after_s": 120.0, "more": "", "policy": "", **self.settings, **settings,
        }  # fmt: skip
        text = _CAMPAIGN.format(app=self.app, topics=json.dumps(list(self.topics)), **self.settings)
        self.file.write_text(text)

    def bundle(self, seed: int) -> Bundle:
        """A model with made-up weights that chooses every strategy now and then."""
        campaign = self.campaign
        plan = compile_features(campaign)
        strategies = (*(strategy.id for strategy in campaign.strategies), "nothing")
        config = NetworkConfig(
            network="mlp", head="response", inputs=len(plan.names), outputs=len(strategies),
            hidden=(8,), activation="relu",
        )  # fmt: skip
        rng = np.random.default_rng(seed)
        model = network.build(config)
        model.set_weights(
            [rng.normal(0, 0.4, variable.shape) for variable in model.trainable_variables]
        )
        inputs = rng.normal(size=(16, len(plan.names))).astype(np.float32)
        n = len(plan.names)
        normalization = Normalization(rng.normal(size=n), rng.uniform(0.5, 2, n), 5.0)
        return bundle_of(
            model, config, plan.contract, strategies, inputs, normalization=normalization, seed=seed
        )

    def promote(self, seed: int) -> str:
        """Publishes a model and makes it the champion."""
        version = self.registry.publish(self.bundle(seed))
        self.registry.promote(version)
        return version

    def point(self, bundle: Bundle, *, damage: bool = False) -> None:
        """Makes a published model the champion, unseen by the checks of the registry."""
        folder, version = self.folder / "registry", bundle.manifest.version
        if damage:
            weights = folder / "versions" / version / WEIGHTS
            weights.write_bytes(weights.read_bytes()[:-1] + b"!")
        (folder / "champion").write_text(f"{version}\n")

    def ends(self, topic: str) -> list[int]:
        """Offset after the last record, by partition."""
        tps = [TopicPartition(topic, p) for p in range(self.partitions)]
        return [self._watcher.get_watermark_offsets(tp, timeout=60)[1] for tp in tps]

    def committed(self) -> dict[tuple[str, int], int]:
        """Committed offset of every event partition, 0 for none."""
        tps = [TopicPartition(t, p) for t in self.topics for p in range(self.partitions)]
        found = self._asked(tps)
        return {(tp.topic, tp.partition): max(0, tp.offset) for tp in found}

    def commit(self, offsets: dict[tuple[str, int], int]) -> None:
        """Commits for the group, which must have no members."""
        tps = [TopicPartition(topic, p, offset) for (topic, p), offset in offsets.items()]
        self._watcher.commit(offsets=tps, asynchronous=False)

    def event_ends(self) -> dict[tuple[str, int], int]:
        """Offset after the last record of every event partition."""
        return {(t, p): end for t in self.topics for p, end in enumerate(self.ends(t))}

    def _asked(self, tps: list[TopicPartition]) -> list[TopicPartition]:
        """Committed offsets; a coordinator that the broker is only just making is asked again."""
        for _ in range(50):
            try:
                return self._watcher.committed(tps, timeout=60)
            except KafkaException as exc:
                if exc.args[0].code() not in _NOT_YET:
                    raise
                time.sleep(0.2)
        return self._watcher.committed(tps, timeout=60)

    def lag(self) -> int:
        """Records that the group has not committed."""
        return sum(self.event_ends().values()) - sum(self.committed().values())

    def since(self) -> Since:
        """Everything that is there now."""
        published = (self.campaign.topics.decisions, self.campaign.topics.dead_letter)
        ends = {(t, p): end for t in published for p, end in enumerate(self.ends(t))}
        return Since(self.event_ends(), ends)

    @cached_property
    def _watcher(self) -> Consumer:
        """Asks about the group of the app, without being a member."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": self.app, "log_level": 0}
        return Consumer({**settings, "enable.auto.commit": False})

    def close(self) -> None:
        """Forgets the broker."""
        self._watcher.close()
