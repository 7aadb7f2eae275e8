"""What a worker says of itself: each counts for itself, and nothing is counted twice."""

from __future__ import annotations

from typing import Any

import pytest

from stream.worker.operate import lines
from stream.worker.operate.lines import Lines
from stream.worker.operate.watched import lags_by_partition
from stream.worker.processor import Processor
from tests.stream.worker.operate.running import Running, campaign
from tests.stream.worker.processor_harness import Shell, message, run


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


def test_the_lag_is_what_is_left_of_each_partition_whose_end_is_known() -> None:
    async def scenario(_shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        assert lags_by_partition(Running(processor)) == {}
        assert lags_by_partition(Running(processor, ends={"events/0": 7})) == {"events/0": 5}
        # The end is a little older than the position.
        assert lags_by_partition(Running(processor, ends={"events/0": 1})) == {"events/0": 0}

    run(scenario)
