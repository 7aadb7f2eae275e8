"""What is read of one parsed event: a value that a path leads to, how it is refused, and the whole.

Rules of this file
1. A sentence says what was expected, what came and where; it quotes little of the one value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import nan
from typing import Any, Literal, TypeAlias

from stream.campaign.field_path import HeaderName, Steps, steps

RejectCode: TypeAlias = Literal[
    "null_value", "oversize", "bad_utf8", "bad_json", "not_object",
    "missing_customer", "missing_type", "missing_timestamp", "customer_too_long",
    "bad_type", "bad_timestamp", "absurd_timestamp", "not_finite",
    "too_many_events", "not_framed", "unknown_schema", "bad_avro", "bad_protobuf",
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


class HeadedRecord(dict[str, Any]):
    """The object of a record of which headers are looked at as well.

    Args:
        root: The object.
        headers: By name the content of those that are wanted and there: text, or bytes that are none.
    """

    def __init__(self, root: dict[str, Any], headers: dict[str, str | bytes]) -> None:
        super().__init__(root)
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Layers:
    """An element of a batch over the record around it.

    A path is tried in the element first, and where that has nothing there in the record.

    Attributes:
        element: The element.
        record: The record.
        is_below: Whether it lies over the `data` of a CloudEvent, and not over the root.
        own: Paths that are looked for in the element alone.
    """

    element: dict[str, Any]
    record: dict[str, Any]
    is_below: bool = False
    own: frozenset[str] = frozenset()


Root: TypeAlias = dict[str, Any] | Layers
"""What paths begin at."""


def value_at(root: Root, path: str) -> Any:
    """What a path leads to, None for nothing."""
    if not isinstance(root, Layers):
        return value_of(root, steps(path))
    own = steps(path)
    if root.is_below:
        own = own[1:] if own[0] == "data" else ()
    value = value_of(root.element, own) if own else None
    says = (value is None or value == "") and path not in root.own
    return value_of(root.record, steps(path)) if says else value


def is_envelope(root: Root) -> bool:
    """Whether it is a CloudEvent with an object as its data."""
    return isinstance(value_at(root, "specversion"), str) and isinstance(
        value_at(root, "data"), dict
    )


def value_of(root: dict[str, Any], path: Steps) -> Any:
    """What the steps of a path lead to in an object, None for nothing."""
    value: Any = root
    for step in path:
        if isinstance(step, HeaderName):
            value = value.headers.get(step.name) if isinstance(value, HeadedRecord) else None
        elif isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def first_present(root: Root, paths: tuple[str, ...]) -> Found | None:
    """The first of several paths that leads to a value which is neither null nor empty text."""
    for path in paths:
        value = value_at(root, path)
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
