"""`opportune doctor` on topics of a real Kafka, with what real senders do wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from stream.errors import OperatorError
from tests.conftest import CreateTopics, KafkaCluster
from trainer.commands.looking.doctor import doctor as command
from trainer.doctor.errors import DoctorError

pytestmark = pytest.mark.kafka

CAMPAIGN = """
app = "shop"
topics = {{ events = {events}, dead_letter = "{events_name}-dead" }}
decisions = {{ on = ["Product Added"] }}
training = {{ attribution_window = "7d" }}
[[features]]
op = "sum"
events = ["Order Completed"]
property = "properties.{revenue}"
half_lives = ["7d"]
[[features]]
op = "distinct"
events = ["Product Added"]
property = "properties.category"
window = "7d"
[[strategies]]
id = "mail"
"""
Record = tuple[bytes | str | None, bytes | None]


def event(customer: str, number: int, kind: str = "Product Added", **more: Any) -> bytes:
    return json.dumps(
        {
            "type": "track", "event": kind, "userId": customer, "messageId": f"m-{number}",
            "timestamp": int(time.time() * 1000), "properties": {"category": "shoes", "revenue": 12.5},
            **more,
        }
    ).encode()  # fmt: skip


def good(count: int = 100) -> list[Record]:
    kinds = ("Product Added", "Order Completed", "Strategy Sent")
    return [
        (f"customer-{i % 60}", event(f"customer-{i % 60}", i, kinds[i % 3])) for i in range(count)
    ]


class Look:
    """Topics with records, and the doctor's look at them."""

    def __init__(
        self,
        kafka: KafkaCluster,
        folder: Path,
        topic_name: Callable[[str], str],
        create: CreateTopics,
    ) -> None:
        self.kafka, self.folder, self._create = kafka, folder, create
        self.name = topic_name("events")

    def at(
        self, *topics: Sequence[Record], config: dict[str, str] | None = None, revenue: str = "revenue",
        partitioner: Sequence[str] = ("murmur2_random",) * 2,
    ) -> Path:  # fmt: skip
        """Fills the topics; gives the campaign file."""
        names = [f"{self.name}-{i}" for i in range(len(topics))]
        self._create(dict.fromkeys(names, 2), config)
        for name, records, how in zip(names, topics, partitioner, strict=False):
            producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "partitioner": how})
            for key, value in records:
                producer.produce(name, value, key)
            assert producer.flush(30) == 0
        file = self.folder / "opportune.toml"
        file.write_text(
            CAMPAIGN.format(events=json.dumps(names), events_name=self.name, revenue=revenue)
        )
        return file

    def run(self, file: Path, *more: str) -> Result:
        registry = str(self.folder / "registry")
        arguments = [str(file), "--bootstrap", self.kafka.bootstrap, "--registry", registry, *more]
        return CliRunner().invoke(command, arguments, env={"COLUMNS": "400"})

    def found(self, file: Path, *more: str) -> dict[str, Any]:
        result = self.run(file, "--json", *more)
        assert result.exit_code in (0, 1), (result.output, result.exception)
        assert result.stdout, result.exception
        found: dict[str, Any] = json.loads(result.stdout)
        assert (result.exit_code == 1) is bool(found["findings"])
        return found


@pytest.fixture
def look(
    kafka: KafkaCluster, tmp_path: Path, topic_name: Callable[[str], str], create_topics: CreateTopics
) -> Look:  # fmt: skip
    return Look(kafka, tmp_path, topic_name, create_topics)


def told(found: dict[str, Any]) -> str:
    return "\n".join(f"{one['topic']}: {one['what']}" for one in found["findings"])


def test_a_topic_that_fits_has_no_finding_but_the_missing_champion(look: Look) -> None:
    found = look.found(look.at(good(), config={"retention.ms": "-1"}))
    (only,) = found["findings"]
    assert only["what"].startswith("no champion in ")
    (topic,) = found["topics"]
    assert (topic["records"], topic["events"], topic["customers"]) == (100, 100, 60)
    assert topic["forms"] == {"Segment": 100}
    assert topic["keys"]["partitioner"] == "murmur2"
    assert (topic["keys"]["null"], topic["keys"]["differ"], topic["repeated"]) == (0, 0, 0)
    assert topic["times"] == {"epoch milliseconds": 100}
    assert topic["settings"]["message.timestamp.type"] == "CreateTime"
    result = look.run(look.folder / "opportune.toml")
    assert result.exit_code == 1
    assert "1 findings" in result.stdout
    assert "customer-" not in result.stdout  # ids are personal data
    assert "string of 11" in result.stdout
    assert "customer-" in look.run(look.folder / "opportune.toml", "--examples").stdout


def test_records_in_a_frame_of_a_schema_registry_are_recognised(look: Look) -> None:
    framed: list[Record] = [(key, b"\0\0\0\0\7" + (value or b"")) for key, value in good(50)]
    found = look.found(look.at(framed))
    assert found["topics"][0]["forms"] == {"Confluent JSON frame (magic 0, schema id 7)": 50}
    assert "50 of 50 values look like Confluent JSON frame (magic 0, schema id 7)" in told(found)
    assert "none of 50 records is an event" in told(found)
    assert "events.format" in found["findings"][0]["action"]


