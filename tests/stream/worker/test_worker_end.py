"""How a worker ends: the reason is told once, and nothing else hides it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mode import Service

from stream.campaign.file import Campaign
from stream.errors import OperatorError, StateError
from stream.log import EchoFilter, Formatter, log_event
from stream.worker.faust_app.factory import create_app
from stream.worker.faust_app.opportune_app import OpportuneApp
from stream.worker.operate import health
from tests.stream.worker.processor_harness import CAMPAIGN, TEXT

LOOP_IS_CLOSED = RuntimeError("Event loop is closed")


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What an operator reads, as JSON."""
    out: list[dict[str, Any]] = []
    handler = logging.Handler()
    handler.setFormatter(Formatter("json"))
    handler.addFilter(EchoFilter())
    handler.emit = lambda record: out.append(json.loads(handler.format(record)))  # type: ignore[method-assign]
    root, own = logging.getLogger(), logging.getLogger("opportune")
    root.addHandler(handler)
    own.setLevel(logging.INFO)
    yield out
    root.removeHandler(handler)


def app(campaign: Campaign = CAMPAIGN) -> OpportuneApp:
    made = create_app(campaign, "localhost:1")
    made.finalize()
    return made


async def crash_within(part: OpportuneApp, error: Exception) -> None:
    """A part of Faust that breaks, as mode runs it."""

    async def broken() -> None:
        raise error

    await Service(beacon=part.tables.beacon)._execute_task(broken())


@pytest.mark.parametrize("error", [StateError("delete this topic"), ValueError("a bug")])
def test_a_crash_within_faust_is_told_once(lines: list[dict[str, Any]], error: Exception) -> None:
    async def main() -> None:
        worker = app()
        await crash_within(worker, error)
        await crash_within(worker, KeyError("what came of it"))
        assert worker.crashed
        refused = isinstance(error, OperatorError)
        (told,) = [line for line in lines if line["evt"] in ("crash", "refused")]
        assert told["evt"] == worker.stop_reason == ("refused" if refused else "crash")
        assert told["reason"] == str(error)
        # The traceback of a bug is there, and of what the operator has to change is none.
        assert ("in broken" in told.get("exception", "")) is not refused
        if refused:
            assert lines[0] is told
        await worker.processor.close()

    asyncio.run(main())


def test_the_first_error_is_the_one_that_is_told(lines: list[dict[str, Any]]) -> None:
    async def main() -> None:
        worker = app()
        worker.fail(ConnectionError("broker gone"))
        worker.fail(ValueError("what came of it"))
        await asyncio.sleep(0)
        await worker.processor.close()

    asyncio.run(main())
    assert [(line["evt"], line.get("error")) for line in lines] == [("crash", "ConnectionError")]


def test_echoes_of_a_crash_are_left_out_and_nothing_else(lines: list[dict[str, Any]]) -> None:
    mode = logging.getLogger("stream.worker.faust_app.transport")

    def stop_thread() -> None:
        mode.error("Error while stopping child %r: %r", "thread", LOOP_IS_CLOSED)

    stop_thread()  # before any crash it would be news
    mode.error("Error: %r", StateError("x"), exc_info=StateError("not told yet"))
    log_event("crash", level=logging.CRITICAL, reason="a bug")
    stop_thread()
    mode.critical("We experienced a crash! Reraising original exception...")
    mode.error("Error: %r", StateError("x"), exc_info=StateError("told"))
    mode.error("Error while stopping child %r: %r", "producer", ConnectionError("gone"))
    mode.warning("heartbeat failed")
    texts = [line.get("message", line["evt"]) for line in lines]
    assert texts == [
        "Error while stopping child 'thread': RuntimeError('Event loop is closed')",
        "Error: StateError('x')",
        "crash",
        "Error while stopping child 'producer': ConnectionError('gone')",
        "heartbeat failed",
    ]


def test_a_health_file_is_touched_while_the_worker_waits_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, asked = tmp_path / "health", []

    async def main() -> None:
        spec = msgspec.structs.replace(CAMPAIGN.worker, health_file=str(file))
        worker = app(msgspec.structs.replace(CAMPAIGN, worker=spec))

        async def deploy_new_model() -> bool:
            asked.append(file.exists())
            file.unlink(missing_ok=True)
            return len(asked) == 3

        async def no_time(_s: float) -> None: ...

        monkeypatch.setattr(worker, "deploy_new_model", deploy_new_model)
        monkeypatch.setattr(asyncio, "sleep", no_time)
        await worker._wait_for_model()

    asyncio.run(main())
    assert asked == [False, True, True]


def test_a_health_file_that_cannot_be_written_ends_the_start_only(
    tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    there_is_none = str(tmp_path / "none" / "health")
    with pytest.raises(OperatorError, match=r"none/health, got No such file.*--health-file"):
        health.check_health_file(there_is_none)
    health.touch(there_is_none)
    assert [(line["evt"], line["level"]) for line in lines] == [("health_file", "warning")]
    health.check_health_file("")
    health.touch("")


@pytest.mark.slow
def test_a_start_with_a_health_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    campaign = tmp_path / "opportune.toml"
    campaign.write_text(TEXT.replace("TOPICS", '["events"]'))
    ended = subprocess.run(
        [sys.executable, "-m", "stream", "worker", str(campaign), "--bootstrap", "localhost:1",
         "--registry", str(tmp_path / "registry"), "--log-format", "json",
         "--health-file", str(tmp_path / "none" / "health")],
        capture_output=True, text=True, check=False, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    told = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    assert ended.returncode == 2, ended.stderr
    assert [line["evt"] for line in told] == ["refused", "stop"], ended.stderr
    assert told[1]["reason"] == "refused"
    assert "Traceback" not in ended.stderr
