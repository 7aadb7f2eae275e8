"""The last word on one record: the fields of the event, or the reason why it is none.

The plain and slow counterpart of `stream.events.scan` and `stream.events.fields`, for the few records that these
give up on. Where they do answer, both answer the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf, nan
from typing import Any, NoReturn

from stream.campaign.file import EventMapping
from stream.compiled.category_hash import category_hash
from stream.events.consent.hearing import Hearing
from stream.events.consent.vocabulary import GRANTED, NOT_SAID
from stream.events.fields import CUSTOMER_BYTES_MAX
from stream.events.paths import (
    CUSTOMER,
    DATA,
    EVENT_ID,
    FIRST_NUMBER,
    SPECVERSION,
    TIMESTAMP,
    TYPE,
    EventPaths,
)
from stream.events.scalars import JSON_INTEGER, JSON_NUMBER
from stream.events.scan import DEPTH_MAX
from stream.events.timestamps import epoch_ms, iso_ms
from stream.events.verdict import Event, Refused, RejectCode

_SHOWN_MAX = 60
_TOO_DEEP = f"expected at most {DEPTH_MAX} objects and arrays inside each other, got more"


@dataclass(frozen=True, slots=True)
class _Number:
    """A JSON number as it was written."""

    text: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A value that is present, and its path."""

    value: Any
    path: str

    def refusal(self, code: RejectCode, expected: str) -> Refused:
        return Refused(code, f"expected {expected} at {self.path}, got {_shown(self.value)}")


class Judge:
    """Judges records by the mapping and the declared properties of one campaign.

    Args:
        mapping: Where the parts of an event stand.
        paths: The same, compiled.
        types: Declared event types.
        hearing: Reads what is said of consent.
    """

    def __init__(
        self, mapping: EventMapping, paths: EventPaths, types: Sequence[str], hearing: Hearing
    ) -> None:
        self._hearing = hearing
        self._mapping = mapping
        self._paths = paths
        self._type_code = {name: code for code, name in reversed(list(enumerate(types)))}
        self._json = json.JSONDecoder(
            parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant
        )

    def judge(
        self, value: bytes | None, received_ms: int, earliest_ms: int, latest_ms: int
    ) -> Event:
        """The event that a record's value says.

        Args:
            value: The value of the record, None for null.
            received_ms: Time of an event that says none itself, unless negative.
            earliest_ms: First event time allowed, epoch milliseconds.
            latest_ms: Last event time allowed, epoch milliseconds.

        Raises:
            Refused: It is no event.
        """
        root = self._object(value)
        is_envelope = _is_envelope(root)
        found = self._present(root, is_envelope)
        numbers_end = FIRST_NUMBER + self._paths.numbers
        customer = self._customer(found[CUSTOMER])
        consent = self._hearing.said(root, is_envelope=is_envelope)
        times_ms = received_ms, earliest_ms, latest_ms
        try:
            return Event(
                customer=customer,
                event_id=_id(found[EVENT_ID]),
                type_code=self._type(found[TYPE]),
                time_ms=self._time(found[TIMESTAMP], *times_ms),
                consent=consent,
                numbers=[_number(field) for field in found[FIRST_NUMBER:numbers_end]],
                categories=[_category(field) for field in found[numbers_end:]],
            )
        except Refused as exc:
            exc.denial = self._denial(customer, consent, found, times_ms)
            raise

    def unreadable(self, value: bytes | None) -> list[tuple[str, str]]:
        """What a record says of consent that nobody can read: path and text of each."""
        try:
            root = self._object(value)
        except Refused:
            return []
        return self._hearing.unreadable(root, is_envelope=_is_envelope(root))

    def _denial(
        self, customer: bytes, consent: list[int], found: Sequence[_Found | None],
        times_ms: tuple[int, int, int],
    ) -> Event | None:  # fmt: skip
        """What a record denies that is no event; a grant needs an event."""
        denied = [NOT_SAID if said == GRANTED else said for said in consent]
        if set(denied) <= {NOT_SAID}:
            return None
        try:
            time_ms = self._time(found[TIMESTAMP], *times_ms)
        except Refused:
            time_ms = max(times_ms[0], 0)
        properties = len(found) - FIRST_NUMBER
        numbers = self._paths.numbers
        return Event(
            customer, None, time_ms, -1, denied, [nan] * numbers, [0] * (properties - numbers)
        )

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
            raise Refused("not_object", f"expected a JSON object at the root, got {_shown(root)}")
        return root

    def _present(self, root: dict[str, Any], is_envelope: bool) -> list[_Found | None]:
        """The first candidate of each field that is neither null nor an empty string."""
        fields = self._paths.enveloped if is_envelope else self._paths.bare
        return [_first_present(root, paths) for paths in fields]

    def _customer(self, found: _Found | None) -> bytes:
        customer = _id(found)
        if customer is None:
            raise Refused("missing_customer", self._absent("a customer id", CUSTOMER))
        if found is not None and len(customer) > CUSTOMER_BYTES_MAX:
            raise found.refusal("customer_too_long", f"at most {CUSTOMER_BYTES_MAX} bytes of UTF-8")
        return customer

    def _type(self, found: _Found | None) -> int:
        if found is None:
            raise Refused("missing_type", self._absent("an event type", TYPE))
        if not isinstance(found.value, str):
            raise found.refusal("bad_type", "an event type as a string")
        return self._type_code.get(found.value, -1)

    def _time(
        self, found: _Found | None, received_ms: int, earliest_ms: int, latest_ms: int
    ) -> int:
        if found is not None:
            time_ms = _time_ms(found)
        elif received_ms >= 0:
            time_ms = received_ms
            found = _Found(_Number(str(received_ms)), "the timestamp of the Kafka record")
        else:
            absent = self._absent("a time", TIMESTAMP)
            raise Refused("missing_timestamp", f"{absent}, and the Kafka record has none either")
        if not earliest_ms <= time_ms <= latest_ms:
            earliest, ahead = self._mapping.timestamp_earliest, self._mapping.timestamp_ahead_max
            raise found.refusal(
                "absurd_timestamp", f"a time from {earliest} to {ahead} after its record"
            )
        return time_ms

    def _absent(self, expected: str, field: int) -> str:
        return f"expected {expected} at {' or '.join(self._paths.bare[field])}, got nothing there"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_too_deep(root: Any) -> bool:
    containers = [root] if isinstance(root, dict | list) else []
    for _ in range(DEPTH_MAX):
        if not containers:
            return False
        members = (m for c in containers for m in (c.values() if isinstance(c, dict) else c))
        containers = [member for member in members if isinstance(member, dict | list)]
    return bool(containers)


