"""`opportune archive`, `opportune erase` and `opportune compact`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from stream.campaign import file as campaign_file
from stream.campaign.options import BOOTSTRAP, CAMPAIGN
from stream.kafka.skip_list import ReadRules
from stream.kafka.skip_report import log_skip_list
from stream.log import LogFormat, configure, log_event
from stream.visible import visible
from trainer.commands.printed.progress import counting

if TYPE_CHECKING:
    from trainer.archive.archiver import Archiver, Summary

EXIT_INCOMPLETE = 1
"""Exit code of --once when it was told to stop before the end."""
EXIT_UNKNOWN_CUSTOMER = 3
"""Exit code of an erasure of a customer of whom there was no record: most often the id is mistyped."""


@click.command()
@CAMPAIGN
@click.option(
    "--to",
    "root",
    envvar="OPPORTUNE_ARCHIVE",
    required=True,
    metavar="FOLDER",
    help="Folder of the archive, a path or URL.",
)
@BOOTSTRAP
@click.option(
    "--topic",
    "topics",
    multiple=True,
    help="Topic to archive; may be repeated. Without it: the event topics and the decision topic.",
)
@click.option(
    "--follow/--once",
    default=True,
    show_default=True,
    help="Go on until told to stop, or to where the topics end now.",
)
@click.option(
    "--buckets",
    type=click.IntRange(1, 100),
    default=8,
    show_default=True,
    help="Buckets of customers of a new archive; an existing one keeps its own.",
)
@click.option(
    "--flush-records",
    type=click.IntRange(1, 50_000_000),
    default=500_000,
    show_default=True,
    help="Write files when so many records of a partition wait.",
)
@click.option(
    "--flush-s",
    type=click.FloatRange(0.1, 86_400),
    default=21_600.0,
    show_default=True,
    help="Write files when records have waited for so many seconds.",
)
@click.option(
    "--memory-mb",
    type=click.IntRange(1, 1_000_000),
    default=512,
    show_default=True,
    help="Write files when what waits is so large.",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def archive(
    campaign: Path,
    root: str,
    bootstrap: str | None,
    topics: tuple[str, ...],
    follow: bool,
    buckets: int,
    flush_records: int,
    flush_s: float,
    memory_mb: int,
    log_format: str,
) -> None:
    """Copy topics to Parquet files, so that training does not depend on their retention.

    CAMPAIGN is the campaign file. Started again, it goes on where the archive ends. Ctrl-C or SIGTERM
    writes what was read and exits with 0, or with 1 when --once did not come to the end; 2 means that
    something has to be changed first. See docs/archive.md.
    """  # fmt: skip
    from trainer.archive.archiver import Archiver, Limits
    from trainer.archive.folder import Archive

    loaded = campaign_file.load(campaign)
    rules = ReadRules.of(loaded)
    named = topics or (*loaded.topics.events, loaded.topics.decisions)
    there = Archive.open_or_create(root, buckets)
    archiver = Archiver(
        there,
        bootstrap or loaded.bootstrap,
        tuple(dict.fromkeys(named)),
        Limits(flush_records, flush_s, memory_mb * 1_000_000),
        follow=follow,
        rules=rules,
    )
    if follow:
        configure(cast(LogFormat, log_format))
        log_skip_list(rules)
        _follow(archiver)
    else:
        _once(archiver, root, log_format)


def _follow(archiver: Archiver) -> None:
    """Logs each flush until a signal."""
    summary = asyncio.run(_until_signal(archiver))
    log_event(
        "stop",
        records=summary.records,
        files=summary.files,
        mb=round(summary.size_bytes / 1e6, 3),
    )


def _once(archiver: Archiver, root: str, log_format: str) -> None:
    """Shows progress and what an operator has to know, then the sum."""
    with counting("Archiving", "records") as archiver.on_records:
        # Within the bars, which go round its lines.
        configure(cast(LogFormat, log_format), "warning")
        # Trouble with the broker is told by the error; aiokafka also tells what it then tries again.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        log_skip_list(archiver.rules)
        summary = asyncio.run(_until_signal(archiver))
    click.echo(
        f"{summary.records:,} records in {summary.files:,} files, "
        f"{summary.size_bytes / 1e6:,.1f} MB, are new in {visible(root)}"
    )
    if not summary.complete:
        click.echo("Stopped before the end; started again, it goes on from here.", err=True)
        sys.exit(EXIT_INCOMPLETE)


async def _until_signal(archiver: Archiver) -> Summary:
    stop = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, stop.set)
    return await archiver.run(stop)


@click.command()
@click.argument("root", metavar="FOLDER", envvar="OPPORTUNE_ARCHIVE")
@click.option("--customer", help="Delete the records with this key.")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Delete the records with a timestamp before this UTC day.",
)
@click.option("--topic", "topics", multiple=True, help="Only of this topic; may be repeated.")
@click.confirmation_option(prompt="There is no way back. Delete?")
def erase(
    root: str, customer: str | None, before: datetime | None, topics: tuple[str, ...]
) -> None:
    """Delete a customer or old days from an archive.

    FOLDER is the archive; an archiver may be running. What Kafka holds, and what an archiver has read
    and not yet written, is not touched. The exit code is 3 when there was no record of the customer:
    the id has to be the key of the records, byte for byte.
    """
    from trainer.archive.erase import erase_before, erase_customer
    from trainer.archive.folder import Archive

    if (customer is None) == (before is None):
        raise click.UsageError("Name either --customer or --before.")
    there = Archive.open(root)
    named = topics or there.topics()
    if customer is not None:
        erased = erase_customer(there, named, customer.encode())
    else:
        assert before is not None, "one of them is named"
        erased = erase_before(there, named, before.date().isoformat())
    click.echo(
        f"{erased.records:,} records deleted from {visible(root)}: {erased.rewritten:,} files written anew, "
        f"{erased.removed:,} removed"
    )
    if customer is not None and erased.records == 0:
        click.echo(f"opportune: {_nobody(customer, named)}", err=True)
        sys.exit(EXIT_UNKNOWN_CUSTOMER)


def _nobody(customer: str, topics: Sequence[str]) -> str:
    """Why there may have been no record of a customer, and what to try."""
    told = (
        f"expected records with the key {visible(customer)} in {', '.join(map(visible, topics))}, "
        "found none, and deleted nothing. "
    )
    bare = customer.strip().strip("\"'")
    if bare != customer:
        return (
            f"{told}Operator action: the id has quotes or blanks around it, which belong to the key; "
            f"try --customer {visible(bare)}"
        )
    return (
        f"{told}Operator action: look at the id, which is compared byte for byte, and whether records are "
        "keyed by customer; whoever was erased before is not there either"
    )


@click.command()
@click.argument("root", metavar="FOLDER", envvar="OPPORTUNE_ARCHIVE")
@click.option("--topic", "topics", multiple=True, help="Only of this topic; may be repeated.")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Merge the files of UTC days before this one; without it, of the days before today.",
)
@click.option(
    "--target-mb",
    type=click.IntRange(1, 10_000),
    default=32,
    show_default=True,
    help="Merge no more than this into one flush; whoever reads holds two of them, uncompressed.",
)
def compact(root: str, topics: tuple[str, ...], before: datetime | None, target_mb: int) -> None:
    """Merge the small files of an archive into larger ones.

    FOLDER is the archive; an archiver may be running, and whoever reads. The files of one partition,
    day and bucket become one. Interrupted at any point, nothing is lost: run it again. The exit code is
    0 also when there was nothing to merge, and 2 when something has to be changed first.
    """  # fmt: skip
    from trainer.archive.compact import compact as merge
    from trainer.archive.folder import Archive

    there = Archive.open(root)
    day = (before or datetime.now(UTC)).date().isoformat()
    with counting("Merging", "files") as on_files:
        done = merge(there, topics or there.topics(), day, target_mb * 1_000_000, on_files)
    if done.files_before == 0:
        click.echo(f"Nothing to merge before {day} in {visible(root)}")
        return
    click.echo(
        f"{done.files_before:,} files merged into {done.files_after:,} in {visible(root)}: "
        f"{done.records:,} records before {day}"
    )
