"""The trainer as a service: train, judge, promote, wait for the next tick, for months.

Rules of this file
1. A cycle is a process of its own: its memory goes back to the system, and whatever ends it does not
   end the service.
2. Ticks are multiples of the interval since 1970, UTC: services that were started at different times
   keep to the same ones, and none drifts. The first cycle begins at once.
3. A cycle that failed is tried again after 30 s, then after twice as long each time, up to the
   interval.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from models.errors import NO_JSON
from stream.cli import EXIT_OPERATOR_ERROR
from stream.errors import OperatorError
from stream.log import log_event
from trainer.gate.gate import Verdict
from trainer.service.child import Ended, Stop, run_child

EXIT_FAILED = 1
"""Exit code when the last cycle failed and the operator cannot change it."""
_FIRST_RETRY_S = 30.0
_ALIVE_S = 10.0
"""How often the health file is touched."""

Ends = Callable[[], Mapping[str, int] | None]
"""End offsets of the event partitions, None when they cannot say whether there are new events."""


class Trained(Struct, frozen=True):
    """The line that a cycle prints on standard output when it is done.

    Attributes:
        version: What it published.
        promoted: Whether that is the champion now.
        verdict: What the gate said.
    """

    version: str
    promoted: bool
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a service does.

    Attributes:
        command: Trains once: prints a `Trained` line and ends with 0, or says on standard error why
            not and ends with another code, 2 when the operator has to change something.
        every_s: Interval of the ticks, seconds.
        timeout_s: A cycle that takes longer is ended.
        max_cycles: Ends after so many, skipped ones included; None never.
        health_file: Touched at least every 10 s.
        ends: See `Ends`.
        after: Called after each cycle that trained; its fields join the line of the cycle.
    """

    command: Sequence[str]
    every_s: float
    timeout_s: float
    max_cycles: int | None = None
    health_file: Path | None = None
    ends: Ends = lambda: None
    after: Callable[[], Mapping[str, Any]] = dict


def next_tick(now_s: float, every_s: float) -> float:
    """The first multiple of the interval after now, epoch seconds."""
    return (now_s // every_s + 1) * every_s


def next_try(now_s: float, every_s: float, failures: int) -> float:
    """When to begin the next cycle after so many failures in a row, epoch seconds."""
    # Beyond some ten failures the exponent decides nothing and would overflow one day.
    retry_s = _FIRST_RETRY_S * 2.0 ** min(failures - 1, 30)
    return now_s + retry_s if failures and retry_s < every_s else next_tick(now_s, every_s)


class Service:
    """Runs cycles until `stop` is set."""

    def __init__(self, plan: Plan, stop: Stop) -> None:
        self._plan = plan
        self._stop = stop
        self._seen: Mapping[str, int] | None = None
        self._failures = 0
        self._next_s = 0.0
        self._alive_s = float("-inf")

    def run(self) -> int:
        """Returns the exit code: 0 when the last cycle was good or was stopped."""
        cycle, code = 0, 0
        while True:
            cycle += 1
            code = self._cycle(cycle)
            if cycle == self._plan.max_cycles or self._waits_in_vain():
                log_event("stop", cycles=cycle, code=code)
                return code

    def _cycle(self, cycle: int) -> int:
        ends = self._ends()
        if ends is not None and ends == self._seen:
            reason = "no new events since the last cycle"
            log_event("cycle_skipped", cycle=cycle, reason=reason, next=self._next())
            return 0
        events = None if ends is None else sum(ends.values())
        log_event("cycle_begin", cycle=cycle, end_offsets=events)
        try:
            ended = run_child(
                self._plan.command, timeout_s=self._plan.timeout_s, stop=self._stop,
                on_error_line=lambda line: log_event("train", line=line), on_poll=self._touch,
            )  # fmt: skip
        except OSError as exc:
            return self._failed(cycle, EXIT_FAILED, f"cannot start: {exc}", None)
        if ended.cause == "stopped":
            log_event("cycle_stopped", cycle=cycle, seconds=round(ended.seconds, 1))
            return 0
        trained = _trained(ended)
        if isinstance(trained, str):
            code = ended.code if ended.code == EXIT_OPERATOR_ERROR else EXIT_FAILED
            return self._failed(cycle, code, trained, ended)
        self._seen, self._failures = ends, 0
        self._succeeded(cycle, trained, ended)
        return 0

    def _succeeded(self, cycle: int, trained: Trained, ended: Ended) -> None:
        log_event(
            "cycle_end", cycle=cycle, version=trained.version, promoted=trained.promoted,
            verdict=trained.verdict.words if trained.verdict else None,
            seconds=round(ended.seconds, 1), peak_rss_mb=ended.peak_rss_mb,
            **self._plan.after(), next=self._next(),
        )  # fmt: skip

    def _failed(self, cycle: int, code: int, reason: str, ended: Ended | None) -> int:
        self._failures += 1
        log_event(
            "cycle_failed", level=logging.ERROR, cycle=cycle, reason=reason,
            code=ended.code if ended else None, failures=self._failures,
            seconds=round(ended.seconds, 1) if ended else None,
            peak_rss_mb=ended.peak_rss_mb if ended else None, next=self._next(),
        )  # fmt: skip
        return code

    def _ends(self) -> Mapping[str, int] | None:
        try:
            return self._plan.ends()
        except OperatorError as exc:
            # The cycle says better what is wrong, if it is still wrong then.
            log_event("ends_unknown", level=logging.WARNING, reason=str(exc))
            return None

    def _next(self) -> str:
        self._next_s = next_try(time.time(), self._plan.every_s, self._failures)
        return f"{datetime.fromtimestamp(self._next_s, UTC):%Y-%m-%dT%H:%M:%SZ}"

    def _waits_in_vain(self) -> bool:
        """Waits for the next cycle; whether it was told to stop meanwhile."""
        while not self._stop.wait(min(self._next_s - time.time(), _ALIVE_S)):
            self._touch()
            if time.time() >= self._next_s:
                return False
        return True

    def _touch(self) -> None:
        """A sign of life, not of success: what failed is in the log."""
        now_s = time.monotonic()
        if self._plan.health_file is not None and now_s - self._alive_s >= _ALIVE_S / 2:
            self._plan.health_file.touch()
            self._alive_s = now_s


def _trained(ended: Ended) -> Trained | str:
    """What the cycle printed, or why it is none."""
    said = ended.errors[-1] if ended.errors else "it said nothing on standard error"
    if ended.cause == "timeout":
        return f"took longer than {ended.seconds:.0f} s and was ended; its last words: {said}"
    if ended.code < 0:
        return f"ended by signal {-ended.code}; its last words: {said}"
    if ended.code != 0:
        return said
    line = ended.output.strip().rpartition("\n")[2]
    try:
        return msgspec.json.decode(line, type=Trained)
    except NO_JSON as exc:
        return f"expected one line of JSON with version and promoted, got {line[:200]!r}: {exc}"
