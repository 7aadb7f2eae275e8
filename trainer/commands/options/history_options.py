"""Which history a command reads: options, and the source that they name."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from stream.campaign.field_path import header_paths
from stream.campaign.file import Campaign
from stream.campaign.options import BOOTSTRAP
from stream.campaign.words import duration_ms
from stream.events.times.timestamps import text_ms
from stream.kafka.skip_list import ReadRules
from stream.kafka.skip_report import log_skip_list
from trainer.history.source import Bounds, KafkaSource, Source

_Command = TypeVar("_Command", bound=Callable[..., Any])


class EventTime(click.ParamType):
    """An ISO 8601 date or time on the command line, as epoch milliseconds."""

    name = "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Returns epoch milliseconds, or fails with what was expected."""
        try:
            return text_ms(str(value))
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 date or time, such as 2026-11-01.", param, ctx)


class OffsetBound(click.ParamType):
    """`TOPIC/PARTITION:START-END` on the command line; START is read, END is not."""

    name = "TOPIC/PARTITION:START-END"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int, int, int]:
        """Returns topic, partition, start and end, or fails with what was expected."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([A-Za-z0-9._-]{1,249})/(\d{1,9}):(\d{1,18})-(\d{1,18})", str(value))
        if match is None:
            self.fail(f"{value!r} is no offset bound, such as events/0:1000-2000.", param, ctx)
        return match[1], int(match[2]), int(match[3]), int(match[4])


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
        history = campaign.training.history
        history_ms = None if history is None else duration_ms(history)
        rules = ReadRules.of(campaign)
        log_skip_list(rules)
        if self.archive is not None:
            from trainer.archive.reader import ParquetSource

            return ParquetSource(
                self.archive, self.bounds, ahead_max_ms, history_ms=history_ms, tells_gaps=True,
                rules=rules, headers=header_paths(campaign),
            )  # fmt: skip
        # Trouble with the broker is told by the error; aiokafka also tells what it then tries again.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        bootstrap = self.bootstrap or campaign.bootstrap
        return KafkaSource(
            bootstrap, self.bounds, ahead_max_ms, history_ms, tells_gaps=True, rules=rules
        )


def history_options(command: _Command) -> _Command:
    """Adds the options of `HistoryOptions`, as keyword arguments for `chosen`."""
    for option in reversed((
        BOOTSTRAP,
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


def offset_bounds(
    bounds: Sequence[tuple[str, int, int, int]],
) -> dict[str, dict[int, tuple[int, int]]] | None:
    """`Bounds.offsets` of what stands on the command line, None for nothing."""
    by_topic: dict[str, dict[int, tuple[int, int]]] = {}
    for topic, partition, start, end in bounds:
        by_topic.setdefault(topic, {})[partition] = (start, end)
    return by_topic or None
