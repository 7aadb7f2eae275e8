"""`opportune worker` and `opportune check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from stream.campaign import file as campaign_file
from stream.campaign.file import Campaign
from stream.campaign.options import BOOTSTRAP, CAMPAIGN, with_registry


@click.command()
@CAMPAIGN
@BOOTSTRAP
@click.option("--registry", envvar="OPPORTUNE_REGISTRY", help="Model registry, a path or URL.")
@click.option(
    "--health-file",
    envvar="OPPORTUNE_HEALTH_FILE",
    help="File touched with every summary line, for probes.",
)
@click.option(
    "--snapshots",
    envvar="OPPORTUNE_SNAPSHOTS",
    help="Folder that keeps the table while the worker is stopped, for a quick start.",
)
@click.option(
    "--log-format",
    envvar="OPPORTUNE_LOG_FORMAT",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
)
@click.option(
    "--log-level",
    envvar="OPPORTUNE_LOG_LEVEL",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
def worker(
    campaign: Path,
    bootstrap: str | None,
    registry: str | None,
    health_file: str | None,
    snapshots: str | None,
    log_format: str,
    log_level: str,
) -> None:
    """Consume events and publish decisions, until told to stop.

    CAMPAIGN is the campaign file. Workers with the same file share the partitions. Ctrl-C or SIGTERM
    finishes what is in work, commits and exits with 0, and a second time ends it at once (130, 143);
    2 means that something has to be changed first, 70 that the worker was stuck, 1 any other crash.
    """
    from stream.worker.commands.run import run_worker

    loaded = load_for_worker(campaign, registry, health_file=health_file, snapshots=snapshots)
    run_worker(loaded, bootstrap, log_format, log_level)


@click.command()
@CAMPAIGN
@click.option(
    "--explain",
    metavar="FEATURE",
    help="All about one feature instead: what it is made of, its words in a row, who asks for it. Also "
    'the beginning of names, or a pattern such as "*_7d".',
)
@click.option(
    "--registry",
    help="Compare with the champion of this registry: which strategies it does not know; with --explain its "
    "mean and deviation of the feature.",
)
@click.option(
    "--schema",
    is_flag=True,
    help="Print the JSON Schema of campaign files instead, for editors that complete and check them.",
)
def check(campaign: Path, explain: str | None, registry: str | None, schema: bool) -> None:
    """Validate a campaign file and show what it compiles to."""
    if schema:
        from stream.campaign.json_schema import campaign_schema

        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(campaign_schema())) + b"\n")
        return
    from stream.worker.commands.describe import describe_campaign
    from stream.worker.commands.explained import explain_features

    if explain is not None:
        explain_features(campaign, campaign_file.load(campaign), explain, registry)
    else:
        describe_campaign(campaign, campaign_file.load(campaign), registry)


def load_for_worker(campaign: Path, registry: str | None, **files: str | None) -> Campaign:
    """The campaign file with what the command line or the environment says instead of it.

    Args:
        campaign: The campaign file.
        registry: See `with_registry`.
        files: Fields of its section `worker`; None leaves one as it is.
    """
    loaded = with_registry(campaign_file.load(campaign), registry)
    said: dict[str, Any] = {name: value for name, value in files.items() if value}
    spec = msgspec.structs.replace(loaded.worker, **said)
    return msgspec.structs.replace(loaded, worker=spec)
