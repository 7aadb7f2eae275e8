"""The last word on one record: the fields of the event, or the reason why it is none.

The plain and slow counterpart of `stream.events.scan` and `stream.events.fields`, for the few records that these
give up on. Where they do answer, both answer the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf, nan
from typing import Any, Literal, NoReturn, TypeAlias

from stream.campaign.file import EventMapping
from stream.events.fields import CUSTOMER_BYTES_MAX
from stream.events.paths import (
    CONSENT,
    CUSTOMER,
    DATA,
    EVENT_ID,
    FIRST_NUMBER,
    SPECVERSION,
    TIMESTAMP,
    TYPE,
    EventPaths,
)
from stream.events.scalars import (
    JSON_INTEGER,
    JSON_NUMBER,
    UNCLEAR_CONSENT,
    category_hash,
    consent_of,
)
from stream.events.scan import DEPTH_MAX
from stream.events.timestamps import epoch_ms, iso_ms

RejectCode: TypeAlias = Literal[
    "null_value", "oversize", "bad_utf8", "bad_json", "not_object",
    "missing_customer", "missing_type", "missing_timestamp", "customer_too_long",
    "bad_type", "bad_timestamp", "absurd_timestamp", "not_finite",
    "not_framed", "unknown_schema", "bad_avro", "bad_protobuf",
]  # fmt: skip
"""Why a record is no event; docs/events.md says what each means."""

_SHOWN_MAX = 60
_FRAME_BYTES = 5
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


class Refused(Exception):
    """The record is no event. The message is one sentence: expected, got, where."""

    def __init__(self, code: RejectCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Number:
    """A JSON number as it was written."""

    text: str


class EpochMs(_Number):
    """Digits that are epoch milliseconds whatever their size: the schema says so."""

    __slots__ = ()


def value_of_number(text: str) -> object:
    """A number as `Judge` has it, written as JSON would."""
    return _Number(text)


@dataclass(frozen=True, slots=True)
class _Found:
    """A value that is present, and its path."""

    value: Any
    path: str

    def refusal(self, code: RejectCode, expected: str) -> Refused:
        return Refused(code, f"expected {expected} at {self.path}, got {_shown(self.value)}")


class Judge:
    """Judges records by the mapping and the declared properties of one campaign."""

    def __init__(self, mapping: EventMapping, paths: EventPaths, types: Sequence[str]) -> None:
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
        root = self.object_of(self.bounded(value))
        return self.judge_root(root, received_ms, earliest_ms, latest_ms)

    def judge_root(
        self, root: dict[str, Any], received_ms: int, earliest_ms: int, latest_ms: int
    ) -> Event:
        """The event of a value that was read already, else as `judge`.

        Args:
            root: str, bool, None, numbers of this module, dict and list; bytes are no text.
            received_ms: As in `judge`.
            earliest_ms: As in `judge`.
            latest_ms: As in `judge`.

        Raises:
            Refused: It is no event.
        """
        found = self._present(root)
        numbers_end = FIRST_NUMBER + self._paths.numbers
        return Event(
            customer=self._customer(found[CUSTOMER]),
            event_id=_id(found[EVENT_ID]),
            type_code=self._type(found[TYPE]),
            time_ms=self._time(found[TIMESTAMP], received_ms, earliest_ms, latest_ms),
            consent=_consent(found[CONSENT]),
            numbers=[_number(field) for field in found[FIRST_NUMBER:numbers_end]],
            categories=[_category(field) for field in found[numbers_end:]],
        )

    def object_of(self, value: bytes) -> dict[str, Any]:
        """The value as a JSON object; numbers stay as they were written.

        Raises:
            Refused: It is none.
        """
        if value[:1] == b"\0":
            raise Refused("bad_json", _framed_reason(value))
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

    def bounded(self, value: bytes | None) -> bytes:
        """A value that is there and not too long, in whatever format.

        Raises:
            Refused: It is null or too long.
        """
        if value is None:
            raise Refused("null_value", "expected a JSON object, got a null value (a tombstone)")
        limit = self._mapping.value_bytes_max
        if len(value) > limit:
            raise Refused("oversize", f"expected at most {limit} bytes, got {len(value)}")
        return value

    def _present(self, root: dict[str, Any]) -> list[_Found | None]:
        """The first candidate of each field that is neither null nor an empty string."""
        is_envelope = isinstance(root.get(SPECVERSION), str) and isinstance(root.get(DATA), dict)
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


def _framed_reason(value: bytes) -> str:
    """JSON never begins with a zero byte; the values of a schema registry's serializers do."""
    if len(value) < _FRAME_BYTES:
        return "expected JSON, got a zero byte at byte 0"
    schema_id = int.from_bytes(value[1:_FRAME_BYTES])
    return (
        f"expected JSON, got the frame of a schema registry (a zero byte and schema id {schema_id}): "
        'set events.format = "avro" or "protobuf" and events.schema_registry, or events.framed = '
        "true where JSON stands behind it"
    )


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
        if isinstance(value, EpochMs):
            return int(value.text)
        if isinstance(value, _Number):
            return epoch_ms(value.text)
        if isinstance(value, str):
            return epoch_ms(value) if JSON_NUMBER.fullmatch(value) else iso_ms(value)
    except (ValueError, ArithmeticError) as exc:
        raise found.refusal("bad_timestamp", "ISO 8601 or the epoch in s, ms, us or ns") from exc
    raise found.refusal("bad_type", "a time as a string or a number")


def _consent(found: _Found | None) -> int:
    if found is None:
        return -1
    if isinstance(found.value, bool):
        return int(found.value)
    said = consent_of(found.value) if isinstance(found.value, str) else UNCLEAR_CONSENT
    if said == UNCLEAR_CONSENT:
        raise found.refusal("bad_type", "true or false, granted or denied, yes or no")
    return said


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
