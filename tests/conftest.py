"""What the tests share: one Kafka for the session, private ones to kill, topic names, Hypothesis.

`OPPORTUNE_TEST_BOOTSTRAP` names a cluster to use for the session instead of an embedded broker.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import HealthCheck, settings

from stream.broker import EmbeddedKafka

if TYPE_CHECKING:
    from tests.fault_harness import Scene
    from tests.fault_worker import Worker

# Numba compiles inside the first example, so neither one example nor its inputs have a deadline.
settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci", settings.get_profile("default"), max_examples=200, derandomize=True, print_blob=True
)
settings.load_profile("ci" if os.environ.get("CI") else "default")

FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Options of Java for brokers that live for seconds: half the work at the start."""


@dataclass(frozen=True)
class KafkaCluster:
    """A running Kafka: the address is all that tests may rely on."""

    bootstrap: str


class CreateTopics(Protocol):
    """See the fixture `create_topics`."""

    def __call__(
        self,
        partitions: Mapping[str, int],
        config: Mapping[str, str] | None = None,
        bootstrap: str | None = None,
    ) -> None: ...


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One Kafka for all tests: theirs to fill, not to stop."""
    if bootstrap := os.environ.get("OPPORTUNE_TEST_BOOTSTRAP"):
        yield KafkaCluster(bootstrap)
        return
    with EmbeddedKafka(jvm_flags=FAST_START) as broker:
        yield KafkaCluster(broker.bootstrap)


@pytest.fixture
def own_kafka() -> Iterator[EmbeddedKafka]:
    """A running broker that belongs to one test, which may kill it."""
    with EmbeddedKafka(jvm_flags=FAST_START) as broker:
        yield broker


@pytest.fixture
def topic_name() -> Callable[[str], str]:
    """Makes topic and group names that no other test uses: `topic_name("events")`."""
    return lambda base: f"{base}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def create_topics(request: pytest.FixtureRequest) -> CreateTopics:
    """Creates topics and returns when they exist: `create_topics({"events": 4}, {"k": "v"})`.

    They are made on the Kafka of the session, or on the one whose `bootstrap` is given.
    """

    def create(
        partitions: Mapping[str, int],
        config: Mapping[str, str] | None = None,
        bootstrap: str | None = None,
    ) -> None:
        address = bootstrap or request.getfixturevalue("kafka").bootstrap
        admin = AdminClient({"bootstrap.servers": address})
        topics = [
            NewTopic(name, num_partitions=count, replication_factor=1, config=dict(config or {}))
            for name, count in partitions.items()
        ]
        for created in admin.create_topics(topics, operation_timeout=20).values():
            created.result(timeout=30)

    return create


class MakeScene(Protocol):
    """See the fixture `make_scene`."""

    def __call__(
        self,
        topics: int = 1,
        partitions: int = 4,
        broker: EmbeddedKafka | None = None,
        **settings: Any,
    ) -> Scene: ...


@pytest.fixture
def seed() -> int:
    """Seed of everything random in a test, printed; `OPPORTUNE_TEST_SEED` repeats one."""
    chosen = int(os.environ.get("OPPORTUNE_TEST_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"OPPORTUNE_TEST_SEED={chosen}")
    return chosen


@pytest.fixture
def make_scene(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    topic_name: Callable[[str], str],
    create_topics: CreateTopics,
    seed: int,
) -> MakeScene:
    """Makes a campaign with event topics of its own and a promoted model: see `Scene`."""
    from tests.fault_harness import Scene  # not for every test: it loads Keras

    def make(
        topics: int = 1, partitions: int = 4, broker: EmbeddedKafka | None = None, **settings: Any
    ) -> Scene:
        cluster = broker or request.getfixturevalue("kafka")
        names = [topic_name("events") for _ in range(topics)]
        create_topics(dict.fromkeys(names, partitions), bootstrap=cluster.bootstrap)
        scene = Scene(cluster.bootstrap, tmp_path, topic_name("app"), names, partitions, settings)
        scene.promote(seed)
        request.addfinalizer(scene.close)
        return scene

    return make


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Starts workers, `start_worker(scene)`, and kills those that are left: see `Worker`."""
    from tests.fault_worker import Worker

    started: list[Worker] = []

    def start(*args: Any, **kwargs: Any) -> Worker:
        started.append(Worker(*args, **kwargs))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        print(worker.story())  # pytest shows it beside a failure


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick tests first, then those that need a broker, then the long ones."""
    items.sort(key=lambda item: [bool(item.get_closest_marker(m)) for m in ("slow", "kafka")])
