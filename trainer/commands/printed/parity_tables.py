"""A parity report for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.keys.spread import Spread
from stream.terminal import words
from trainer.examples.notices.history_notices import scattered
from trainer.parity.result import Difference, FeatureParity, Finding, Parity, Where


def print_parity(console: Console, parity: Parity) -> None:
    """Prints what was compared, what differs, and why."""
    sample = "" if parity.customers_share >= 1 else f", a sample of {parity.customers_share:.2%}"
    console.print(
        words(
            (parity.app, "bold"),
            f", feature contract {parity.contract}: {parity.decisions:,} decisions of "
            f"{len(parity.models)} models, {parity.events:,} events of {parity.customers:,} "
            f"customers{sample}.",
        )
    )
    console.print(
        words(
            f"{parity.compared:,} vectors of {len(parity.features)} features and "
            f"{parity.compared_customers:,} customers compared, ",
            (f"{parity.equal:,} bit-equal ({_share(parity)})", "bold"),
            f"; {parity.different_bytes:,} of {parity.compared_bytes:,} bytes differ. "
            f"{parity.repeated:,} decisions were repeated, {parity.undecided_yet:,} events are not "
            "decided yet.",
        )
    )
    said = (
        f"{parity.conclusive:,} vectors of {parity.conclusive_customers:,} customers say something"
    )
    told = ": they are equal, or nothing explains the difference."
    console.print(words((said, "bold"), told))
    different = [feature for feature in parity.features if feature.differences]
    if different:
        console.print(_feature_table(different))
    if parity.findings:
        console.print(_finding_table(parity.findings))
    if parity.customers_in_several_partitions or parity.partitioners:
        console.print(_scattered(parity))
    console.print(_verdict(parity))


def _scattered(parity: Parity) -> Text:
    spread = Spread(parity.customers, parity.customers_in_several_partitions)
    return words(("warning: ", "yellow"), f"{scattered(spread, parity.partitioners)}.")


def _share(parity: Parity) -> str:
    """Never rounded up to 100 %."""
    if parity.compared == 0:
        return "nothing"
    if parity.equal == parity.compared:
        return "100 %"
    return f"{min(parity.equal / parity.compared, 0.999999):.4%}"


def _verdict(parity: Parity) -> Text:
    if parity.compared == 0:
        return words(
            ("Nothing could be compared.", "bold red"),
            " Let a worker decide first, and look at the bootstrap address and the registry",
        )
    if parity.faults:
        return words((f"{parity.faults:,} differences without explanation.", "bold red"))
    if parity.inconclusive:
        return words(
            ("Almost nothing could be compared in earnest", "bold red"),
            f": {parity.conclusive:,} of {parity.decisions:,} decisions. The causes say why; what "
            "retention removed of the events may be in an archive (--archive)",
        )
    if parity.equal < parity.compared:
        return words(("Every difference is explained.", "bold yellow"))
    return words(("Serving and replay are the same.", "bold green"))


def _feature_table(features: list[FeatureParity]) -> Table:
    table = Table("feature", title="Features that differ", title_justify="left")
    for column in ("vectors", "unexplained", "largest", "relative"):
        table.add_column(column, justify="right")
    for column in ("first", "logged", "replayed"):
        table.add_column(column, overflow="fold")
    for feature in features:
        first = feature.first
        table.add_row(
            feature.name,
            f"{feature.differences:,}",
            f"{feature.unexplained:,}",
            _number(feature.largest),
            f"{feature.relative:.2g}",
            *_difference(first),
        )
    return table


def _difference(first: Difference | None) -> tuple[str, str, str]:
    if first is None:
        return "", "", ""
    return _where(first.where), _number(first.logged), _number(first.replayed)


def _finding_table(findings: tuple[Finding, ...]) -> Table:
    table = Table("cause", title="Causes", title_justify="left")
    table.add_column("count", justify="right")
    table.add_column("first", overflow="fold")
    table.add_column("meaning")
    for finding in findings:
        style = "" if finding.explains else "bold red"
        table.add_row(
            words((finding.cause, style)),
            f"{finding.count:,}",
            _where(finding.first),
            finding.meaning,
        )
    return table


def _where(where: Where) -> str:
    customer = "" if where.customer is None else f" {where.customer}"
    index = "" if where.index is None else f"[{where.index}]"
    return f"{where.topic}/{where.partition}@{where.offset}{index}{customer}"


def _number(value: float | None) -> str:
    """All digits that tell one float32 from another."""
    return "not finite" if value is None else f"{value:.9g}"
