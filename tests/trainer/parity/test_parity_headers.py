"""What stands in record headers, through a worker and back: decided, compared and learned from as if in the value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from stream.campaign.file import Campaign, parse
from stream.features.plan import compile_features
from stream.worker.warmup import example_chunk
from tests.trainer.parity.parity_harness import Record, history, text
from tests.trainer.parity.test_parity_batches import (
    LEARNING,
    learned,
    packed,
    same_times,
    shards_of,
    shop_of,
    vectors,
)

EVENTS = """
[events]
customer_id = ["header:user"]
event_id = ["header:id"]
type = ["header:call"]
timestamp = ["header:at"]
batch = "batch"
"""


def plain(more: str = "") -> Campaign:
    return parse(text("shop", ["events"]) + more)


def headed(more: str = "") -> Campaign:
    moved = text("shop", ["events"]).replace("properties.", "header:")
    return parse(moved + more.replace("properties.", "header:") + EVENTS)


def in_headers(records: Sequence[Record]) -> list[Record]:
    """The same events, with nothing in their values."""
    made = []
    for record in records:
        said = json.loads(record.value or b"")
        headers = {
            "user": said["userId"], "call": said["event"], "at": said["timestamp"],
            "kind": said["properties"]["kind"], "value": repr(said["properties"]["value"]),
        }  # fmt: skip
        own = [(name, str(content).encode()) for name, content in headers.items()]
        made.append(Record(record.key, b"{}", own, record.timestamp_ms))
    return made


def test_events_in_headers_are_decided_like_events_in_values(tmp_path: Path) -> None:
    events = same_times(history(150))
    _, values = shop_of(tmp_path / "values", plain(), events)
    _, headers = shop_of(tmp_path / "headers", headed(), in_headers(events))
    assert vectors(headers) == vectors(values)
    assert (headers.table.state == values.table.state).all()


def test_parity_finds_every_header_again(tmp_path: Path) -> None:
    records = in_headers(same_times(history(150)))
    shop, _ = shop_of(tmp_path, headed(), records)
    parity = shop.check()
    assert (parity.holds, parity.findings) == (True, ())
    assert parity.decisions == parity.equal == 150
    records[20].headers[0] = ("user", b"nobody")  # others have changed the topic
    assert not shop.check().holds


def test_training_learns_from_headers_what_it_learns_from_values(tmp_path: Path) -> None:
    events = same_times(history(300))
    expected = learned(shards_of(plain(LEARNING), tmp_path / "values", events, 11), plain(LEARNING))
    made = headed(LEARNING)
    found = learned(shards_of(made, tmp_path / "headers", in_headers(events), 11), made)
    assert found == expected
    assert sum(len(actions) for _, _, actions, _ in found) > 100


def test_the_elements_of_a_batch_have_the_headers_of_their_record(tmp_path: Path) -> None:
    batches = packed(same_times(history(60)))
    made = [
        Record(one.key, one.value, [("user", b"c1"), ("call", b"View")], one.timestamp_ms)
        for one in batches
    ]
    _, worker = shop_of(tmp_path, headed(), made)
    assert {one.key for one in worker.decisions} == {b"c1"}
    assert len(worker.decisions) == 60


def test_a_worker_warms_up_where_events_have_no_ids() -> None:
    made = parse(text("shop", ["events"]) + "[events]\nevent_id = []\ntimestamp = []\n")
    assert len(example_chunk(made, compile_features(made), "events")) == 2


def test_a_worker_warms_up_with_an_event_that_has_its_headers() -> None:
    made = headed()
    chunk = example_chunk(made, compile_features(made), "events")
    assert chunk.headers is not None
    assert b"someone" in (chunk.headers[0] or b"")
