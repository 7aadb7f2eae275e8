"""`opportune broker`: a real Kafka on this machine until Ctrl-C.

Rules of this file
1. Standard output is one line, the address, written when clients can use the broker. With
   `--prepare` there is none, and nothing.
"""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import click

from stream.broker.embedded import EmbeddedKafka
from stream.broker.errors import BrokerError
from stream.broker.lock import KAFKA_VERSION
from stream.broker.start_cache import record
from stream.broker.topic_creation import create_topics
from stream.visible import visible, visible_lines


class TopicType(click.ParamType):
    """`NAME:PARTITIONS` on the command line."""

    name = "NAME:PARTITIONS"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Returns name and partition count, or fails with what was expected."""
        match = re.fullmatch(r"([A-Za-z0-9._-]{1,249}):([1-9][0-9]*)", str(value))
        if match is None:
            self.fail(f"{value!r} is no topic with its partitions, such as `events:8`.", param, ctx)
        return match[1], int(match[2])


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9092,
    show_default=True,
    help="Port of 127.0.0.1 for clients; 0 takes a free one.",
)
@click.option(
    "--data",
    "data_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps the topics; without it they are gone when the broker stops.",
)
@click.option(
    "--heap",
    "heap_mib",
    type=click.IntRange(min=128),
    default=512,
    show_default=True,
    help="Largest Java heap, MiB.",
)
@click.option(
    "--topic",
    "topics",
    type=TopicType(),
    multiple=True,
    help="Topic to create if it is not there; may be repeated.",
)
@click.option(
    "--prepare",
    is_flag=True,
    help="Fetch what a broker needs, record its start (70 MB) so that later ones are three times "
    "as quick, and end.",
)
def broker(
    port: int,
    data_dir: Path | None,
    heap_mib: int,
    topics: tuple[tuple[str, int], ...],
    prepare: bool,
) -> None:
    """Run a real Apache Kafka on this machine, without Docker or an installed Java.

    Prints its address when it is ready and stays until Ctrl-C.
    """
    if prepare:
        try:
            click.echo(f"Brokers start with {visible(record())}.", err=True)
        except BrokerError as error:
            raise click.ClickException(visible_lines(error)) from error
        return
    for ending in (signal.SIGTERM, signal.SIGINT):  # shells ignore SIGINT for background jobs
        signal.signal(ending, signal.default_int_handler)
    try:
        with EmbeddedKafka(data_dir, port, heap_mib) as kafka:
            if topics:
                asyncio.run(create_topics(kafka.bootstrap, dict(topics)))
            click.echo(kafka.bootstrap)
            kept = "until it stops" if data_dir is None else "for the next start"
            click.echo(
                f"Apache Kafka {KAFKA_VERSION} is ready; Ctrl-C stops it. "
                f"Its data stays in {visible(kafka.data_dir)} {kept}.",
                err=True,
            )
            try:
                kafka.wait()
            except KeyboardInterrupt:
                click.echo("Stopping Kafka.", err=True)
    except BrokerError as error:
        raise click.ClickException(visible_lines(error)) from error
