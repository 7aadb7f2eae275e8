"""What `opportune doctor` found, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Column, Table

from stream.terminal import words
from trainer.doctor.diagnosis import Diagnosis, TopicDiagnosis
from trainer.doctor.paths import PathCount

_SHOWN_MAX = 12


def print_diagnosis(console: Console, found: Diagnosis) -> None:
    """Prints each topic, and the findings last: they stand where a terminal stops."""
    for topic in found.topics:
        console.print(words((topic.topic, "bold")))
        facts = Table.grid(Column(style="dim"), Column(overflow="fold"), padding=(0, 2))
        for label, text in _facts(topic):
            facts.add_row(f"  {label}", text)
        console.print(facts)
        if topic.paths and topic.records:
            console.print(_paths(topic.paths), "")
    if found.dead_letters:
        console.print(words(("Dead letters: ", "bold"), _counts(found.dead_letters)))
    if not found.findings:
        console.print(words(("Nothing found that does not fit the campaign file.", "bold green")))
        return
    console.print(words((f"{len(found.findings)} findings", "bold yellow")))
    for number, finding in enumerate(found.findings, start=1):
        where = f"{finding.topic}: " if finding.topic else ""
        console.print(words((f"{number}. ", "bold"), f"{where}{finding.what}."))
        console.print(words(("   -> ", "dim"), finding.action))


def _facts(topic: TopicDiagnosis) -> Iterator[tuple[str, str]]:
    yield "partitions", f"{topic.partitions}, {topic.held:,} records held"
    span = ""
    if topic.first_ms is not None and topic.last_ms is not None:
        span = f", from {_time(topic.first_ms)} to {_time(topic.last_ms)}"
    yield "sample", f"{topic.records:,} records{span}"
    yield (
        "events",
        f"{topic.events:,} of {topic.customers:,} customers, {topic.repeated:,} repeated",
    )
    if topic.refused:
        yield "no events", _counts(topic.refused)
    yield "forms", _counts(topic.forms)
    keys = topic.keys
    placed = f"; partitioner {keys.partitioner}" if keys.partitioner else ""
    same = topic.events - keys.null - keys.differ
    yield "keys", f"{same:,} the customer, {keys.differ:,} another, {keys.null:,} null{placed}"
    if topic.skew is not None:
        skew = topic.skew
        quantiles = f"1 %: {skew.p01_s:g} s, median: {skew.p50_s:g} s, 99 %: {skew.p99_s:g} s"
        yield "event age", f"{quantiles}; {skew.ahead:,} too far ahead"
    yield "event times", _counts(topic.times)
    yield "types", _counts(topic.types)
    said = _counts(topic.consent) or "nothing said"
    yield "consent", f"{topic.granted:,} customers granted, {topic.denied:,} denied; {said}"
    yield "settings", ", ".join(f"{name}={value}" for name, value in topic.settings.items())


def _paths(paths: tuple[PathCount, ...]) -> Table:
    table = Table(
        Column("path", overflow="fold"), "read as", Column("seen", justify="right"),
        Column("unreadable", justify="right"), Column("what stood there", overflow="fold"),
        Column("such as", overflow="fold"),
    )  # fmt: skip
    for path in paths:
        table.add_row(
            path.path, path.wanted, f"{path.seen:,}", f"{path.unreadable:,}", _counts(path.kinds),
            " | ".join(path.examples),
        )  # fmt: skip
    return table


def _counts(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:_SHOWN_MAX]]
    more = len(counts) - _SHOWN_MAX
    return ", ".join(shown) + (f", and {more} more" if more > 0 else "")


def _time(epoch_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return str(epoch_ms)