def test_a_mistyped_path_and_type_are_told_with_the_name_that_is_meant(look: Look) -> None:
    records: list[Record] = [
        (f"c-{i}", event(f"c-{i}", i, "Product added" if i % 2 else "Order Completed")) for i in range(60)
    ]  # fmt: skip
    found = look.found(look.at(records, revenue="revnue"))
    assert "nothing ever stood at properties.revnue" in told(found)
    assert "is properties.revenue meant?" in told(found)
    assert 'no event of the type "Product Added" came' in told(found)
    assert "is 'Product added' meant?" in told(found)
    file = look.folder / "opportune.toml"
    file.write_text(file.read_text().replace("revnue", "products[].sku"))
    assert "nothing ever stood at properties.products[].sku" in told(look.found(file))


def test_money_as_text_is_told_with_examples(look: Look) -> None:
    records: list[Record] = [
        (f"c-{i}", event(f"c-{i}", i, properties={"revenue": "$1,299.00\x1b[2J", "category": {"id": 1}}))
        for i in range(60)
    ]  # fmt: skip
    file = look.at(records)
    (topic,) = look.found(file)["topics"]
    (revenue,) = (one for one in topic["paths"] if one["path"] == "properties.revenue")
    assert (revenue["seen"], revenue["unreadable"]) == (60, 60)
    assert revenue["kinds"] == {"text with a currency or grouped digits": 60}
    assert revenue["examples"] == [r"$1,299.00\x1b[2J"]
    result = look.run(file)
    assert "60 of 60 values at properties.revenue cannot be read as number" in result.stdout
    assert (
        "60 of 60 values at properties.category cannot be read as category: 60 object"
        in result.stdout
    )
    assert "\x1b[2J" not in result.stdout


def test_clocks_that_are_ahead_are_told(look: Look) -> None:
    later = int(time.time() * 1000) + 7_200_000
    records: list[Record] = [(f"c-{i}", event(f"c-{i}", i, timestamp=later)) for i in range(60)]
    found = look.found(look.at(records))
    assert found["topics"][0]["skew"]["ahead"] == 60
    assert "60 of 60 events are further ahead of their record" in told(found)


def test_an_id_in_a_reason_is_hidden_too(look: Look) -> None:
    file = look.at([("k", event("secret" * 900, 1)) for _ in range(3)])
    (topic,) = look.found(file)["topics"]
    assert topic["examples"] == {
        "customer_too_long": "expected at most 512 bytes of UTF-8 at userId, got what --examples shows"
    }  # fmt: skip
    assert "secretsecret" in str(look.found(file, "--examples")["topics"][0]["examples"])


def test_keys_partitioners_and_repetitions_are_told(look: Look) -> None:
    null: list[Record] = [(None, event("u-1", 7)) for _ in range(60)]
    found = look.found(look.at(null))
    assert "got 60 without a key and 0 with another, of 60" in told(found)
    assert "59 of 60 events have an event id that came before" in told(found)


def test_topics_by_two_partitioners_are_told(look: Look) -> None:
    file = look.at(good(), good(), partitioner=("murmur2_random", "consistent_random"))
    assert f"{look.name}-0 by murmur2, {look.name}-1 by crc32" in told(look.found(file))


def test_settings_that_forget_are_told(look: Look) -> None:
    config = {"cleanup.policy": "compact,delete", "retention.ms": "86400000"}
    said = told(look.found(look.at(good(), config=config)))
    assert "expected cleanup.policy=delete of an event topic, got compact,delete" in said
    assert "expected retention.ms of 7 days or more" in said
    assert "got 1 days" in said


def test_consent_is_counted_by_form_and_customer(look: Look) -> None:
    said = [True, False, "granted", "unsubscribed-maybe"]
    records: list[Record] = [
        (f"c-{i}", event(f"c-{i}", i, traits={"marketing_consent": said[i % 4]})) for i in range(40)
    ]  # fmt: skip
    (topic,) = look.found(look.at(records))["topics"]
    assert topic["consent"] == {
        f"traits.marketing_consent: {one}": 10 for one in said
    }  # fmt: skip
    assert (topic["granted"], topic["denied"]) == (20, 20)


def test_the_newest_records_are_looked_at_or_the_oldest(look: Look) -> None:
    old: list[Record] = [("c", event("c", i, "Old")) for i in range(50)]
    new: list[Record] = [("c", event("c", i, "New")) for i in range(50)]
    file = look.at([*old, *new])
    assert look.found(file, "--sample", "20")["topics"][0]["types"] == {"New": 10}
    oldest = look.found(file, "--sample", "20", "--from-beginning")["topics"][0]
    assert oldest["types"] == {"Old": 10}


def test_what_cannot_be_looked_at_ends_with_2(look: Look) -> None:
    file = look.at(good(3))
    file.write_text(file.read_text().replace(f"{look.name}-0", f"{look.name}-9"))
    result = look.run(file)
    assert isinstance(result.exception, DoctorError)
    assert "Operator action: correct topics.events" in str(result.exception)
    away = CliRunner().invoke(command, [str(file), "--bootstrap", "localhost:1"])
    assert isinstance(away.exception, OperatorError)
