"""`opportune redrive`: dead letters go back to their event topics once they can be read."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import click
from rich.table import Column, Table

from stream.campaign import file as campaign_file
from stream.campaign.options import BOOTSTRAP, CAMPAIGN
from stream.events.present import RejectCode
from stream.terminal import Terminal
from stream.visible import visible
from trainer.commands.options.history_options import EventTime
from trainer.commands.printed.progress import counting
from trainer.redrive.letters import Fate, Wanted
from trainer.redrive.sending import Redrive, Summary
from trainer.redrive.sent import SentLetters

EXIT_INCOMPLETE = 1
"""Exit code when --limit ended it: there are more letters that could be sent."""


@click.command()
@CAMPAIGN
@click.option(
    "--reason",
    "codes",
    multiple=True,
    metavar="CODE",
    help="Only letters with this reason, such as bad_type; may be repeated.",
)
@click.option(
    "--topic", "topics", multiple=True, help="Only letters from this event topic; may be repeated."
)
@click.option("--since", type=EventTime(), help="Only records with this timestamp or a later one.")
@click.option("--until", type=EventTime(), help="Only records with a timestamp before this one.")
@click.option("--limit", type=click.IntRange(1), help="Send no more than so many.")
@click.option("--yes", is_flag=True, help="Send. Without it nothing is sent, only shown.")
@click.option(
    "--sent",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that remembers which letters were sent; APP-redriven.json beside the campaign file.",
)
@BOOTSTRAP
def redrive(
    campaign: Path,
    codes: tuple[str, ...],
    topics: tuple[str, ...],
    since: int | None,
    until: int | None,
    limit: int | None,
    yes: bool,
    sent: Path | None,
    bootstrap: str | None,
) -> None:
    """Send dead letters back to their event topics, after the campaign file was mended.

    CAMPAIGN is the campaign file as it is now. A letter whose record would still be refused stays
    where it is. What is sent has the key, value, timestamp and partition of the record, and the header
    opportune-redriven. Without --yes it is only shown what would be sent.

    No letter is sent twice: a file remembers them, and the next run goes on after them. Restart the
    workers with the mended campaign file first: a worker with the old one would refuse all again.

    Exit codes: 0 all that can be read is sent, or shown; 1 --limit was reached, or it was interrupted;
    2 something has to be changed first.
    """
    loaded = campaign_file.load(campaign)
    unknown = sorted(set(codes) - set(get_args(RejectCode)))
    if unknown:
        known = ", ".join(get_args(RejectCode))
        raise click.UsageError(f"--reason: expected one of {known}, got {', '.join(unknown)}.")
    strange = sorted(set(topics) - set(loaded.topics.events))
    if strange:
        known = ", ".join(loaded.topics.events)
        raise click.UsageError(f"--topic: expected one of {known}, got {', '.join(strange)}.")
    path = sent or campaign.with_name(f"{loaded.app}-redriven.json")
    before = SentLetters(path, loaded.topics.dead_letter)
    with counting("Reading letters", "letters") as on_letters:
        summary = Redrive(
            loaded,
            bootstrap or loaded.bootstrap,
            Wanted(frozenset(codes), frozenset(topics), since, until),
            before,
            limit=limit,
            sends=yes,
            on_letters=on_letters,
        ).run()
    _show(summary, path, sends=yes)
    if not summary.complete:
        sys.exit(EXIT_INCOMPLETE)


def _show(summary: Summary, path: Path, *, sends: bool) -> None:
    """The letters by reason and topic, and what became of them."""
    console = Terminal()
    table = Table(
        "reason", Column("topic", overflow="fold"), "readable now", "still refused", "other"
    )
    groups: dict[tuple[str, str], Counter[Fate]] = {}
    for (code, topic, fate), count in summary.letters.items():
        groups.setdefault((code, topic), Counter())[fate] += count
    for (code, topic), fates in sorted(groups.items()):
        other = fates.total() - fates[Fate.READABLE] - fates[Fate.REFUSED]
        numbers = (fates[Fate.READABLE], fates[Fate.REFUSED], other)
        table.add_row(visible(code), visible(topic), *(f"{number:,}" for number in numbers))
    if groups:
        console.print(table)
    for fate in (Fate.CUT, Fate.ELSEWHERE, Fate.NO_LETTER):
        if summary.count(fate):
            console.print(f"{summary.count(fate):,} {fate.value}")
    for example in summary.examples:
        console.print(f"still refused: {visible(example)}", markup=False, highlight=False)
    if summary.before:
        console.print(f"{summary.before:,} letters were sent by earlier runs, as {path} says")
    if sends:
        console.print(f"{summary.sent:,} records sent back to their event topics")
    else:
        readable = summary.count(Fate.READABLE)
        console.print(f"{readable:,} records would be sent back; nothing is sent without --yes")
    if not summary.complete:
        console.print("--limit was reached: started again, it goes on from here")
