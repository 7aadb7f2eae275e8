"""What the tests share: one Kafka for the session, private ones to kill, topic names, Hypothesis.

`OPPORTUNE_TEST_BOOTSTRAP` names a cluster to use for the session instead of an embedded broker.
"""

from __future__ import annotations

import gc
import os
import random
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import HealthCheck, settings

from stream.broker import EmbeddedKafka
from tests.dealing import dealt

if TYPE_CHECKING:
    from click.testing import Result

    from models.registry import Registry
    from stream.campaign.file import Campaign
    from stream.features.plan import FeaturePlan
    from tests.fork_server import ForkServer
    from tests.stream.worker.faults.fault_harness import Scene
    from tests.stream.worker.faults.fault_worker import Worker
    from tests.trainer.archive.archive_harness import Record
    from tests.trainer.parity.parity_harness import Shop
    from trainer.evaluation.evaluation import Evaluation

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
    from tests.stream.worker.faults.fault_harness import Scene  # not for every test: it loads Keras

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


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Starts processes that have imported everything: one for all tests."""
    from tests.fork_server import ForkServer

    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def start_worker(fork_server: ForkServer) -> Iterator[Callable[..., Worker]]:
    """Starts workers, `start_worker(scene)`, and kills those that are left: see `Worker`."""
    from tests.stream.worker.faults.fault_worker import Worker

    started: list[Worker] = []

    def start(*args: Any, **kwargs: Any) -> Worker:
        started.append(Worker(fork_server, *args, **kwargs))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
        print(worker.story())  # pytest shows it beside a failure


# What several files work on. The imports stand inside: most tests need none of them.


@pytest.fixture(scope="session")
def campaign() -> Campaign:
    """The shop of `tests.trainer.shop_history`."""
    from stream.campaign.file import parse
    from tests.trainer.shop_history import CAMPAIGN

    return parse(CAMPAIGN)


@pytest.fixture(scope="session")
def plan(campaign: Campaign) -> FeaturePlan:
    """Its features."""
    from stream.features.plan import compile_features

    return compile_features(campaign)


@pytest.fixture
def archived(tmp_path: Path) -> tuple[Path, list[Record]]:
    """An archive of four flushes, and its records."""
    from tests.trainer.archive.archive_harness import archive_forty

    return archive_forty(tmp_path / "a")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty one on a local path."""
    from models.registry import Registry

    return Registry(tmp_path / "registry")


@pytest.fixture
def run(registry: Registry) -> Callable[..., Result]:
    """Runs a command on the registry: `run(command, *arguments)`."""
    from tests.trainer.commands.model_commands_harness import invoke

    return partial(invoke, registry)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., float]], None]:
    """Replaces the fit of a trial of a search by a function of its settings."""
    from trainer.search import search

    return lambda fake: monkeypatch.setattr(search, "run", fake)


@pytest.fixture(scope="session")
def judged() -> Evaluation:
    """An evaluation; whoever changes it makes another one."""
    from tests.trainer.report.evaluation_page import evaluation

    return evaluation()


@pytest.fixture(scope="session")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop for parity checks, for all tests."""
    from tests.trainer.parity.parity_harness import open_shop

    return open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def shop(undamaged: Shop) -> Shop:
    """The same one for every test, to be damaged."""
    return replace(undamaged, events=dict(undamaged.events), decisions=list(undamaged.decisions))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The quick tests first, then those that need a broker, then the long ones; see also `dealt`."""
    items.sort(key=lambda item: [marked(item, "slow"), marked(item, "kafka")])
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not marked(item, "slow"))
        items[:] = dealt(items, waits, config.workerinput["workercount"])


def pytest_collection_finish() -> None:
    """No collection of garbage goes through all that was imported: a tenth of the time of kernels."""
    gc.freeze()


def marked(item: pytest.Item, name: str) -> bool:
    """Whether a test bears a mark."""
    return item.get_closest_marker(name) is not None


def waits(item: pytest.Item) -> bool:
    """Whether other processes do most of what a test takes: brokers, workers."""
    names: Collection[str] = getattr(item, "fixturenames", ())
    return marked(item, "kafka") or "fork_server" in names
