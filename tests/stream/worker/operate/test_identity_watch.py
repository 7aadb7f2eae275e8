"""What a worker says of logins that find nothing, and of tombstones that nobody is forgotten by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from stream.columns import RecordChunk, Spans
from stream.features.kernel import COUNTERS, FORGOTTEN_ROWS, UNKNOWN_ROWS
from stream.keys.partitioners import key_hashes
from stream.log import log_event
from stream.pipeline import Step
from stream.worker.counting.input_counts import InputCounts
from stream.worker.operate import input_watch
from stream.worker.operate.input_watch import InputWatch

PARTITIONS = 4
USERS = [b"u-%d" % i for i in range(400)]
DEVICES = [b"a-%d" % i for i in range(400)]


def home(key: bytes) -> int:
    return key_hashes(key).murmur2 % PARTITIONS


def counts_of(logins: Sequence[tuple[int, bytes, bytes]], unknown: bool) -> InputCounts:
    """Logins of users, each in a partition, who had an id before."""
    inputs = InputCounts()
    for partition in range(PARTITIONS):
        here = [one for one in logins if one[0] == partition]
        keys, previous = Spans.of([one[1] for one in here]), Spans.of([one[2] for one in here])
        n = len(here)
        chunk = RecordChunk(
            "events", partition, np.arange(n), np.zeros(n, np.int64), keys, keys, n
        )  # fmt: skip
        counters = np.zeros(COUNTERS, np.int64)
        counters[UNKNOWN_ROWS] = n if unknown else 0
        inputs.add(chunk, Step(previous=previous, events=n, counters=counters))
    return inputs


def told(
    inputs: InputCounts, monkeypatch: pytest.MonkeyPatch, partitions: int = PARTITIONS
) -> list[str]:
    lines: list[str] = []

    def note(evt: str, **fields: object) -> None:
        lines.append(f"{evt} {fields}")
        log_event(evt, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(input_watch, "log_event", note)
    watch = InputWatch()
    for _ in range(2):  # once a run
        watch.look(inputs, partitions, 1.0)
    return lines


APART = [(home(user), user, device) for user, device in zip(USERS, DEVICES, strict=True)]


def test_logins_are_told_apart_from_their_devices_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = told(counts_of(APART, unknown=True), monkeypatch)
    assert line.startswith("login_apart")
    assert "'logins': 400" in line
    assert "murmur2" in line


def test_nothing_is_said_of_logins_that_find_their_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(counts_of(APART, unknown=False), monkeypatch) == []
    together = [(home(user), user, user + b"'") for user in USERS]
    near = [one for one in together if home(one[2]) == one[0]]
    assert told(counts_of(near, unknown=True), monkeypatch) == [], "new users had nothing before"
    assert told(counts_of(APART[:90], unknown=True), monkeypatch) == [], "a few say nothing"
    assert told(counts_of(APART, unknown=True), monkeypatch, partitions=1) == []


@pytest.mark.parametrize(("count", "forgotten", "lines"), [(99, 0, 0), (100, 0, 1), (100, 1, 0)])
def test_tombstones_that_do_nothing_are_told_once(
    monkeypatch: pytest.MonkeyPatch, count: int, forgotten: int, lines: int
) -> None:
    inputs = InputCounts()
    keys = Spans.of(USERS[:count])
    chunk = RecordChunk(
        "events", 0, np.arange(count), np.zeros(count, np.int64), keys, Spans.of([None] * count), count
    )  # fmt: skip
    counters = np.zeros(COUNTERS, np.int64)
    counters[FORGOTTEN_ROWS] = forgotten
    inputs.add(chunk, Step(tombstones=count, counters=counters))
    found = told(inputs, monkeypatch)
    assert [line.partition(" ")[0] for line in found] == ["tombstones"] * lines
