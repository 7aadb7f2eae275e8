"""The last word on one record: the fields of the event, or the reason why it is none.

The plain and slow counterpart of `stream.events.scan` and `stream.events.fields`, for the few records that these
give up on. Where they do answer, both answer the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isinf, nan
from typing import Any, NoReturn, TypeVar

from stream.campaign.file import EventMapping
from stream.events.fields import CUSTOMER_BYTES_MAX
from stream.events.judged_times import TimeJudge, Times, Unreadable
from stream.events.paths import (
    CONSENT,
    CUSTOMER,
    DATA,
    EVENT_ID,
    FIRST_NUMBER,
    SPECVERSION,
    TYPE,
    EventPaths,
)
from stream.events.present import Found, JsonNumber, Refused, first_present, shown
from stream.events.scalars import (
    JSON_INTEGER,
    NUMERAL,
    UNCLEAR_CONSENT,
    category_hash,
    consent_of,
)
from stream.events.scan import DEPTH_MAX

_Value = TypeVar("_Value")

_TOO_DEEP = f"expected at most {DEPTH_MAX} objects and arrays inside each other, got more"


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as `EventBatch` holds it in columns."""

    customer: bytes
    event_id: bytes | None
    time_ms: int
    type_code: int
    consent: int
    numbers: list[float]
    categories: list[int]


@dataclass(frozen=True, slots=True)
class Judged:
    """An event, and what is counted of it.

    Attributes:
        event: The event.
        present: Indices in `EventPaths.counted` of the properties that came.
        unreadable: What could not be read: index in `EventPaths.counted`, and one sentence.
        is_ahead: Whether its time was too far ahead of its record.
    """

    event: Event
    present: list[int]
    unreadable: Unreadable
    is_ahead: bool


class Judge:
    """Judges records by the mapping and the declared properties of one campaign."""

    def __init__(self, mapping: EventMapping, paths: EventPaths, types: Sequence[str]) -> None:
        self._mapping = mapping
        self._paths = paths
        self._times = TimeJudge(mapping, paths)
        self._type_code = {name: code for code, name in reversed(list(enumerate(types)))}
        self._json = json.JSONDecoder(
            parse_float=JsonNumber, parse_int=JsonNumber, parse_constant=_refuse_constant
        )

    def judge(self, value: bytes | None, times: Times) -> Judged:
        """The event that a record's value says.

        Args:
            value: The value of the record, None for null.
            times: What its time may be.

        Raises:
            Refused: It is no event.
        """
        root = self._object(value)
        form = int(self._paths.unwraps and _is_envelope(root))
        fields = self._paths.enveloped if form else self._paths.bare
        found = [first_present(root, paths) for paths in fields]
        customer = self._customer(found[CUSTOMER])
        event_id = _id(found[EVENT_ID])
        type_code = self._type(found[TYPE])
        unreadable: Unreadable = []
        time_ms, is_ahead = self._times.time_ms(root, form, times, unreadable)
        consent = _consent(found[CONSENT])
        properties = list(enumerate(found[FIRST_NUMBER:]))
        numbers_end = self._paths.numbers
        numbers = [self._or_missing(_number, *p, unreadable) for p in properties[:numbers_end]]
        categories = [self._or_missing(_category, *p, unreadable) for p in properties[numbers_end:]]
        event = Event(customer, event_id, time_ms, type_code, consent, numbers, categories)
        present = [k for k, field in properties if field is not None]
        return Judged(event, present, unreadable, is_ahead)

    def _or_missing(
        self,
        reading: Callable[[Found | None], _Value],
        path: int,
        found: Found | None,
        unreadable: Unreadable,
    ) -> _Value:
        """The value of an optional field; what cannot be read is missing, and noted by its path."""
        try:
            return reading(found)
        except Refused as exc:
            if self._mapping.strict:
                raise
            unreadable.append((path, str(exc)))
            return reading(None)

    def _object(self, value: bytes | None) -> dict[str, Any]:
        """The value as a JSON object; numbers stay as they were written."""
        if value is None:
            raise Refused("null_value", "expected a JSON object, got a null value (a tombstone)")
        limit = self._mapping.value_bytes_max
        if len(value) > limit:
            raise Refused("oversize", f"expected at most {limit} bytes, got {len(value)}")
        try:
            root = self._json.decode(value.decode())
        except UnicodeDecodeError as exc:
            byte = value[exc.start]
            raise Refused(
                "bad_utf8", f"expected UTF-8, got {byte:#04x} at byte {exc.start}: {exc.reason}"
            ) from exc
        except ValueError as exc:
            raise Refused("bad_json", f"expected JSON, got a fault: {exc}") from exc
        except RecursionError as exc:
            raise Refused("bad_json", _TOO_DEEP) from exc
        if _is_too_deep(root):
            raise Refused("bad_json", _TOO_DEEP)
        if not isinstance(root, dict):
            raise Refused("not_object", f"expected a JSON object at the root, got {shown(root)}")
        return root

    def _customer(self, found: Found | None) -> bytes:
        customer = _id(found)
        if customer is None:
            raise Refused("missing_customer", self._absent("a customer id", CUSTOMER))
        if found is not None and len(customer) > CUSTOMER_BYTES_MAX:
            raise found.refusal("customer_too_long", f"at most {CUSTOMER_BYTES_MAX} bytes of UTF-8")
        return customer

    def _type(self, found: Found | None) -> int:
        if found is None:
            raise Refused("missing_type", self._absent("an event type", TYPE))
        if not isinstance(found.value, str):
            raise found.refusal("bad_type", "an event type as a string")
        return self._type_code.get(found.value, -1)

    def _absent(self, expected: str, field: int) -> str:
        return f"expected {expected} at {' or '.join(self._paths.bare[field])}, got nothing there"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_envelope(root: dict[str, Any]) -> bool:
    return isinstance(root.get(SPECVERSION), str) and isinstance(root.get(DATA), dict)


