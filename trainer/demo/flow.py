"""The demo from beginning to end. Read this file first.

Broker up -> history in -> train -> worker up -> it catches up -> the rest streams in -> summary.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from rich.console import Console

from models.bundle import Bundle
from models.registry import Registry
from stream.broker import EmbeddedKafka
from stream.campaign import file as campaign_file
from stream.campaign.file import Campaign
from trainer.demo.journey import read_journey
from trainer.demo.process import Child
from trainer.demo.sender import Feed, create_topics
from trainer.demo.stage import Stage
from trainer.demo.view import View, summarize
from trainer.demo.watch import Watch
from trainer.report.report import REPORT, Report

LIVE_FROM = datetime(2017, 9, 10, tzinfo=UTC)
"""Everything before is history. A month after the second large mailer, so that its outcome is known
and it can judge the model that was fitted on what came before it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says.

    Attributes:
        folder: For the topics, the registry, the campaign file and the log of the worker.
        kept: Whether the folder stays.
        days_per_s: Speed of the live part.
        households: How many households; None for all.
        plain: Lines instead of a live view.
    """

    folder: Path
    kept: bool
    days_per_s: float
    households: int | None
    plain: bool


async def run(settings: Settings, console: Console) -> None:
    """Runs the demo; whatever it started has ended when it returns or raises.

    Raises:
        OperatorError: Something has to be changed first; the message says what.
    """
    file = _campaign_file(settings.folder)
    campaign = campaign_file.load(file)
    names = [strategy.id for strategy in campaign.strategies]
    view = View(console, plain=settings.plain, strategies=names)
    view.origin()
    began_s = time.monotonic()
    with EmbeddedKafka(settings.folder / "kafka") as kafka:
        view.step(f"Apache Kafka runs at {kafka.bootstrap} ({time.monotonic() - began_s:.1f} s)")
        await _play(settings, campaign, file, kafka.bootstrap, view, console)
    took_s = time.monotonic() - began_s
    console.print(f"\n{took_s:.0f} s. Everything that was started has been stopped.", style="dim")


async def _play(
    settings: Settings, campaign: Campaign, file: Path, bootstrap: str, view: View, console: Console
) -> None:
    """Everything that happens while the broker runs."""
    journey = read_journey(settings.households)
    topics = campaign.topics
    await create_topics(bootstrap, topics.decisions, [*topics.events, topics.dead_letter])
    registry = settings.folder / "registry"
    where = ["--bootstrap", bootstrap, "--registry", str(registry)]
    async with Feed(journey, bootstrap) as feed:
        live_from = feed.until(int(LIVE_FROM.timestamp() * 1000))
        began_s = time.monotonic()
        await feed.send(live_from)
        view.step(
            f"{live_from:,} events until {LIVE_FROM:%Y-%m-%d} are in {', '.join(topics.events)} "
            f"({time.monotonic() - began_s:.1f} s)"
        )
        view.step(f"opportune train {file.name}: the first model, from that history")
        page = settings.folder / "report.html"
        train = ["train", str(file), *where, "--promote", "always", "--html", str(page)]
        with Child(train) as training:
            await training.succeed()
        view.step(f"opportune worker {file.name}: decides after every purchase")
        log = settings.folder / "worker.log"
        with Child(["worker", str(file), *where, "--log-format", "json"], log) as worker:
            async with Watch(feed, bootstrap, topics.decisions, live_from) as watch:
                stage = Stage(journey, feed, watch, worker, view)
                await stage.catch_up()
                await stage.stream(settings.days_per_s)
                worker.finish()
    bundle = _champion(Registry(registry))
    view.table(watch.live)
    view.funnel(watch.live)
    report = Report.decode(bundle.files[REPORT])
    summarize(console, watch.live, report, file, settings.folder if settings.kept else None)


def _champion(registry: Registry) -> Bundle:
    version = registry.pointer("champion")
    assert version is not None, "the training promoted one"
    return registry.load(version)


def _campaign_file(folder: Path) -> Path:
    """A copy of the campaign file to keep and to play with."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "opportune.toml"
    source = resources.files("trainer.demo") / "opportune.toml"
    file.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    return file
