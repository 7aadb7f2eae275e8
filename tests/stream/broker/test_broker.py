"""The embedded broker: a real Kafka that starts, keeps its data, and never outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from stream.broker import BrokerError, EmbeddedKafka
from stream.broker.command import broker
from stream.broker.topic_creation import create_topics as create_missing_topics

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[3]
FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
COMMAND = (sys.executable, "-c", "from stream.broker.command import broker; broker()")


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 8 << 20})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def values_of(consumer: Consumer, count: int) -> list[bytes]:
    deadline_s = time.monotonic() + 20
    values: list[bytes] = []
    while len(values) < count and time.monotonic() < deadline_s:
        for message in consumer.consume(count - len(values), timeout=0.2):
            assert message.error() is None, message.error()
            values.append(message.value() or b"")
    return values


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` records of partition 0."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return values_of(consumer, count)
    finally:
        consumer.close()


def cluster_id(bootstrap: str) -> str | None:
    return AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).cluster_id


def partition_count(bootstrap: str, topic: str) -> int:
    found = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10)
    return len(found.topics[topic].partitions)


# --- It is a Kafka -------------------------------------------------------------------------------


# The storage is formatted without Kafka. Were its feature levels not taken over, the group protocol
# of Kafka 4 ("consumer") would not be there.
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_is_produced_reaches_a_group(
    kafka: Any, topic_name: Callable[[str], str], create_topics: Any, protocol: str
) -> None:
    topic = topic_name("round-trip")
    create_topics({topic: 3})
    sent = [b"%d" % n for n in range(300)]
    produce(kafka.bootstrap, topic, sent)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": topic,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        assert sorted(values_of(consumer, 300)) == sorted(sent)
    finally:
        consumer.close()


def test_its_settings_fit_replayed_history(own_kafka: EmbeddedKafka, create_topics: Any) -> None:
    create_topics({"replay": 1}, bootstrap=own_kafka.bootstrap)
    large = bytes(7 << 20)
    produce(own_kafka.bootstrap, "replay", [large])
    assert read(own_kafka.bootstrap, "replay", 1) == [large]
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap})
    topic = ConfigResource(ConfigResource.Type.TOPIC, "replay")
    assert admin.describe_configs([topic])[topic].result(10)["retention.ms"].value == "-1"
    mistyped = admin.list_topics("mistyped", timeout=10).topics["mistyped"]
    assert mistyped.error is not None
    assert mistyped.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


# --- Its life ------------------------------------------------------------------------------------


def test_a_killed_broker_comes_back_with_its_data(
    own_kafka: EmbeddedKafka, create_topics: Any
) -> None:
    bootstrap, cluster = own_kafka.bootstrap, cluster_id(own_kafka.bootstrap)
    create_topics({"kept": 1}, bootstrap=bootstrap)
    sent = [b"%d" % n for n in range(1000)]
    produce(bootstrap, "kept", sent)
    killed = psutil.Process(own_kafka.pid)

    own_kafka.kill()

    assert not killed.is_running()
    with pytest.raises(BrokerError, match="does not run"):
        _ = own_kafka.pid
    own_kafka.restart()
    assert own_kafka.bootstrap == bootstrap
    assert read(bootstrap, "kept", 1000) == sent
    assert cluster_id(bootstrap) == cluster


def test_data_in_use_is_refused_and_left_alone(
    own_kafka: EmbeddedKafka, create_topics: Any
) -> None:
    create_topics({"mine": 1}, bootstrap=own_kafka.bootstrap)
    second = EmbeddedKafka(own_kafka.data_dir, jvm_flags=FAST_START)
    with pytest.raises(BrokerError, match="in use by another broker"):
        second.start()
    with pytest.raises(BrokerError, match="runs already"):
        own_kafka.start()
    produce(own_kafka.bootstrap, "mine", [b"still here"])
    assert read(own_kafka.bootstrap, "mine", 1) == [b"still here"]


def test_a_broker_that_ends_by_itself_tells_so(own_kafka: EmbeddedKafka) -> None:
    os.kill(own_kafka.pid, signal.SIGKILL)
    with pytest.raises(
        BrokerError, match=r"ended by itself with exit code -9(?s:.*)KafkaRaftServer"
    ):
        own_kafka.wait()


def test_stop_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    odd = tmp_path / "déjà, vu"  # a path that no properties file takes
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    before = set(psutil.Process().children())
    kafka = EmbeddedKafka(jvm_flags=FAST_START)
    kafka.start()
    started = set(psutil.Process().children()) - before
    assert len(started) == 2  # Java and the guard
    assert kafka.data_dir.parent == odd

    kafka.stop()
    kafka.stop()

    assert not any(process.is_running() for process in started)
    assert list(odd.iterdir()) == []


def test_a_broker_dies_with_its_parent() -> None:
    code = (
        "from stream.broker import EmbeddedKafka\n"
        f"kafka = EmbeddedKafka(jvm_flags={FAST_START!r})\n"
        "kafka.start()\n"
        "print(kafka.pid, kafka.data_dir, flush=True)\n"
        "kafka.wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid, data_dir = parent.stdout.readline().split()
        java = psutil.Process(int(pid))
        (guard,) = set(psutil.Process(parent.pid).children()) - {java}
        assert Path(data_dir).exists()
        parent.kill()
        java.wait(timeout=5)
        guard.wait(timeout=5)
    assert not Path(data_dir).exists()


# --- What the operator is told -------------------------------------------------------------------


def test_a_taken_port_is_named() -> None:
    children = psutil.Process().children()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} of 127.0.0.1.*another port"):
            EmbeddedKafka(port=port).start()
    assert psutil.Process().children() == children


def test_a_broker_that_does_not_come_up_shows_its_log(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path, jvm_flags=FAST_START, settings={"num.io.threads": "many"})
    with pytest.raises(BrokerError, match=r"exit code 1(?s:.*)Invalid value many"):
        broker.start()
    unusable = EmbeddedKafka(tmp_path / "broker.log" / "below-a-file")
    with pytest.raises(BrokerError, match="cannot be written"):
        unusable.start()


# --- The command ---------------------------------------------------------------------------------


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs `opportune broker`; yields the process and the first line of its standard output."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={**os.environ, "JAVA_TOOL_OPTIONS": " ".join(FAST_START)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_the_command_prints_its_address_and_stops_on_a_signal(tmp_path: Path) -> None:
    with command("--port", "0", "--data", str(tmp_path), "--topic", "events:4") as (run, address):
        children = psutil.Process(run.pid).children()
        assert partition_count(address, "events") == 4
        run.send_signal(signal.SIGINT)
        rest, hint = run.communicate(timeout=20)
    assert (run.returncode, rest) == (0, "")
    assert "Ctrl-C" in hint
    assert len(children) == 2  # Java and the guard
    assert not any(child.is_running() for child in children)
    assert (tmp_path / "topics" / ".kafka_cleanshutdown").exists()

    with command("--port", "0", "--data", str(tmp_path)) as (run, address):
        assert partition_count(address, "events") == 4
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=20)
    assert run.returncode == 0


def test_topics_are_created_once_and_never_changed(
    kafka: Any, topic_name: Callable[[str], str]
) -> None:
    old, new = topic_name("old"), topic_name("new")
    asyncio.run(create_missing_topics(kafka.bootstrap, {old: 4}))
    asyncio.run(create_missing_topics(kafka.bootstrap, {old: 4, new: 2}))
    assert partition_count(kafka.bootstrap, new) == 2
    with pytest.raises(BrokerError, match=f"Topic {old} has 4 partitions .*, not 5"):
        asyncio.run(create_missing_topics(kafka.bootstrap, {old: 5}))
    with pytest.raises(BrokerError, match=r"Topic .* was not created: InvalidTopic"):
        asyncio.run(create_missing_topics(kafka.bootstrap, {"two words": 1}))


def test_the_command_tells_errors_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, "--port", port], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: The broker cannot listen on port {port}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("topic", ["events", "events:0", "two words:1", ":4"])
def test_a_topic_without_partitions_is_refused(topic: str) -> None:
    result = CliRunner().invoke(broker, ["--topic", topic])
    assert result.exit_code == 2
    assert "events:8" in result.output
