"""A worker is ended when there is work and nothing becomes durable, and only then."""

from __future__ import annotations

import asyncio
import faulthandler
import os
from typing import Any

import pytest

from stream.worker.operate import watchdog
from stream.worker.operate.watchdog import EXIT_STUCK, end_if_stuck
from stream.worker.processor import Processor
from tests.stream.worker.operate.running import Running, campaign
from tests.stream.worker.processor_harness import Shell, message, run


class _Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whether each of the lines was the last, and the exit code."""
    said: list[Any] = []

    def exit_with(code: int) -> None:
        said.append(code)
        raise _Ended

    monkeypatch.setattr(watchdog, "log_event", lambda _evt, **fields: said.append(fields["last"]))
    monkeypatch.setattr(faulthandler, "dump_traceback", lambda _file: None)
    monkeypatch.setattr(os, "_exit", exit_with)
    return said


def test_work_that_does_not_become_durable_ends_it_the_second_time(told: list[Any]) -> None:
    async def scenario(_shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        with pytest.raises(_Ended):
            await end_if_stuck(Running(processor, campaign(stuck_after_s=0.05)))

    run(scenario)
    assert told == [False, True, EXIT_STUCK]


def test_records_that_are_not_read_end_it_as_well(told: list[Any]) -> None:
    async def scenario(_shell: Shell, processor: Processor) -> None:
        stuck = Running(processor, campaign(stuck_after_s=0.05), ends={"events/0": 1})
        with pytest.raises(_Ended):
            await end_if_stuck(stuck)

    run(scenario)
    assert told == [False, True, EXIT_STUCK]


def test_a_worker_without_work_is_left_alone(told: list[Any]) -> None:
    async def scenario(_shell: Shell, processor: Processor) -> None:
        worker = Running(processor, campaign(stuck_after_s=0.2))
        watch = asyncio.create_task(end_if_stuck(worker))
        await asyncio.sleep(0.5)
        worker.sleeps = 0
        await watch

    run(scenario)
    assert told == []
