"""Which history a command reads: options, and the source that they name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from stream.campaign import Campaign
from stream.campaign_types import duration_ms
from stream.timestamps import iso_ms
from trainer.history import Bounds, KafkaSource, OffsetBound, Source, offset_bounds

_Command = TypeVar("_Command", bound=Callable[..., Any])


class EventTime(click.ParamType):
    """An ISO 8601 date or time on the command line, as epoch milliseconds."""

    name = "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Returns epoch milliseconds, or fails with what was expected."""
        try:
            return iso_ms(str(value))
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 date or time, such as 2026-11-01.", param, ctx)


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """What the command line says of the history.

    Attributes:
        bootstrap: Kafka address, None for the one of the campaign file.
        archive: Root of an archive, which is then read instead of Kafka.
        bounds: Which part of it.
    """

    bootstrap: str | None
    archive: str | None
    bounds: Bounds

    def source(self, campaign: Campaign) -> Source:
        """Where to read.

        Raises:
            TrainingError: There is no archive.
        """
        ahead_max_ms = duration_ms(campaign.events.timestamp_ahead_max)
        if self.archive is not None:
            from trainer.archive.reader import ParquetSource

            return ParquetSource(self.archive, self.bounds, ahead_max_ms)
        # Trouble with the broker is told by the error; aiokafka also tells what it then tries again.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        return KafkaSource(self.bootstrap or campaign.bootstrap, self.bounds, ahead_max_ms)


def history_options(command: _Command) -> _Command:
    """Adds the options of `HistoryOptions`, as keyword arguments for `chosen`."""
    for option in reversed((
        click.option("--bootstrap", envvar="OPPORTUNE_BOOTSTRAP", help="Kafka address, host:port."),
        click.option("--archive", help="Read an archive of the topics, a path or URL, not Kafka."),
        click.option("--since", "since_ms", type=EventTime(), help="Events from this time on."),
        click.option("--until", "until_ms", type=EventTime(), help="Events before this time."),
        click.option(
            "--offsets", type=OffsetBound(), multiple=True,
            help="Only these records of a topic; may be repeated.",
        ),
    )):  # fmt: skip
        command = option(command)
    return command


def chosen(
    bootstrap: str | None,
    archive: str | None,
    since_ms: int | None,
    until_ms: int | None,
    offsets: tuple[tuple[str, int, int, int], ...],
) -> HistoryOptions:
    """The options as one value.

    Raises:
        TrainingError: A bound ends before it begins.
    """
    bounds = Bounds(since_ms, until_ms, offset_bounds(offsets))
    return HistoryOptions(bootstrap, archive, bounds)
