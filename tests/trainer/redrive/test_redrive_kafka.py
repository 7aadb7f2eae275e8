"""`opportune redrive` on a real Kafka: what is sent, what stays, and where it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from tests.conftest import CreateTopics, KafkaCluster
from tests.stream.worker.faults.fault_verifier import read
from trainer.commands.redrive import redrive
from trainer.redrive import sending

pytestmark = [pytest.mark.kafka]

CAMPAIGN = """
app = "{app}"
bootstrap = "{bootstrap}"
topics = {{ events = ["{app}-events"], dead_letter = "{app}-dead" }}
events = {{ customer_id = ["userId", "user.id"] }}
features = [{{ op = "count", half_lives = ["1d"] }}]
strategies = [{{ id = "mail" }}]
"""
TIME_MS = 1_760_000_000_000
Headers = list[tuple[str, bytes]]


class Shop:
    """A campaign with dead letters."""

    def __init__(self, app: str, bootstrap: str, folder: Path) -> None:
        self.app, self.bootstrap = app, bootstrap
        self.file = folder / "opportune.toml"
        self.file.write_text(CAMPAIGN.format(app=app, bootstrap=bootstrap))

    def letter(self, number: int, partition: int, value: bytes, code: str, **more: bytes) -> None:
        headers = {
            "reason": b"why", "code": code.encode(), "topic": f"{self.app}-events".encode(),
            "partition": str(partition).encode(), "offset": str(number).encode(),
            "timestamp": str(TIME_MS + number).encode(), **more,
        }  # fmt: skip
        producer = Producer({"bootstrap.servers": self.bootstrap})
        producer.produce(
            f"{self.app}-dead", value, f"k-{number}".encode(), 0, headers=list(headers.items())
        )
        assert producer.flush(30) == 0

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(redrive, [str(self.file), *arguments])

    def events(
        self, partition: int
    ) -> list[tuple[bytes | None, bytes | None, int, dict[str, bytes]]]:
        return [
            (m.key(), m.value(), m.timestamp()[1], dict(cast("Headers", m.headers() or [])))
            for m in read(self.bootstrap, f"{self.app}-events", partition)
        ]


def event(number: int) -> bytes:
    return json.dumps(
        {"type": "page", "user": {"id": f"u-{number}"}, "messageId": f"m-{number}",
         "timestamp": TIME_MS}
    ).encode()  # fmt: skip


@pytest.fixture
def shop(
    kafka: KafkaCluster,
    topic_name: Callable[[str], str],
    create_topics: CreateTopics,
    tmp_path: Path,
) -> Shop:
    app = topic_name("redrive")
    create_topics({f"{app}-events": 2, f"{app}-dead": 2})
    made = Shop(app, kafka.bootstrap, tmp_path)
    for number in range(6):
        made.letter(number, number % 2, event(number), "missing_customer")
    made.letter(6, 0, b"no event", "bad_json")
    made.letter(7, 0, event(7)[:20], "oversize", truncated=b"true", value_bytes=b"1000")
    made.letter(8, 1, event(8), "bad_type")
    return made


def test_without_yes_nothing_is_sent_and_all_is_shown(shop: Shop) -> None:
    done = shop.run()
    assert done.exit_code == 0, done.output
    assert "7 records would be sent back; nothing is sent without --yes" in done.output
    assert f"still refused: {shop.app}-dead/0 offset 6: expected" in done.output
    assert "1 cut: the letter has not all of the record" in done.output
    assert shop.events(0) == shop.events(1) == []
    assert not shop.file.with_name(f"{shop.app}-redriven.json").exists()


def test_what_can_be_read_goes_back_as_it_was_and_once(shop: Shop) -> None:
    done = shop.run("--yes")
    assert done.exit_code == 0, done.output
    assert "7 records sent back" in done.output
    for partition, numbers in ((0, (0, 2, 4)), (1, (1, 3, 5, 8))):
        assert shop.events(partition) == [
            (
                f"k-{number}".encode(), event(number), TIME_MS + number,
                {"opportune-redriven": f"{shop.app}-dead/0@{number}".encode()},
            )
            for number in numbers
        ]  # fmt: skip
    again = shop.run("--yes")
    assert again.exit_code == 0
    assert "7 letters were sent by earlier runs" in again.output
    assert "0 records sent back" in again.output
    assert len(shop.events(0) + shop.events(1)) == 7
    shop.letter(9, 0, event(9), "missing_customer")
    assert "1 records sent back" in shop.run("--yes").output
    assert len(shop.events(0)) == 4


def test_the_headers_of_a_record_go_back_with_it(shop: Shop) -> None:
    shop.letter(
        9, 0, event(9), "missing_customer",
        **{"ce_id": b"m-9", "original.offset": b"theirs", "original.original.x": b"",
           "opportune-redriven": b"before"},
    )  # fmt: skip
    assert "8 records sent back" in shop.run("--yes").output
    last = [m for m in read(shop.bootstrap, f"{shop.app}-events", 0) if m.key() == b"k-9"]
    assert [m.headers() for m in last] == [[
        ("ce_id", b"m-9"), ("offset", b"theirs"), ("original.x", b""),
        ("opportune-redriven", f"{shop.app}-dead/0@9".encode()),
    ]]  # fmt: skip


def test_a_limit_ends_it_and_the_next_run_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_BATCH_LETTERS", 2)
    first = shop.run("--yes", "--limit", "3")
    assert first.exit_code == 1, first.output
    assert "3 records sent back" in first.output
    assert "started again, it goes on from here" in first.output
    second = shop.run("--yes")
    assert second.exit_code == 0
    assert "4 records sent back" in second.output
    keys = sorted(key or b"" for key, *_ in shop.events(0) + shop.events(1))
    assert keys == sorted(f"k-{number}".encode() for number in (0, 1, 2, 3, 4, 5, 8))


def test_reasons_and_times_choose(shop: Shop) -> None:
    assert "1 records sent back" in shop.run("--yes", "--reason", "bad_type").output
    some = shop.run("--since", "2025-10-09T08:53:20.002Z", "--until", "2025-10-09T08:53:20.005Z")
    assert "3 records would be sent back" in some.output
    for wrong, told in ((("--reason", "bad"), "expected one of null_value"),
                        (("--topic", "x"), f"expected one of {shop.app}-events")):  # fmt: skip
        done = shop.run(*wrong)
        assert done.exit_code == 2
        assert told in " ".join(done.output.split())
