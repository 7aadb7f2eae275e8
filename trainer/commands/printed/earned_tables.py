"""What strategies have earned, on standard output."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Column, Table

from stream.terminal import Terminal, words
from trainer.evaluation.earned.earned import Earned, Line
from trainer.report.earned_page import interval, sentences

_STYLES = {"earns": "green", "loses": "red", "broken": "red", "open": "yellow"}


def print_earned(found: Earned) -> None:
    """The result in sentences, then by strategy and by week."""
    console = Terminal()
    for i, sentence in enumerate(sentences(found)):
        style = _STYLES[found.verdict] if i == 0 else ""
        console.print(words((sentence, style)), soft_wrap=True)
    console.print(_table("strategy", {**found.strategies, "all": found.all}))
    console.print(_table("week of", found.weeks))


def _table(first: str, lines: Mapping[str, Line]) -> Table:
    heads = ("contacts", "rate", "held out", "lift", "per customer", "earned")
    table = Table(first, *(Column(head, justify="right") for head in heads))
    for name, line in lines.items():
        table.add_row(
            name, f"{line.contacts:,}", f"{line.rate:.2%}", f"{line.rate_held_out:.2%}",
            interval(line.lift, "{:+.2%}"), interval(line.per_customer, "{:+,.3f}"),
            interval(line.total, "{:+,.0f}"),
        )  # fmt: skip
    return table
