"""What is read of one parsed event: a value that a path leads to, how it is refused, and the whole.

Rules of this file
1. A sentence says what was expected, what came and where; it quotes little of the one value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import nan
from typing import Any, Literal, TypeAlias

from stream.campaign.field_path import steps

RejectCode: TypeAlias = Literal[
    "null_value", "oversize", "bad_utf8", "bad_json", "not_object",
    "missing_customer", "missing_type", "missing_timestamp", "customer_too_long",
    "bad_type", "bad_timestamp", "absurd_timestamp", "not_finite",
    "not_framed", "unknown_schema", "bad_avro", "bad_protobuf",
    "bad_snowplow",
]  # fmt: skip
"""Why a record is no event; docs/events.md says what each means."""

_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as `EventBatch` holds it in columns."""

    customer: bytes
    event_id: bytes | None
    time_ms: int
    type_code: int
    consent: list[int]
    numbers: list[float]
    categories: list[int]
    previous: bytes | None = None

    @classmethod
    def bare(
        cls, customer: bytes, time_ms: int, consent: list[int], numbers: int, categories: int
    ) -> Event:
        """What is said of a customer by a record that is no event."""
        return cls(customer, None, time_ms, -1, consent, [nan] * numbers, [0] * categories)


class Refused(Exception):
    """The record is no event. The message is one sentence: expected, got, where.

    Attributes:
        code: Why.
        denial: What it denies of consent, which counts whatever else is wrong: an event with nothing
            but customer, time and that. None when it denies nothing, or nobody knows whose it is.
    """

    def __init__(self, code: RejectCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.denial: Event | None = None


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A JSON number as it was written."""

    text: str


class UnreadItems(list[Any]):
    """An array that nobody has looked into: its items are not here."""


class UnreadMembers(dict[str, Any]):
    """An object of which only what was asked for is here."""


class EpochMs(JsonNumber):
    """Epoch milliseconds whatever their size: the schema of the event says so."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A value that is present, and its path."""

    value: Any
    path: str

    def refusal(self, code: RejectCode, expected: str) -> Refused:
        """The error of a value that is not what was expected."""
        return Refused(code, f"expected {expected} at {self.path}, got {shown(self.value)}")


def first_present(root: dict[str, Any], paths: tuple[str, ...]) -> Found | None:
    """The first of several paths that leads to a value which is neither null nor empty text."""
    for path in paths:
        value: Any = root
        for step in steps(path):
            if isinstance(step, str):
                value = value.get(step) if isinstance(value, dict) else None
            else:
                value = value[step] if isinstance(value, list) and step < len(value) else None
        if value is not None and value != "":
            return Found(value, path)
    return None


def shown(value: Any) -> str:
    """What came, cut short: never a whole payload."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = value.text if isinstance(value, JsonNumber) else ascii(value[: _SHOWN_MAX + 1])
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
