"""What a worker says of itself: each counts for itself, and nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from stream.columns import Spans
from stream.features.silence import Silence
from stream.worker.operate import lines
from stream.worker.operate.lines import Lines
from stream.worker.operate.watched import lags_by_partition
from stream.worker.processor import Processor
from tests.stream.worker.operate.running import Running, campaign
from tests.stream.worker.processor_harness import PLAN, Shell, message, run


def test_the_last_line_counts_what_the_summaries_took_and_what_came_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(lines, "log_event", lambda evt, **fields: told.append((evt, fields)))

    async def scenario(_shell: Shell, processor: Processor) -> None:
        worker = Running(processor, campaign(summary_interval_s=0.01))
        other = Running(processor)
        said, unheard = Lines(worker), Lines(other)
        await processor.process(message(0, ["ann", "bob"]))
        await said.summaries()
        await processor.process(message(2, ["cat"]))
        fields = said.stop_fields()
        assert (fields["events"], fields["decisions"]) == (3, 3)
        assert fields["reason"] == "asked"
        assert unheard.stop_fields()["events"] == 1  # a worker beside it counts for itself

    run(scenario)
    ((evt, summary),) = told
    assert (evt, summary["rows"], summary["partitions"], summary["skipped"]) == ("summary", 2, 0, 0)


def test_a_value_that_cannot_be_read_is_counted_and_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(lines, "log_event", lambda evt, **fields: told.append((evt, fields)))

    def dated(first: int, *times: str) -> Any:
        """Orders that say these times."""
        events = message(first, ["ann"] * len(times))
        values = [f'{{"type":"view","userId":"ann","timestamp":"{t}"}}'.encode() for t in times]
        return SimpleNamespace(
            value=replace(events.value, value=Spans.of(values)), offset=first, generation_id=1
        )

    async def scenario(_shell: Shell, processor: Processor) -> None:
        worker = Running(processor, campaign(summary_interval_s=0.01))
        said = Lines(worker)
        await processor.process(dated(0, "soon", "2030-01-01T00:00:00Z", "later"))
        await said.summaries()
        await processor.process(dated(3, "now"))
        worker.sleeps = 1
        await said.summaries()

    run(scenario)
    summaries = [fields for evt, fields in told if evt == "summary"]
    assert [fields["unreadable"] for fields in summaries] == [{"timestamp": 2}, {"timestamp": 1}]
    assert [fields["ahead"] for fields in summaries] == [1, None]
    ((path, values, reason),) = [
        (fields["path"], fields["values"], fields["reason"])
        for evt, fields in told
        if evt == "unreadable"
    ]
    assert (path, values) == ("timestamp", 2)
    assert reason == "expected ISO 8601 or the epoch in s, ms, us or ns at timestamp, got 'soon'"
    assert [evt for evt, _ in told].count("clock") == 1


def test_a_property_that_never_came_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    def keep(evt: str, **fields: Any) -> None:
        told.extend([fields] if evt == "never_came" else [])

    monkeypatch.setattr(lines, "log_event", keep)
    monkeypatch.setattr(Silence, "never", lambda _: {"properties.revnue": 1234})

    async def scenario(_shell: Shell, processor: Processor) -> None:
        worker = Running(processor, campaign(summary_interval_s=0.01), sleeps=3)
        said = Lines(worker)
        await processor.process(message(0, ["ann", "bob"]))
        await said.summaries()
        await processor.process(message(2, ["cat"]))
        said.stop_fields()
        types = {name: int(said._silence._types[k]) for k, name in enumerate(PLAN.event_types)}
        assert types["Order Completed"] == 3

    run(scenario)
    (fields,) = told
    assert (fields["path"], fields["events"]) == ("properties.revnue", 1234)
    assert "Operator action" in fields["reason"]


def test_the_lag_is_what_is_left_of_each_partition_whose_end_is_known() -> None:
    async def scenario(_shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        assert lags_by_partition(Running(processor)) == {}
        assert lags_by_partition(Running(processor, ends={"events/0": 7})) == {"events/0": 5}
        # The end is a little older than the position.
        assert lags_by_partition(Running(processor, ends={"events/0": 1})) == {"events/0": 0}

    run(scenario)