def _is_envelope(root: dict[str, Any]) -> bool:
    return isinstance(root.get(SPECVERSION), str) and isinstance(root.get(DATA), dict)


def _first_present(root: dict[str, Any], paths: tuple[str, ...]) -> _Found | None:
    for path in paths:
        value: Any = root
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None and value != "":
            return _Found(value, path)
    return None


def _id(found: _Found | None) -> bytes | None:
    if found is None:
        return None
    if isinstance(found.value, _Number) and JSON_INTEGER.fullmatch(found.value.text):
        return found.value.text.encode()
    if isinstance(found.value, str):
        return _utf8(found)
    raise found.refusal("bad_type", "a string or a whole number")


def _utf8(found: _Found) -> bytes:
    try:
        return str(found.value).encode()
    except UnicodeEncodeError as exc:
        raise found.refusal("bad_utf8", "Unicode text without half a surrogate pair") from exc


def _time_ms(found: _Found) -> int:
    value = found.value
    try:
        if isinstance(value, _Number):
            return epoch_ms(value.text)
        if isinstance(value, str):
            return epoch_ms(value) if JSON_NUMBER.fullmatch(value) else iso_ms(value)
    except (ValueError, ArithmeticError) as exc:
        raise found.refusal("bad_timestamp", "ISO 8601 or the epoch in s, ms, us or ns") from exc
    raise found.refusal("bad_type", "a time as a string or a number")


def _number(found: _Found | None) -> float:
    if found is None:
        return nan
    value = found.value
    if isinstance(value, bool):
        return float(value)
    text = value.text if isinstance(value, _Number) else value
    if not isinstance(text, str) or not JSON_NUMBER.fullmatch(text):
        raise found.refusal("bad_type", "a number")
    number = float(text)
    if isinf(number):
        raise found.refusal("not_finite", "a number that float64 can hold")
    return number


def _category(found: _Found | None) -> int:
    if found is None:
        return 0
    value = found.value
    if isinstance(value, bool):
        return category_hash(b"true" if value else b"false")
    if isinstance(value, _Number):
        return category_hash(value.text.encode())
    if isinstance(value, str):
        return category_hash(_utf8(found))
    raise found.refusal("bad_type", "a string, a number, true or false")


def _shown(value: Any) -> str:
    """What came, cut short: never a whole payload."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = value.text if isinstance(value, _Number) else ascii(value[: _SHOWN_MAX + 1])
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
