"""`opportune worker` and `opportune check`."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from stream import campaign as campaign_file
from stream.campaign import Campaign

CAMPAIGN = click.argument("campaign", type=click.Path(path_type=Path), default="opportune.toml")


@click.command()
@CAMPAIGN
@click.option("--bootstrap", envvar="OPPORTUNE_BOOTSTRAP", help="Kafka address, host:port.")
@click.option("--registry", envvar="OPPORTUNE_REGISTRY", help="Model registry, a path or URL.")
@click.option(
    "--health-file",
    envvar="OPPORTUNE_HEALTH_FILE",
    help="File touched with every summary line, for probes.",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
def worker(
    campaign: Path,
    bootstrap: str | None,
    registry: str | None,
    health_file: str | None,
    log_format: str,
    log_level: str,
) -> None:
    """Consume events and publish decisions, until told to stop.

    CAMPAIGN is the campaign file. Workers with the same file share the partitions. Ctrl-C or SIGTERM
    finishes what is in work, commits and exits with 0; 2 means that something has to be changed
    first, 70 that the worker was stuck, 1 any other crash.
    """
    os.environ.setdefault("NO_CYTHON", "1")  # Faust: its compiled stream acknowledges by itself
    from stream.worker.run import run_worker

    loaded = with_registry(campaign_file.load(campaign), registry)
    if health_file:
        spec = msgspec.structs.replace(loaded.worker, health_file=health_file)
        loaded = msgspec.structs.replace(loaded, worker=spec)
    run_worker(loaded, bootstrap, log_format, log_level)


@click.command()
@CAMPAIGN
def check(campaign: Path) -> None:
    """Validate a campaign file and show what it compiles to."""
    from stream.worker.describe import describe_campaign

    describe_campaign(campaign, campaign_file.load(campaign))


def with_registry(campaign: Campaign, registry: str | None) -> Campaign:
    """The campaign with another model registry."""
    if registry is None:
        return campaign
    model = msgspec.structs.replace(campaign.model, registry=registry)
    return msgspec.structs.replace(campaign, model=model)