def _is_too_deep(root: Any) -> bool:
    containers = [root] if isinstance(root, dict | list) else []
    for _ in range(DEPTH_MAX):
        if not containers:
            return False
        members = (m for c in containers for m in (c.values() if isinstance(c, dict) else c))
        containers = [member for member in members if isinstance(member, dict | list)]
    return bool(containers)


def _id(found: Found | None) -> bytes | None:
    if found is None:
        return None
    if isinstance(found.value, JsonNumber) and JSON_INTEGER.fullmatch(found.value.text):
        return found.value.text.encode()
    if isinstance(found.value, str):
        return _utf8(found)
    raise found.refusal("bad_type", "a string or a whole number")


def _utf8(found: Found) -> bytes:
    try:
        return str(found.value).encode()
    except UnicodeEncodeError as exc:
        raise found.refusal("bad_utf8", "Unicode text without half a surrogate pair") from exc


def _consent(found: Found | None) -> int:
    if found is None:
        return -1
    if isinstance(found.value, bool):
        return int(found.value)
    said = consent_of(found.value) if isinstance(found.value, str) else UNCLEAR_CONSENT
    if said == UNCLEAR_CONSENT:
        raise found.refusal("bad_type", "true or false, granted or denied, yes or no")
    return said


def _number(found: Found | None) -> float:
    if found is None:
        return nan
    value = found.value
    if isinstance(value, bool):
        return float(value)
    text = value.text if isinstance(value, JsonNumber) else value
    numeral = NUMERAL.fullmatch(text) if isinstance(text, str) else None
    if numeral is None:
        raise found.refusal("bad_type", "a number")
    number = float(numeral[1])
    if isinf(number):
        raise found.refusal("not_finite", "a number that float64 can hold")
    return number


def _category(found: Found | None) -> int:
    if found is None:
        return 0
    value = found.value
    if isinstance(value, bool):
        return category_hash(b"true" if value else b"false")
    if isinstance(value, JsonNumber):
        return category_hash(value.text.encode())
    if isinstance(value, str):
        return category_hash(_utf8(found))
    raise found.refusal("bad_type", "a string, a number, true or false")
