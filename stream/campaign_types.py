"""The words that a campaign file is written in: names, durations, paths, sections."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$",
        description="a name of letters, digits, dots, dashes and underscores",
    ),
]
"""A Kafka topic, a strategy or an application: what Kafka allows in a topic name."""
Duration = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,8}(ms|s|m|h|d|w)$",
        description="a duration such as 500ms, 30s, 5m, 1h, 7d or 2w",
    ),
]
"""A positive whole number and a unit: 500ms, 30s, 5m, 1h, 7d, 2w."""
FieldPath = Annotated[str, Meta(min_length=1, max_length=200)]
"""Keys from the root of the JSON value, joined by dots: properties.revenue."""
PositiveInt = Annotated[int, Meta(ge=1, le=1_000_000_000)]

_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def duration_ms(text: str) -> int:
    """Milliseconds of a duration such as "30d"."""
    match = re.fullmatch(r"([0-9]+)(ms|s|m|h|d|w)", text)
    assert match is not None, text
    return int(match[1]) * _DURATION_MS[match[2]]


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are mistakes."""
