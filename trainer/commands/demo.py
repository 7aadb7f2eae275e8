"""`opportune demo`."""

from __future__ import annotations

import asyncio
import logging
import signal
import tempfile
from pathlib import Path

import click

from stream.broker.errors import BrokerError
from stream.errors import OperatorError
from stream.terminal import Terminal
from stream.visible import visible_lines


@click.command()
@click.option(
    "--speed",
    "days_per_s",
    type=click.FloatRange(0.1, 100),
    default=4.0,
    show_default=True,
    help="Days of the streamed year per second.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps topics, model, campaign file and logs; new or empty.",
)
@click.option(
    "--households", type=click.IntRange(min=1), help="Only so many households; all without it."
)
@click.option("--plain", is_flag=True, help="Lines instead of a live view, as without a terminal.")
def demo(days_per_s: float, keep: Path | None, households: int | None, plain: bool) -> None:
    """See it work: a real Kafka, a year of grocery shopping, a model, a worker.

    Trains a first model on two thirds of the year, starts a worker, streams the rest of the year to
    it and shows what it decides. Needs no Docker and no Java, takes about two minutes and leaves
    nothing behind unless told to; the first run downloads Kafka, 45 MB.
    """
    from trainer.demo.flow import Settings, run

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The demo says itself what goes wrong; aiokafka also reports what it then tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Terminal()
    plain = plain or not console.is_terminal
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise OperatorError(f"--keep: expected a new or empty folder, got {keep} with files in it")
    with tempfile.TemporaryDirectory(prefix="opportune-demo-") as temporary:
        settings = Settings(
            folder=(keep or Path(temporary)).absolute(),
            kept=keep is not None,
            days_per_s=days_per_s,
            households=households,
            plain=plain,
        )
        try:
            asyncio.run(run(settings, console))
        except BrokerError as exc:
            raise click.ClickException(visible_lines(exc)) from exc
