"""`opportune parity`, most of it on a broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from models.registry import Registry
from stream.features.plan import compile_features
from tests.conftest import CreateTopics, KafkaCluster
from tests.kafka_client import remove_before
from tests.trainer.parity.parity_harness import Record, Shop, Worker, bundle, causes, history, text
from trainer.commands.looking.parity import parity as command
from trainer.errors import TrainingError
from trainer.parity.partition_reader import open_topics
from trainer.parity.result import Parity


@pytest.fixture
def campaign_file(
    tmp_path: Path, topic_name: Callable[[str], str], create_topics: CreateTopics
) -> Path:
    app = topic_name("app")
    create_topics({f"{app}-events": 2, f"{app}-decisions": 2, f"{app}-dead": 2})
    file = tmp_path / "opportune.toml"
    file.write_text(text(app, [f"{app}-events"]))
    return file


def run_command(file: Path, kafka: KafkaCluster, *more: str) -> tuple[Result, Parity]:
    report = file.parent / "parity.json"
    report.unlink(missing_ok=True)
    result = CliRunner().invoke(command, [
        str(file), "--bootstrap", kafka.bootstrap, "--registry", str(file.parent / "registry"),
        "--json", str(report), *more,
    ], env={"COLUMNS": "200"})  # fmt: skip
    assert report.exists(), repr(result.exception and result.exception.__cause__)
    return result, msgspec.json.decode(report.read_bytes(), type=Parity)


def produce(kafka: KafkaCluster, topic: str, partition: int, records: list[Record]) -> None:
    producer = Producer({
        "bootstrap.servers": kafka.bootstrap, "compression.type": "lz4", "log_level": 0,
        "enable.idempotence": True,
    })  # fmt: skip
    for record in records:
        producer.produce(
            topic, record.value, record.key, partition, timestamp=record.timestamp_ms,
            headers=[*record.headers],
        )  # fmt: skip
    assert producer.flush(30) == 0


@pytest.mark.kafka
def test_the_command_says_whether_serving_is_the_replay(
    kafka: KafkaCluster, campaign_file: Path
) -> None:
    from stream.campaign.file import load

    loaded = load(campaign_file)
    model = bundle(compile_features(loaded), 1)
    Registry(campaign_file.parent / "registry").publish(model)
    result, found = run_command(campaign_file, kafka)
    assert (result.exit_code, found.compared) == (3, 0)
    (events,), decisions = loaded.topics.events, loaded.topics.decisions
    workers = []
    for partition in range(2):
        records = history(200, seed=partition)
        worker = Worker(loaded, model, partition)
        worker.take(records)
        produce(kafka, events, partition, records)
        produce(kafka, decisions, partition, worker.decisions)
        workers.append(worker)
    result, found = run_command(campaign_file, kafka)
    assert (result.exit_code, found.compared, found.equal) == (0, 400, 400)
    assert "400 bit-equal (100 %)" in result.stdout
    assert "400 vectors of 24 customers say something" in result.stdout
    assert "Serving and replay are the same." in result.stdout
    # Of the histories both have the customers c0 to c11: their events meet in no partition.
    assert (found.customers, found.customers_in_several_partitions) == (12, 12)
    assert "warning: At least 12 customers of 12 are in two partitions or more" in result.stdout

    sampled, found = run_command(campaign_file, kafka, "--customers-share", "0.5")
    assert sampled.exit_code == 0
    assert 0 < found.compared == found.equal < 400

    damaged = Shop(loaded, Registry(""), {}, [workers[1].decisions[150]])
    damaged.flip(0)
    produce(kafka, decisions, 1, damaged.decisions)
    result, found = run_command(campaign_file, kafka)
    assert result.exit_code == 1
    assert causes(found) == {"different": 1, "repeat_differs": 1}
    assert f"{events}/1@150 " in result.stdout
    assert f"{events}/1@150 c" not in result.stdout
    shown, _ = run_command(campaign_file, kafka, "--show-customers")
    assert f"{events}/1@150 c" in shown.stdout

    remove_before(kafka.bootstrap, events, 0, 30)
    _, found = run_command(campaign_file, kafka)
    assert causes(found).keys() == {
        "different", "repeat_differs", "history_cut", "event_removed"
    }  # fmt: skip
    assert causes(found)["event_removed"] == 30


@pytest.mark.kafka
def test_the_command_says_what_to_change(
    kafka: KafkaCluster, campaign_file: Path, topic_name: Callable[[str], str]
) -> None:
    flat = campaign_file.read_text().replace('"cloudevents"', '"flat"')
    campaign_file.write_text(flat)
    with pytest.raises(TrainingError, match="only such decisions say which event"):
        CliRunner().invoke(command, [str(campaign_file), "--bootstrap", kafka.bootstrap],
                           catch_exceptions=False)  # fmt: skip
    missing = topic_name("missing")
    with (
        open_topics(kafka.bootstrap, [missing]) as topics,
        pytest.raises(TrainingError, match=missing),
    ):
        topics.extents(missing)


def test_a_broker_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(TrainingError, match="expected a Kafka broker at localhost:1, "),
        open_topics("localhost:1", ["a", "b"]),
    ):
        pass
