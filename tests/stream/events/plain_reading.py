"""The rules of docs/events.md once more, as plainly as Python says them: the oracle of the decoder."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from stream.campaign.file import EventMapping
from stream.columns import EventBatch
from stream.compiled.category_hash import category_hash
from stream.events.present import Event
from tests.stream.events.consent.consent_events import PURPOSES
from tests.stream.events.consent.consent_oracle import plain_said
from tests.stream.events.events_harness import CATEGORIES, NOW_MS, NUMBERS, TYPES

EARLIEST_MS, AHEAD_MAX_MS = 946_684_800_000, 300_000
DAY_MS = 86_400_000


def row(batch: EventBatch, k: int) -> Event:
    return Event(
        customer=batch.customer[k] or b"",
        event_id=batch.event_id[k],
        time_ms=int(batch.time_ms[k]),
        type_code=int(batch.type_code[k]),
        consent=batch.consent[:, k].tolist(),
        numbers=batch.number[:, k].tolist(),
        categories=batch.category[:, k].tolist(),
    )


class Lexeme(str):
    """A JSON number as it was written."""

    __slots__ = ()


class Wrong(Exception):
    """The record is no event.

    Attributes:
        consent: What it says all the same, when its customer could be read.
    """

    consent: list[int] | None = None


def plain(
    value: bytes | None, mapping: EventMapping, received_ms: int, counted: Counter[str]
) -> str:
    """The event as its repr, where NaN is NaN and -0.0 is not 0.0, or a reject code and what is denied."""
    mine: Counter[str] = Counter()
    try:
        event = repr(_plain(value, mapping, received_ms, mine))
    except Wrong as exc:
        denied = [-1 if said == 1 else said for said in exc.consent or []]
        return f"{exc} {denied if set(denied) - {-1} else []}"
    counted.update(mine)
    return event


def _plain(
    value: bytes | None, mapping: EventMapping, received_ms: int, counted: Counter[str]
) -> Event:
    root = _parsed(value, mapping.value_bytes_max)

    def find_all(paths: Sequence[str], attribute: str) -> Iterator[tuple[str, Any]]:
        return _find_all(root, mapping, paths, attribute)

    def find(paths: Sequence[str], attribute: str) -> Any:
        return next((here for _, here in find_all(paths, attribute)), None)

    def optional(reading: Callable[[Any], Any], path: str) -> Any:
        value = find([path], "no such key")
        try:
            return reading(value)
        except Wrong:
            if mapping.strict:
                raise
            counted[path] += 1
            return reading(None)

    no_ids = {word.encode().lower() for word in mapping.no_ids}
    customer = _first_id(find_all(mapping.customer_id, "subject"), no_ids)
    if customer is None:
        raise Wrong("missing_customer")
    if len(customer) > 512:
        raise Wrong("customer_too_long")
    wrapped = mapping.cloudevents and _is_wrapped(root)
    consent = plain_said(root, mapping, PURPOSES, wrapped=wrapped)
    try:
        event_id = _event_id(find_all(mapping.event_id, "id"), counted, strict=mapping.strict)
        type_ = _type_name(find(mapping.type, "type"))
        return Event(
            customer=customer,
            event_id=event_id,
            type_code=TYPES.index(type_) if type_ in TYPES else -1,
            time_ms=_plain_event_time(
                find_all(mapping.timestamp, "time"), find_all(mapping.sent_at, "no such key"),
                received_ms, counted, ZoneInfo(mapping.time_zone), strict=mapping.strict,
            ),
            consent=consent,
            numbers=[optional(plain_number, path) for path in NUMBERS],
            categories=[optional(plain_category, path) for path in CATEGORIES],
        )  # fmt: skip
    except Wrong as exc:
        exc.consent = consent
        raise


def _event_id(
    values: Iterator[tuple[str, Any]], counted: Counter[str], *, strict: bool
) -> bytes | None:
    for name, said in values:
        try:
            event_id = _first_id(iter([(name, said)]), set())
        except Wrong:
            if strict:
                raise
            counted[name] += 1
            continue
        if event_id is not None:
            return event_id
    return None


def _type_name(value: Any) -> str:
    if type(value) is not str:
        raise Wrong("missing_type" if value is None else "bad_type")
    return value


def _is_wrapped(root: dict[str, Any]) -> bool:
    return type(root.get("specversion")) is str and type(root.get("data")) is dict


def _find_all(
    root: dict[str, Any], mapping: EventMapping, paths: Sequence[str], attribute: str
) -> Iterator[tuple[str, Any]]:
    wrapped = _is_wrapped(root)
    places = [(path, path) for path in paths]
    if mapping.cloudevents and wrapped:
        places = [*(("data." + p, p) for p in paths), *places, (attribute, attribute)]
    for path, name in places:
        here: Any = root
        for key in path.split("."):
            here = here.get(key) if type(here) is dict else None
        if here is not None and here != "":
            yield name, here


def _plain_event_time(
    times: Iterator[tuple[str, Any]],
    sents: Iterator[tuple[str, Any]],
    received_ms: int,
    counted: Counter[str],
    zone: tzinfo,
    *,
    strict: bool,
) -> int:
    record_ms = received_ms if EARLIEST_MS <= received_ms < 10**14 else None
    limit_ms = NOW_MS if record_ms is None else record_ms
    time_ms = None
    for name, said in times:
        try:
            time_ms = _plain_time(said, zone)
            break
        except Wrong:
            if strict:
                raise
            counted[name] += 1
    if time_ms is None:
        if record_ms is None:
            raise Wrong("missing_timestamp")
        return record_ms
    if time_ms <= limit_ms:
        return time_ms
    skew_ms = 0
    for _, said in sents:
        try:
            skew_ms = max(_plain_time(said, zone) - limit_ms, 0)
            break
        except Wrong:
            pass
    if strict and time_ms - skew_ms > limit_ms + AHEAD_MAX_MS:
        raise Wrong("absurd_timestamp")
    counted["ahead"] += time_ms > limit_ms + AHEAD_MAX_MS
    corrected_ms = time_ms - skew_ms
    return corrected_ms if EARLIEST_MS <= corrected_ms <= limit_ms else limit_ms


def _parsed(value: bytes | None, bytes_max: int) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(name)

    if value is None:
        raise Wrong("null_value")
    if len(value) > bytes_max:
        raise Wrong("oversize")
    try:
        root = json.loads(
            value.decode(), parse_int=Lexeme, parse_float=Lexeme, parse_constant=refuse
        )
    except UnicodeDecodeError as exc:
        raise Wrong("bad_utf8") from exc
    except ValueError as exc:
        raise Wrong("bad_json") from exc
    if type(root) is not dict:
        raise Wrong("not_object")
    return root


def _id_text(value: Any) -> bytes | None:
    if value is None:
        return None
    if type(value) is Lexeme and Fraction(value).denominator == 1:
        return str(int(Fraction(value))).encode()
    if type(value) is str:
        return _encoded(value)
    raise Wrong("bad_type")


def _first_id(values: Iterator[tuple[str, Any]], no_ids: set[bytes]) -> bytes | None:
    for _, value in values:
        text = _id_text(value)
        if text is not None and text.strip(b" \t\r\n").lower() not in {b"", *no_ids}:
            return text
    return None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise Wrong("bad_utf8") from exc


def _is_number(text: str) -> bool:
    try:
        return type(json.loads(text)) in (int, float) and text.strip() == text and "N" not in text
    except ValueError:
        return False


def _plain_time(value: Any, zone: tzinfo) -> int:
    if type(value) in (str, Lexeme) and _is_number(value):
        number = Fraction(value)
        size = abs(number)
        unit_ms = 1000 if size < 10**11 else 1 if size < 10**14 else Fraction(1, 1000)
        time_ms = math.floor(number * (unit_ms if size < 10**17 else Fraction(1, 10**6)))
    else:
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError) as exc:
            raise Wrong("bad_timestamp" if type(value) is str else "bad_type") from exc
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        time_ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if time_ms < EARLIEST_MS:
        raise Wrong("absurd_timestamp")
    return time_ms


def plain_number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) is str:
        value = value.strip(" \t\n\r")
        value = value[1:] if value[:1] == "+" and value[1:2] != "-" else value
    if type(value) in (str, Lexeme) and not _is_number(value):
        raise Wrong("bad_type")
    if type(value) not in (str, Lexeme, bool):
        raise Wrong("bad_type")
    number = float(value)
    if math.isinf(number):
        raise Wrong("not_finite")
    return number


def plain_category(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is bool:
        value = str(value).lower()
    if not isinstance(value, str):
        raise Wrong("bad_type")
    return category_hash(_encoded(value))
