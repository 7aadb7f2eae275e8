"""The words that a campaign file is written in: names, durations, paths, sections."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z",
        description="a name of letters, digits, dots, dashes and underscores",
    ),
]
"""An application, a strategy, a version."""
Duration = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,8}(ms|s|m|h|d|w)\Z",
        description="a duration such as 500ms, 30s, 5m, 1h, 7d or 2w",
    ),
]
"""A positive whole number and a unit: 500ms, 30s, 5m, 1h, 7d, 2w."""
TopicName = Annotated[
    str,
    Meta(
        pattern=r"^(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z",
        description="a Kafka topic: 1 to 249 letters, digits, dots, dashes and underscores",
    ),
]
"""A Kafka topic, as Kafka allows it to be called."""
_HOST = r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])"
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
KafkaAddress = Annotated[
    str,
    Meta(
        pattern=rf"^{_HOST}:{_PORT}(,{_HOST}:{_PORT})*\Z",
        description="a Kafka address host:port, or several with commas between them",
    ),
]
"""Brokers to begin with: kafka-1:9092,kafka-2:9092."""
HttpAddress = Annotated[
    str,
    Meta(
        pattern=r"^(https?://[^\s/@?#]+(/[^\s@?#]*)?)?\Z",
        description="an address such as http://host:8081, without user and password",
    ),
]
"""Where something answers over HTTP, "" for nowhere."""
FieldPath = Annotated[str, Meta(min_length=1, max_length=200)]
"""Keys from the root of the JSON value, joined by dots: properties.revenue; or header:NAME."""
PositiveInt = Annotated[int, Meta(ge=1, le=1_000_000_000)]

_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as "30d"."""
    match = re.fullmatch(r"([0-9]+)(ms|s|m|h|d|w)", text)
    assert match is not None, text
    return int(match[1]) * _DURATION_MS[match[2]]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are mistakes."""
