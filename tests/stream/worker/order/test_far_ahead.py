"""A topic that is far ahead of the others waits at the broker, not in memory."""

from __future__ import annotations

import pytest

from stream.worker.order import replay
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    TWO_TOPICS,
    Shell,
    begin,
    block_of,
    message,
    run,
)


def test_it_is_not_read_on_until_they_have_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "HELD_RECORDS_MAX", 4)

    async def scenario(shell: Shell, processor: Processor) -> None:
        begin(processor, {"events": None, "mails": None}, {"events": 20, "mails": 2})
        for first in range(0, 12, 2):
            await processor.process(message(first, ["ann"] * 2))
        assert block_of(processor).expected == {"events": 4, "mails": 0}
        assert (shell.paused[:1], shell.rewound, shell.decided()) == (["events"], [], [])
        await processor.process(message(0, ["ann"] * 2, topic="mails"))
        assert shell.rewound == [4]
        for first in range(4, 20, 2):
            await processor.process(message(first, ["ann"] * 2))
        await processor.checkpoint()
        assert shell.markers()[-1].covered == {"events": 20, "mails": 2}
        assert sum(shell.decided()) == 22

    run(scenario, TWO_TOPICS)


def test_nothing_is_decided_before_it_is_durable_up_to_where_topics_are_merged() -> None:
    """Once for each time that a partition begins, before anything else leaves."""

    async def scenario(shell: Shell, processor: Processor) -> None:
        ends = {"events": 4, "mails": 2}
        begin(processor, dict.fromkeys(ends), ends)
        await processor.process(message(0, ["ann"] * 2, topic="mails"))
        await processor.process(message(0, ["ann"] * 2))
        await processor.process(message(2, ["ann"] * 2))
        await processor.process(message(4, ["ann"] * 2))
        await processor.checkpoint()

    shell = run(scenario, TWO_TOPICS)
    assert shell.happened[:3] == ["send log", "ack log", "send out"]
    first, live, last = shell.markers()
    assert first.covered == {}
    assert [one.end for one in first.aligned or []] == [{"events": 4, "mails": 2}]
    assert [topic for topic, _ in live.order] == ["events"]
    assert last.covered == {"events": 6, "mails": 2}
    assert last.aligned == first.aligned
    assert last.reached_ms == dict.fromkeys(("events", "mails"), 1_767_225_600_000)
