"""What the commands on models print for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from models.promotions import Move
from stream.terminal import words
from trainer.commands.printed.entry import Changed, Difference, Entry, network_words
from trainer.gate.gate import Verdict

_SHIFTS_SHOWN = 10


def versions(entries: Mapping[str, Entry | str], marks: Mapping[str, Sequence[str]]) -> Table:
    """A line for each version; a text in the place of an entry says what is wrong with it."""
    table = Table(
        Column("version", no_wrap=True), Column("", no_wrap=True), Column("age", no_wrap=True),
        "metric; network, head, features", box=None, pad_edge=False,
    )  # fmt: skip
    now = datetime.now(UTC)
    for name, entry in entries.items():
        mark = Text("\n".join(marks.get(name, ())), style="bold")
        if isinstance(entry, str):
            table.add_row(name, mark, Text("damaged", style="red"), entry)
            continue
        manifest = entry.manifest
        features = f"{len(manifest.contract.names)} {manifest.contract_digest[:8]}"
        network = f"{network_words(manifest.network)}, {manifest.network.head}"
        made = words((f"{network}, {features}", "dim"))
        what = Text("\n").join([words(entry.headline), made]) if entry.headline else made
        table.add_row(name, mark, _age((now - manifest.created).total_seconds()), what)
    return table


def version(entry: Entry, marks: Sequence[str]) -> list[RenderableType]:
    """Everything about one version."""
    manifest = entry.manifest
    facts = _facts()
    for name, value in (
        ("version", manifest.version),
        ("pointers", marks),
        ("created", f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC"),
        ("data", f"{_time(manifest.window.start_ms)} to {_time(manifest.window.end_ms)}"),
        ("strategies", ", ".join(manifest.strategies)),
        ("contract", f"{manifest.contract_digest}, {len(manifest.contract.names)} features"),
        ("files", ", ".join(f"{k} {v.bytes:,} bytes" for k, v in manifest.files.items())),
        *entry.settings.items(),
    ):
        facts.add_row(name, _value(value))
    return [facts, _metrics(manifest.metrics), _checks(entry.verdict), _normalization(entry)]


def difference(found: Difference) -> list[RenderableType]:
    """What differs, part by part."""
    parts = Table("", Column(found.before, overflow="fold"), Column(found.after, overflow="fold"))
    for change in found.window_ms:
        parts.add_row(f"data {change.name[:-3]}", _time(change.before), _time(change.after))
    for change in found.settings:
        parts.add_row(change.name, _value(change.before), _value(change.after))
    parts.add_row("verdict", *found.verdicts)
    metrics = Table("metric", *(Column(name, justify="right") for name in ("before", "after", "")))
    for change in found.metrics:
        metrics.add_row(change.name, *_numbers(change))
    lists = [
        words(f"{what}: {', '.join(names)}")
        for what, names in (
            ("strategies added", found.strategies_added),
            ("strategies removed", found.strategies_removed),
            ("features added", found.features_added),
            ("features removed", found.features_removed),
        )
        if names
    ]
    title = f"Largest shifts of {len(found.shifts)} features in both"
    shifts = Table("feature", "mean, in std", "std ratio", title=title, title_justify="left")
    for shift in found.shifts[:_SHIFTS_SHOWN]:
        shifts.add_row(shift.feature, f"{shift.shift:+.3f}", f"{shift.ratio:.3f}")
    return [parts, metrics, *lists, shifts]


def history(moves: Sequence[Move]) -> Table:
    """A line for each move of the champion."""
    table = Table("#", "time, UTC", "by", "what", "champion", "before", "why", box=None)
    for move in moves:
        table.add_row(
            str(move.number), f"{move.time:%Y-%m-%d %H:%M:%S}", move.by, move.action,
            move.champion, move.before or "", move.why,
        )  # fmt: skip
    return table


def _checks(verdict: Verdict | None) -> RenderableType:
    if verdict is None:
        return Text("Not judged by the gate")
    word = "promote" if verdict.promote else "do not promote"
    title = f"Verdict: {word}, compared with {verdict.opponent}"
    table = Table("check", "", "expected", "got", "why", title=title, title_justify="left")
    for check in verdict.checks:
        passed = Text("yes", style="green") if check.passed else Text("no", style="red")
        table.add_row(check.name, passed, check.expected, check.got, check.why)
    return table


def _metrics(metrics: Mapping[str, float]) -> RenderableType:
    table = Table("metric", Column("value", justify="right"))
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    return table if metrics else Text("No metrics")


def _normalization(entry: Entry) -> Table:
    constants, names = entry.manifest.normalization, entry.manifest.contract.names
    table = Table("#", "feature", *(Column(name, justify="right") for name in ("mean", "std")))
    for i, (name, mean, std) in enumerate(zip(names, constants.mean, constants.std, strict=True)):
        table.add_row(str(i), name, f"{mean:.4g}", f"{std:.4g}")
    return table


def _facts() -> Table:
    return Table("", Column("", overflow="fold"), show_header=False, box=None, pad_edge=False)


def _numbers(change: Changed) -> tuple[str, str, str]:
    before, after = change.before, change.after
    both = before is not None and after is not None
    return (
        "" if before is None else f"{before:.4f}",
        "" if after is None else f"{after:.4f}",
        f"{after - before:+.4f}" if both else "",
    )


def _value(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _time(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d %H:%M}"


def _age(seconds: float) -> str:
    for unit, size_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
