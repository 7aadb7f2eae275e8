"""What a worker says of itself in its log: once at the start, every interval, once at the end."""

from __future__ import annotations

import logging
import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from typing import Any

from stream.features.silence import Silence
from stream.log import log_event
from stream.worker.counting.telemetry import Totals, Window
from stream.worker.operate.clock import times_ahead
from stream.worker.operate.health import touch
from stream.worker.operate.held_back import HeldBack, held_records
from stream.worker.operate.input_watch import InputWatch
from stream.worker.operate.watched import Watched, ends_by_partition, lags_by_partition


class Lines:
    """The start, summary and stop lines of a worker.

    Args:
        worker: The worker.
    """

    def __init__(self, worker: Watched) -> None:
        self._worker = worker
        self._totals = Totals()
        self._told: set[str] = set()
        self._silence = Silence(worker.campaign, worker.processor.plan)
        self._silent: set[str] = set()
        self._inputs = InputWatch()
        self._held_back = HeldBack()
        self._partitions = 1

    def start_fields(self, partitions: int) -> dict[str, Any]:
        """Everything about this process that a reader of the log may ask for, once.

        Args:
            partitions: Of each topic.
        """
        self._partitions = partitions
        campaign, plan = self._worker.campaign, self._worker.processor.plan
        return {
            "version": version("opportune"),
            "faust": version("faust-streaming"),
            "aiokafka": version("aiokafka"),
            "python": platform.python_version(),
            "pid": os.getpid(),
            "group": campaign.app,
            "bootstrap": self._worker.bootstrap,
            "topics": ",".join(campaign.topics.events),
            "partitions": partitions,
            "features": len(plan.names),
            "row_bytes": plan.row_bytes,
            "layout": plan.layout_digest,
            "contract": plan.contract.digest,
            "chunk_events_max": campaign.worker.chunk_events_max,
            "commit_interval_ms": campaign.worker.commit_interval_ms,
            "guarantee": "at_least_once",
        }

    def stop_fields(self) -> dict[str, Any]:
        """What the worker did and left; asked once, since it counts the last window."""
        worker, totals = self._worker, self._totals
        totals.add(worker.processor.window)
        self._tell_flaws(worker.processor.window)
        return {
            "reason": worker.stop_reason,
            "events": totals.records,
            "decisions": totals.decisions,
            "invalid": totals.invalid,
            "skipped": worker.skips.records,
            "uncommitted_chunks": worker.processor.uncommitted,
        }

    async def summaries(self) -> None:
        """One line an interval, and a touch of the health file."""
        worker = self._worker
        interval_s = worker.campaign.worker.summary_interval_s
        health_file = worker.campaign.worker.health_file
        while not worker.should_stop:
            began_s = time.monotonic()
            await worker.sleep(interval_s)
            window, worker.processor.window = worker.processor.window, Window()
            self._totals.add(window)
            fields = window.summary(time.monotonic() - began_s)
            skipped = worker.skips.since_last()
            ends = ends_by_partition(worker)
            held = held_records(ends) or None
            state = _state_fields(worker)
            log_event("summary", **fields, skipped=skipped, held_back=held, **state)
            self._held_back.look(ends, time.monotonic())
            self._tell_flaws(window)
            ahead = window.ahead + window.rejects["absurd_timestamp"]
            if reason := times_ahead(ahead, window.records):
                log_event("clock", level=logging.WARNING, reason=reason)
            self._inputs.look(worker.processor.inputs, self._partitions, time.monotonic())
            touch(health_file, self._inputs.status)

    def _tell_flaws(self, window: Window) -> None:
        """One line for each path that cannot be read or never came, the first time that it is so."""
        for path, reason in window.examples.items():
            if path not in self._told:
                self._told.add(path)
                log_event(
                    "unreadable", level=logging.WARNING, path=path,
                    values=window.unreadable[path], reason=reason,
                )  # fmt: skip
        if window.present is None or window.types is None:
            return
        self._silence.add(window.present, window.types)
        for path, events in self._silence.never().items():
            if path not in self._silent:
                self._silent.add(path)
                log_event(
                    "never_came", level=logging.WARNING, path=path, events=events,
                    reason=f"expected {path} in some of the events that features read it from, got "
                    f"none in {events}. Operator action: compare the property in the campaign file "
                    "with an event on the topic",
                )  # fmt: skip


def _state_fields(worker: Watched) -> dict[str, Any]:
    lags = lags_by_partition(worker)
    worst = max(lags, key=lambda tp: lags[tp]) if lags else None
    deployment = worker.processor.deployment
    return {
        "lag": sum(lags.values()),
        "lag_max": lags[worst] if worst else 0,
        "lag_max_tp": worst if worst and lags[worst] else None,
        "inflight_chunks": worker.processor.pending(),
        "rows": worker.processor.blocks.rows,
        "state_mb": round(worker.processor.blocks.nbytes / 1e6, 1),
        "peak_rss_mb": _peak_rss_mb(),
        "model": deployment.scorer.version if deployment else None,
        "generation": worker.consumer_generation_id,
        "partitions": len(lags),
    }


def _peak_rss_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))
