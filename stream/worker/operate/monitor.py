"""What an operator sees of a running worker: summary lines, health file, watchdog."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.errors import OperatorError
from stream.log import log_event
from stream.worker.clock import absurd_times
from stream.worker.telemetry import Totals, Window

if TYPE_CHECKING:
    from stream.worker.faust_app.opportune_app import OpportuneApp

EXIT_STUCK = 70
"""Exit code when the watchdog ends the worker (EX_SOFTWARE of sysexits.h)."""

_totals = Totals()


def start_fields(app: OpportuneApp, partitions: int) -> dict[str, Any]:
    """Everything about this process that a reader of the log may ask for, once."""
    campaign, plan = app.campaign, app.processor.plan
    return {
        "version": version("opportune"),
        "faust": version("faust-streaming"),
        "aiokafka": version("aiokafka"),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "group": campaign.app,
        "bootstrap": app.bootstrap,
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


def stop_fields(app: OpportuneApp) -> dict[str, Any]:
    """What the worker did and left."""
    _totals.add(app.processor.window)
    return {
        "reason": app.stop_reason,
        "events": _totals.records,
        "decisions": _totals.decisions,
        "invalid": _totals.invalid,
        "skipped": app.skips.records,
        "uncommitted_chunks": app.processor.uncommitted,
    }


async def summaries(app: OpportuneApp) -> None:
    """One line an interval, and a touch of the health file."""
    interval_s = app.campaign.worker.summary_interval_s
    health_file = app.campaign.worker.health_file
    while not app.should_stop:
        began_s = time.monotonic()
        await app.sleep(interval_s)
        window, app.processor.window = app.processor.window, Window()
        _totals.add(window)
        fields = window.summary(time.monotonic() - began_s)
        skipped = app.skips.since_last()
        log_event("summary", **fields, skipped=skipped, **_state_fields(app))
        if reason := absurd_times(window.rejects, window.records):
            log_event("clock", level=logging.WARNING, reason=reason)
        touch(health_file)


def check_health_file(health_file: str) -> None:
    """Touches the health file for the first time; without a name there is none.

    Raises:
        OperatorError: It cannot be written.
    """
    if not health_file:
        return
    try:
        Path(health_file).touch()
    except OSError as exc:
        raise OperatorError(
            f"expected a health file that can be written at {health_file}, got {exc.strerror}. "
            "Correct worker.health_file or --health-file"
        ) from exc


def touch(health_file: str) -> None:
    """Touches the health file; that this fails later is not worth a worker."""
    try:
        check_health_file(health_file)
    except OperatorError as exc:
        log_event("health_file", level=logging.WARNING, reason=str(exc))


def _state_fields(app: OpportuneApp) -> dict[str, Any]:
    lags = lags_by_partition(app)
    worst = max(lags, key=lambda tp: lags[tp]) if lags else None
    deployment = app.processor.deployment
    return {
        "lag": sum(lags.values()),
        "lag_max": lags[worst] if worst else 0,
        "lag_max_tp": worst if worst and lags[worst] else None,
        "inflight_chunks": app.processor.pending(),
        "rows": app.processor.blocks.rows,
        "state_mb": round(app.processor.blocks.nbytes / 1e6, 1),
        "peak_rss_mb": peak_rss_mb(),
        "model": deployment.scorer.version if deployment else None,
        "generation": app.consumer_generation_id,
        "partitions": len(lags),
    }


def lags_by_partition(app: OpportuneApp) -> dict[str, int]:
    """Records between the position of each assigned event partition and its end."""
    lags = {}
    for partition, block in app.processor.blocks:
        for topic, position in block.position.items():
            highwater = app.consumer.highwater(_tp(topic, partition))
            if highwater is not None:
                lags[f"{topic}/{partition}"] = max(0, highwater - position)
    return lags


def _tp(topic: str, partition: int) -> Any:
    from faust.types import TP

    return TP(topic, partition)


def peak_rss_mb() -> int:
    """Peak resident memory of the process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10))


async def watchdog(app: OpportuneApp) -> None:
    """Ends a worker that does nothing while there is work: a supervisor can start a better one.

    The first time it writes the stacks of all threads, the second time it exits.
    """
    limit_s = app.campaign.worker.stuck_after_s
    seen: Any = None
    since_s = time.monotonic()
    warned = False
    while not app.should_stop:
        await asyncio.sleep(limit_s / 20)
        # What is durable, not what was computed: without checkpoints that is no progress.
        covered = {p: dict(block.progress.covered) for p, block in app.processor.blocks}
        lag = sum(lags_by_partition(app).values()) + app.processor.pending()
        progress = (covered, app.consumer_generation_id, app.processor.blocks.rows)
        if progress != seen or lag == 0:
            seen, since_s, warned = progress, time.monotonic(), False
            continue
        stuck_s = time.monotonic() - since_s
        if stuck_s < limit_s:
            continue
        log_event("stuck", level=50, for_s=round(stuck_s), lag=lag, last=warned)
        faulthandler.dump_traceback(sys.stderr)
        if warned:
            os._exit(EXIT_STUCK)
        warned, since_s = True, time.monotonic()
