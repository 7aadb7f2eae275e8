"""A value that a path leads to in one parsed event, and how it is refused.

Rules of this file
1. A sentence says what was expected, what came and where; it quotes little of the one value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

RejectCode: TypeAlias = Literal[
    "null_value", "oversize", "bad_utf8", "bad_json", "not_object",
    "missing_customer", "missing_type", "missing_timestamp", "customer_too_long",
    "bad_type", "bad_timestamp", "absurd_timestamp", "not_finite",
]  # fmt: skip
"""Why a record is no event; docs/events.md says what each means."""

_SHOWN_MAX = 60


class Refused(Exception):
    """The record is no event. The message is one sentence: expected, got, where."""

    def __init__(self, code: RejectCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A JSON number as it was written."""

    text: str


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
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
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
