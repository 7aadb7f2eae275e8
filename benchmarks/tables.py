"""What a benchmark found, as tables for people, on standard output."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.latency import Latency
from benchmarks.reference.run import ReferenceResult
from benchmarks.reference.throughput import Throughput
from benchmarks.restore import Restore


def print_reference(result: ReferenceResult) -> None:
    """The comparison, side by side."""
    columns = {"Opportune": result.opportune}
    if result.naive is not None:
        columns["naive Faust"] = result.naive
    if result.cloudevents is not None:
        columns["CloudEvents"] = result.cloudevents
    rows = [(title, [form(one) for one in columns.values()]) for title, form in _ROWS]
    title = (
        f"Reference job: {result.plan.customers:,} customers, {result.plan.partitions} partitions"
    )
    _print(title, list(columns), rows)
    console = Console()
    if result.ratio is not None and result.ratio_from_first is not None:
        console.print(
            f"Ratio to naive Faust: [bold]{_shown(result.ratio, 1)}[/bold], "
            f"after the first decision {_shown(result.ratio_from_first, 1)}"
        )
    console.print(
        f"Latency at {result.plan.pace.rate:,} events a second: p50 {result.latency.p50_ms:.0f} ms, "
        f"p99 {result.latency.p99_ms:.0f} ms"
    )


def print_latency(latency: Latency, rate: int) -> None:
    """The quantiles."""
    names = ["p50", "p90", "p99", "p99.9", "max"]
    values = [latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms]
    _print("Latency, ms", names, [("event to decision", [f"{value:.0f}" for value in values])])
    Console().print(
        f"{latency.events:,} events, {latency.rate_kept:,.0f} of {rate:,} a second kept, "
        f"{latency.missing} without a decision"
    )


def print_restore(restore: Restore) -> None:
    """The times and sizes."""
    rows = [
        ("rows restored", f"{restore.rows:,}"),
        ("changelog records read", f"{restore.records:,}"),
        ("restore", f"{restore.restore_s:.2f} s"),
        ("rows a second", _shown(restore.rows_per_second)),
        ("process start to topics checked", f"{restore.start_to_ready_s:.1f} s"),
        ("process start to first read", f"{restore.start_to_begin_s:.1f} s"),
        ("events read again", f"{restore.reread_events:,}"),
        ("state bytes a customer", f"{restore.state_bytes_per_customer:.0f}"),
        ("row bytes", f"{restore.row_bytes}"),
        ("agree after the restart", f"{restore.verdict.agree:.4%}"),
        ("missing, duplicates", f"{restore.verdict.missing}, {restore.verdict.duplicates}"),
    ]
    title = f"Restart after {'a kill' if restore.crash else 'a stop'}"
    _print(title, ["value"], [(name, [value]) for name, value in rows])


def _shown(value: float, digits: int = 0) -> str:
    return "too few events" if math.isnan(value) else f"{value:,.{digits}f}"


def _print(title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for name, values in rows:
        table.add_row(name, *values)
    Console().print(table)


_ROWS: tuple[tuple[str, Callable[[Throughput], str]], ...] = (
    ("decisions/s, marginal", lambda one: _shown(one.per_second)),
    ("  counted from", lambda one: one.basis),
    ("decisions/s, after the first", lambda one: _shown(one.per_second_from_first)),
    ("decisions/s, span", lambda one: _shown(one.span_per_second)),
    ("CPU seconds/million events", lambda one: _shown(one.cpu_s_per_million, 1)),
    ("peak memory, MiB", lambda one: _shown(one.peak_rss_mib)),
    ("agree with the referee", lambda one: f"{one.agree:.4%}"),
    ("missing, duplicates", lambda one: f"{one.faults('missing')}, {one.faults('duplicates')}"),
    ("wrong partition", lambda one: f"{one.faults('wrong_partition')}"),
)
