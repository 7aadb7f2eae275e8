"""What becomes of a record: an event, or the reason why it is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

RejectCode: TypeAlias = Literal[
    "null_value", "oversize", "bad_utf8", "bad_json", "not_object",
    "missing_customer", "missing_type", "missing_timestamp", "customer_too_long",
    "bad_type", "bad_timestamp", "absurd_timestamp", "not_finite",
]  # fmt: skip
"""Why a record is no event; docs/events.md says what each means."""


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
