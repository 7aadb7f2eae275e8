"""How soon a worker is back: its table restored from the changelog, and only the tail read.

One event of every customer fills the changelog. The worker is stopped, or killed, and started again
in the same group. Then further events of the same customers prove that what was restored is what was
there: the referee recomputes the decisions about all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.reference.contestants import Job, opportune
from benchmarks.reference.input import Input, generate, load
from benchmarks.reference.verify import Verdict
from benchmarks.worker_process import WorkerProcess

_TAIL_EVENTS_MAX = 10_000


@dataclass(frozen=True)
class Restore:
    """What a restart took.

    Attributes:
        customers: Rows that were in the table.
        crash: Whether the worker was killed rather than stopped.
        start_to_ready_s: From the start of the process until it had checked its topics.
        start_to_begin_s: From the start of the process until it read events.
        restore_s: Of that the reading of snapshots and changelog, by the worker's own log.
        rows: Rows that were restored.
        records: Changelog records that were read for it.
        reread_events: Events that were read although they had been decided.
        row_bytes: Size of a row.
        state_bytes: Size of the whole table with its index.
        verdict: What the referee says of the decisions before and after.
    """

    customers: int
    crash: bool
    start_to_ready_s: float
    start_to_begin_s: float
    restore_s: float
    rows: int
    records: int
    reread_events: int
    row_bytes: int
    state_bytes: int
    verdict: Verdict

    @property
    def rows_per_second(self) -> float:
        """Restored rows a second."""
        return self.rows / self.restore_s if self.restore_s > 0 else float("nan")

    @property
    def state_bytes_per_customer(self) -> float:
        """What a customer takes in memory."""
        return self.state_bytes / self.rows

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, repeated or read twice."""
        return self.verdict.clean and self.rows == self.customers and self.reread_events == 0


def measure_restore(bench: Bench, *, crash: bool, snapshots: bool) -> Restore:
    """Fills a table, restarts its worker and goes on."""
    customers = bench.customers
    events = _input(customers)
    start = opportune("flat", snapshots=snapshots)
    with bench.job() as job:
        with bench.steps.step("restore: loading", customers) as advance:
            load(bench.cluster, job.events, events.slice(0, customers), advance)
        with bench.steps.step("restore: filling the table", customers), start(job) as worker:
            _fill(job, worker, customers)
            if crash:
                worker.kill()
            else:
                worker.stop()
        with start(job) as worker:
            with bench.steps.step("restore: starting again"):
                worker.wait_for_line("begin", bench.cluster.partitions)
            tail = events.slice(customers, len(events))
            with bench.steps.step("restore: going on", len(tail)):
                load(bench.cluster, job.events, tail)
                decided = partial(bench.cluster.records, job.decisions)
                worker.wait_until("decisions", decided, len(events))
                worker.wait_for_line("summary")
            worker.stop()
            with bench.steps.step("restore: verifying"):
                return _result(customers, crash, worker, job.judge("flat")[2])


def _input(customers: int) -> Input:
    """One event of every customer, then some of the usual ones."""
    events = generate(customers + min(customers, _TAIL_EVENTS_MAX), customers)
    customer = events.customer.copy()
    customer[:customers] = np.arange(customers)
    return replace(events, customer=customer)


def _fill(job: Job, worker: WorkerProcess, customers: int) -> None:
    """Returns when the worker has decided and covered all events: then the changelog holds them."""
    decided = partial(job.cluster.records, job.decisions)
    covered = partial(job.cluster.committed, job.name, job.events)
    worker.wait_until("decisions", decided, customers)
    worker.wait_until("committed events", covered, customers)


def _result(customers: int, crash: bool, worker: WorkerProcess, verdict: Verdict) -> Restore:
    ready = _one(worker, "start")
    begins = worker.lines("begin")
    # With a snapshot of everything there is nothing to restore, and no line about it.
    restores = [line for line in worker.lines("restore") if line["done"]]
    snapshots = worker.lines("snapshot_used")
    if not restores and not snapshots:
        raise BenchmarkError("expected a line of a finished restore in the worker's log, got none")
    state = worker.lines("summary")[-1]
    return Restore(
        customers=customers,
        crash=crash,
        start_to_ready_s=_since_start_s(worker, ready),
        start_to_begin_s=min(_since_start_s(worker, line) for line in begins),
        restore_s=sum(line["elapsed_s"] for line in restores)
        + sum(line["took_ms"] for line in snapshots) / 1e3,
        rows=sum(line["rows"] for line in begins),
        records=sum(line["records"] for line in restores),
        reread_events=customers - sum(line["offset"] for line in begins),
        row_bytes=ready["row_bytes"],
        state_bytes=round(state["state_mb"] * 1e6),
        verdict=verdict,
    )


def _one(worker: WorkerProcess, evt: str) -> dict[str, Any]:
    lines = worker.lines(evt)
    if len(lines) != 1:
        raise BenchmarkError(f"expected one line evt={evt} in the log, got {len(lines)}")
    return lines[0]


def _since_start_s(worker: WorkerProcess, line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["ts"]).timestamp() - worker.start_ms / 1000
