"""`opportune doctor`."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import click
import msgspec

from stream.campaign import file as campaign_file
from stream.campaign.options import BOOTSTRAP, CAMPAIGN, with_registry
from stream.terminal import Terminal
from trainer.commands.options.registry import REGISTRY
from trainer.commands.printed.progress import counting

EXIT_FINDINGS = 1
"""Exit code when there is something to act on."""


@click.command()
@CAMPAIGN
@BOOTSTRAP
@REGISTRY
@click.option(
    "--sample",
    "records",
    type=click.IntRange(1, 1_000_000),
    default=10_000,
    show_default=True,
    help="Most records of each topic, alike from each partition.",
)
@click.option(
    "--from-beginning", "oldest", is_flag=True, help="Look at the oldest records, not the newest."
)
@click.option(
    "--examples",
    is_flag=True,
    help="Show ids of customers and events as they are: they are personal data, and shown by their shape "
    "without this.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def doctor(
    campaign: Path,
    bootstrap: str | None,
    registry: str | None,
    records: int,
    oldest: bool,
    examples: bool,
    as_json: bool,
) -> None:
    """Look at the event topics and say what does not fit the campaign file.

    CAMPAIGN is the campaign file. A sample of each event topic is read, in nobody's consumer group, and
    nothing is written: forms, keys and partitioners, times, event types, each path that the campaign file
    names, consent, repetitions, settings of the topics, the champion. It ends with a numbered list of
    findings, each with what to do. The exit code is 0 without findings, 1 with some, and 2 when it cannot
    look: a wrong campaign file, no broker, no topic.
    """
    # Trouble with the broker is told by the error; aiokafka also tells what it then tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    from trainer.commands.printed.doctor_tables import print_diagnosis
    from trainer.doctor.doctor import diagnose

    loaded = with_registry(campaign_file.load(campaign), registry)
    with counting("Reading", "records") as on_records:
        found = diagnose(
            loaded,
            bootstrap or loaded.bootstrap,
            loaded.model.registry,
            records=records,
            now_ms=time.time_ns() // 1_000_000,
            oldest=oldest,
            shows_examples=examples,
            on_records=on_records,
        )
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        print_diagnosis(Terminal(), found)
    if found.findings:
        raise SystemExit(EXIT_FINDINGS)
