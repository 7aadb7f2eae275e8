"""`opportune trainer`: the service that trains, judges and promotes again and again."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import click

from models.errors import BundleError, RegistryError
from models.registry import Registry
from stream.campaign import file as campaign_file
from stream.campaign.options import BOOTSTRAP, CAMPAIGN
from stream.campaign.words import duration_ms
from stream.log import LogFormat, configure, log_event
from trainer.commands.options.registry import REGISTRY
from trainer.service.child import Stop
from trainer.service.service import Plan, Service

_ASK_S = 5.0


class Seconds(click.ParamType):
    """A duration such as 6h on the command line, in seconds."""

    name = "DURATION"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Returns seconds, or fails with what was expected."""
        if isinstance(value, float):
            return value
        if not re.fullmatch(r"[1-9][0-9]{0,8}(ms|s|m|h|d|w)", str(value)):
            self.fail(f"{value!r} is no duration, such as 90m, 6h or 1d.", param, ctx)
        return duration_ms(str(value)) / 1000


@click.command()
@CAMPAIGN
@click.option("--every", type=Seconds(), default="6h", show_default=True, help="Train so often.")
@click.option("--once", is_flag=True, help="One cycle; the exit code says how it went.")
@click.option("--max-cycles", type=click.IntRange(1), help="End after so many cycles.")
@click.option(
    "--timeout", type=Seconds(), default="12h", show_default=True, help="Longest time of a cycle."
)
@click.option("--search", is_flag=True, help="Search for structure, optimizer and loss each time.")
@click.option("--archive", help="Train on an archive of the topics, a path or URL.")
@click.option("--keep", type=click.IntRange(2), help="Newest versions to keep; others are removed.")
@BOOTSTRAP
@REGISTRY
@click.option(
    "--health-file",
    envvar="OPPORTUNE_HEALTH_FILE",
    type=click.Path(path_type=Path),
    help="File touched every few seconds, for probes.",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def trainer(
    campaign: Path,
    every: float,
    once: bool,
    max_cycles: int | None,
    timeout: float,
    search: bool,
    archive: str | None,
    keep: int | None,
    bootstrap: str | None,
    registry: str | None,
    health_file: Path | None,
    log_format: str,
) -> None:
    """Train, judge and promote again and again, until told to stop.

    CAMPAIGN is the campaign file. The first cycle begins at once, the others at multiples of --every
    since 1970, UTC. Each is an `opportune train` of its own: one that fails is tried again, sooner,
    and a cycle without new events is skipped. Ctrl-C or SIGTERM ends it within seconds.
    """
    loaded = campaign_file.load(campaign)
    options = {"--archive": archive, "--bootstrap": bootstrap, "--registry": registry}
    given = [part for name, value in options.items() if value for part in (name, value)]
    ends = partial(event_ends, bootstrap or loaded.bootstrap, loaded.topics.events)
    plan = Plan(
        command=[
            *(sys.executable, "-m", "stream", "train", str(campaign), "--json", *given),
            *(["--search"] if search else []),
        ],
        every_s=every,
        timeout_s=timeout,
        max_cycles=1 if once else max_cycles,
        health_file=health_file,
        ends=(lambda: None) if archive else ends,
        after=partial(_prune, registry or loaded.model.registry, keep) if keep else dict,
    )
    configure(cast(LogFormat, log_format))
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.set)
    log_event("start", command=" ".join(plan.command), every_s=every, timeout_s=timeout)
    sys.exit(Service(plan, stop).run())


def event_ends(bootstrap: str, topics: Sequence[str]) -> Mapping[str, int]:
    """End offset of every event partition, by its name.

    Raises:
        TrainingError: The broker cannot be reached, or a topic is missing.
    """
    from aiokafka.errors import KafkaTimeoutError

    from trainer.history.topics import TopicReader, broker_errors

    async def ask() -> Mapping[str, int]:
        reader = TopicReader(bootstrap)
        try:
            async with asyncio.timeout(_ASK_S):
                await reader.open()
                extents = await reader.extents(await reader.partitions(topics))
        except TimeoutError:
            raise KafkaTimeoutError(f"no answer within {_ASK_S:g} s") from None
        finally:
            await reader.close()
        return {f"{tp.topic}/{tp.partition}": extent.end for tp, extent in extents.items()}

    with broker_errors(bootstrap):
        return asyncio.run(ask())


def _prune(registry: str, keep: int) -> Mapping[str, Any]:
    try:
        return {"pruned": len(Registry(registry).prune(keep))}
    except (BundleError, RegistryError, OSError) as exc:
        return {"prune_failed": str(exc)}  # there is room for one more version until the next cycle
