"""What a worker warns of when records are not keyed by customer, or none is an event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.columns import RecordChunk, Reject, Spans
from stream.keys.customer_keys import KeyCounts
from stream.pipeline import Step
from stream.worker.counting.input_counts import InputCounts
from stream.worker.operate import input_watch
from stream.worker.operate.health import HEALTHY, touch
from stream.worker.operate.input_watch import InputWatch

Told = list[dict[str, Any]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    lines: Told = []
    monkeypatch.setattr(
        input_watch, "log_event", lambda evt, **fields: lines.append({"evt": evt, **fields})
    )
    return lines


def chunk(records: int, topic: str = "events") -> RecordChunk:
    keys = Spans.of([b"k%d" % i for i in range(records)])
    at = np.arange(records)
    return RecordChunk(topic, 0, at, at, keys, keys, records)


def refused(records: int, code: str = "bad_json") -> Step:
    return Step(rejects=[Reject(i, code, f"expected more, got {i}") for i in range(records)])


def test_foreign_keys_are_told_once_when_they_are_a_share_of_enough(told: Told) -> None:
    inputs, watch = InputCounts(), InputWatch()
    inputs.add(chunk(999), Step(events=999, keys=KeyCounts(null=999)))
    watch.look(inputs, 1, 0.0)
    assert told == []
    inputs.add(chunk(1), Step(events=1, keys=KeyCounts(differ=1)))
    for _ in range(3):
        watch.look(inputs, 1, 0.0)
    (line,) = told
    assert (line["evt"], line["topic"]) == ("keys", "events")
    assert "1 with another key and 999 without a key of 1,000" in line["reason"]


def test_one_key_in_a_hundred_is_no_share(told: Told) -> None:
    inputs, watch = InputCounts(), InputWatch()
    inputs.add(chunk(1_000), Step(events=1_000, keys=KeyCounts(differ=10)))
    watch.look(inputs, 1, 0.0)
    assert told == []
    inputs.add(chunk(1), Step(events=1, keys=KeyCounts(differ=1)))
    watch.look(inputs, 1, 0.0)
    assert [line["evt"] for line in told] == ["keys"]


def test_a_topic_of_which_nothing_is_an_event_is_a_state(told: Told, tmp_path: Path) -> None:
    inputs, watch = InputCounts(), InputWatch()
    inputs.add(chunk(999), refused(999))
    watch.look(inputs, 1, 0.0)
    inputs.add(chunk(10, "other"), Step(events=10))
    assert (told, watch.status) == ([], "")
    inputs.add(chunk(2), refused(2, "missing_type"))
    watch.look(inputs, 1, 1.0)
    watch.look(inputs, 1, 2.0)
    (line,) = told
    assert (line["evt"], line["topic"], line["records"]) == ("all_refused", "events", 1_001)
    assert (line["code"], line["of_code"]) == ("bad_json", 999)
    assert "opportune doctor" in line["reason"]
    health = tmp_path / "health"
    touch(str(health), watch.status)
    assert health.read_text().startswith("all_refused events: bad_json")
    inputs.add(chunk(5), Step(events=1, rejects=refused(4).rejects))
    watch.look(inputs, 1, 3.0)
    touch(str(health), watch.status)
    assert [line["evt"] for line in told] == ["all_refused", "all_refused_over"]
    assert health.read_text() == f"{HEALTHY}\n"


def test_few_records_are_told_after_a_minute(told: Told) -> None:
    inputs, watch = InputCounts(), InputWatch()
    inputs.add(chunk(19), refused(19))
    watch.look(inputs, 1, 0.0)
    watch.look(inputs, 1, 100.0)
    assert told == []  # few bad records of a quiet topic
    inputs.add(chunk(1), refused(1))
    watch.look(inputs, 1, 59.9)
    assert told == []
    watch.look(inputs, 1, 60.0)
    assert [line["evt"] for line in told] == ["all_refused"]


def test_what_is_neither_event_nor_refused_is_no_refusal(told: Told) -> None:
    inputs, watch = InputCounts(), InputWatch()
    inputs.add(chunk(5_000), Step())  # such as read again for the table alone
    watch.look(inputs, 1, 1_000.0)
    assert told == []
