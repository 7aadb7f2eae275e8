"""Generated events: the decoder, the judge and a plain reading of the same rules agree."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.columns import EventBatch
from stream.compiled.category_hash import category_hash
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.decoder import EventDecoder
from stream.events.paths import EventPaths
from stream.events.reasons import Judge
from stream.events.verdict import Event, Refused
from tests.stream.events.consent.consent_events import CONSENTS, PURPOSES, consents, members
from tests.stream.events.consent.consent_oracle import plain_said
from tests.stream.events.events_harness import CATEGORIES, FLAT, NOW_MS, NUMBERS, TYPES, chunk_of

EARLIEST_MS, AHEAD_MAX_MS = 946_684_800_000, 86_400_000
SEGMENT = EventMapping()


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


def plain(value: bytes | None, mapping: EventMapping, received_ms: int) -> str:
    """The event as its repr, where NaN is NaN and -0.0 is not 0.0, or a reject code."""
    try:
        return repr(_plain(value, mapping, received_ms))
    except Wrong as exc:
        denied = [-1 if said == 1 else said for said in exc.consent or []]
        return f"{exc} {denied if set(denied) - {-1} else []}"


def _plain(value: bytes | None, mapping: EventMapping, received_ms: int) -> Event:
    root = _parsed(value, mapping.value_bytes_max)
    wrapped = (
        mapping.cloudevents
        and type(root.get("specversion")) is str
        and type(root.get("data")) is dict
    )

    def find(paths: Sequence[str], attribute: str) -> Any:
        if wrapped:
            paths = [*("data." + path for path in paths), *paths, attribute]
        for path in paths:
            here: Any = root
            for key in path.split("."):
                here = here.get(key) if type(here) is dict else None
            if here is not None and here != "":
                return here
        return None

    customer = _id_text(find(mapping.customer_id, "subject"))
    if customer is None:
        raise Wrong("missing_customer")
    if len(customer) > 512:
        raise Wrong("customer_too_long")
    consent = plain_said(root, mapping, PURPOSES, wrapped=wrapped)
    try:
        return _plain_event(find, mapping, received_ms, customer, consent)
    except Wrong as exc:
        exc.consent = consent
        raise


def _plain_event(
    find: Callable[[Sequence[str], str], Any], mapping: EventMapping, received_ms: int,
    customer: bytes, consent: list[int],
) -> Event:  # fmt: skip
    event_id = _id_text(find(mapping.event_id, "id"))
    type_ = find(mapping.type, "type")
    if type(type_) is not str:
        raise Wrong("missing_type" if type_ is None else "bad_type")
    return Event(
        customer=customer,
        event_id=event_id,
        type_code=TYPES.index(type_) if type_ in TYPES else -1,
        time_ms=_plain_time(find(mapping.timestamp, "time"), received_ms),
        consent=consent,
        numbers=[_plain_number(find([path], "no such key")) for path in NUMBERS],
        categories=[_plain_category(find([path], "no such key")) for path in CATEGORIES],
    )


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
    if type(value) is str or (type(value) is Lexeme and re.fullmatch("-?[0-9]+", value)):
        return _encoded(value)
    raise Wrong("bad_type")


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


def latest_ms(received_ms: int) -> int:
    """The last time that an event may say."""
    return (NOW_MS if received_ms < 0 else min(received_ms, NOW_MS)) + AHEAD_MAX_MS


def _plain_time(value: Any, received_ms: int) -> int:
    if value is None:
        if received_ms < 0:
            raise Wrong("missing_timestamp")
        time_ms = received_ms
    elif type(value) in (str, Lexeme) and _is_number(value):
        number = Fraction(value)
        size = abs(number)
        unit_ms = 1000 if size < 10**11 else 1 if size < 10**14 else Fraction(1, 1000)
        time_ms = math.floor(number * (unit_ms if size < 10**17 else Fraction(1, 10**6)))
    else:
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError) as exc:
            raise Wrong("bad_timestamp" if type(value) is str else "bad_type") from exc
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        time_ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if not EARLIEST_MS <= time_ms <= latest_ms(received_ms):
        raise Wrong("absurd_timestamp")
    return time_ms


def _plain_number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) in (str, Lexeme) and not _is_number(value):
        raise Wrong("bad_type")
    if type(value) not in (str, Lexeme, bool):
        raise Wrong("bad_type")
    number = float(value)
    if math.isinf(number):
        raise Wrong("not_finite")
    return number


def _plain_category(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is bool:
        value = str(value).lower()
    if not isinstance(value, str):
        raise Wrong("bad_type")
    return category_hash(_encoded(value))


TEXT = [
    '"c1"', r'"M\u00fcller"', '"Müller"', r'"\ud83d\ude00"', r'"\ud83d"', '""', "null", "12", "-0",
    "1.0", "1e2", "123456789012345678901234567890", "true", "{}", "[1]", f'"{"x" * 513}"',
    f'"{"é" * 256}"',
]  # fmt: skip
TYPE_NAMES = [
    '"view"', '"Order Completed"', r'"vie\u0077"', '"größe"', '"other"', "null", '""', "3",
]  # fmt: skip
TIMES = [
    "1760000000", "1760000000.1234567", "1760000000123", "1760000000123456", "1760000000123456789",
    '"1760000000123"', '"1.76e9"', "1.76e9", '"2025-10-09T08:53:20Z"', "true", "null", '""', "5",
    '"2025-10-09 10:53:20.5+02:00"', '"2025-10-09"', '"2025-10-09T08:53:20"', '"yesterday"',
    '"2025-02-30T00:00:00Z"', "-1", "1e300", '"2999-01-01T00:00:00Z"', r'"2025\u002d10-09"',
]  # fmt: skip
VALUES = [
    "12.5", "-0.0", "0.30000000000000004", "1e999", "-1e999", '"12.50"', '"-1e-3"', '" 1"', '"1,5"',
    '"+1"', '"NaN"', "true", "false", "null", '""', "[]", "9007199254740993", "1E+2", '"1e999"',
    r'"1\u0032"', "123456789.123456789123456789", '"0x10"', '"cat-3"', r'"M\u00fcller"', r'"\ud83d"',
]  # fmt: skip
GOOD = {"customer_id": '"c1"', "userId": '"u1"', "type": '"view"', "timestamp": "1760000000"}
CHOICES = {
    "customer_id": TEXT, "event_id": TEXT, "userId": TEXT, "anonymousId": TEXT, "messageId": TEXT,
    "type": TYPE_NAMES, "event": TYPE_NAMES, "timestamp": TIMES, "sentAt": TIMES,
    "consent": CONSENTS, "subject": TEXT, "id": TEXT, "time": TIMES, r"us\u0065rId": TEXT,
}  # fmt: skip
PROPERTIES = ["value", "revenue", "category", "channel", "currency"]


@st.composite
def payloads(draw: st.DrawFn) -> str:
    pairs = list(GOOD.items()) if draw(st.integers(0, 3)) else []
    for key in draw(st.lists(st.sampled_from(sorted(CHOICES)), max_size=3)):
        pairs.append((key, draw(st.sampled_from(CHOICES[key]))))
    if draw(st.booleans()):
        keys = draw(st.lists(st.sampled_from(PROPERTIES), max_size=3))
        pairs.append(("properties", members([(k, draw(st.sampled_from(VALUES))) for k in keys])))
    if draw(st.integers(0, 1)) == 0:
        pairs += draw(consents())
    return members(draw(st.permutations(pairs)))


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    text = draw(payloads())
    if draw(st.integers(0, 2)) == 0:
        version = draw(st.sampled_from(['"1.0"', '"1.0"', '"1.0"', "1.0", r'"\u0031"', '""']))
        root = [("specversion", version), ("data", draw(st.just(text) | st.just("null")))]
        keys = draw(st.lists(st.sampled_from(["subject", "id", "time", "type"]), max_size=4))
        root += [(key, draw(st.sampled_from(CHOICES[key]))) for key in keys]
        text = members(draw(st.permutations(root)))
    value = text.encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(st.binary(max_size=2)) + value[at + 1 :]
    return None if draw(st.integers(0, 30)) == 0 else value


@pytest.mark.slow
@given(
    st.lists(values(), max_size=6),
    st.sampled_from([SEGMENT, FLAT, EventMapping(cloudevents=False, value_bytes_max=300)]),
    st.sampled_from([NOW_MS, NOW_MS + AHEAD_MAX_MS, NOW_MS - AHEAD_MAX_MS, -1, 0]),
)
@settings(max_examples=500)
def test_decoder_judge_and_plain_reading_agree(
    raw: list[bytes | None], mapping: EventMapping, received_ms: int
) -> None:
    decoder = EventDecoder(mapping, TYPES, NUMBERS, CATEGORIES, PURPOSES)
    hearing = Hearing(ConsentPlaces(mapping, PURPOSES))
    judge = Judge(mapping, EventPaths.of(mapping, NUMBERS, CATEGORIES), TYPES, hearing)
    batch, rejects = decoder.decode(chunk_of(raw, received_ms), NOW_MS)
    events = batch.events()
    assert sorted([*events.record, *(r.record for r in rejects)]) == list(range(len(raw)))
    assert batch.record.tolist() == sorted(batch.record)
    denied = {int(i): batch.consent[:, k].tolist() for k, i in enumerate(batch.record)}
    outcome = {r.record: f"{r.code} {denied.get(r.record, [])}" for r in rejects}
    outcome |= {int(i): repr(row(events, k)) for k, i in enumerate(events.record)}
    for i, value in enumerate(raw):
        assert outcome[i] == plain(value, mapping, received_ms), value
        try:
            verdict = repr(judge.judge(value, received_ms, EARLIEST_MS, latest_ms(received_ms)))
        except Refused as exc:
            verdict = f"{exc.code} {exc.denial.consent if exc.denial else []}"
        assert outcome[i] == verdict, value
