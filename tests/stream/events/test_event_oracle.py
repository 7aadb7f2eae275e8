"""Generated events: the decoder, the judge and a plain reading of the same rules agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.decoder import EventDecoder
from stream.events.flaws import Flaws
from stream.events.paths import EventPaths
from stream.events.present import Refused
from stream.events.reasons import Judge
from stream.events.times.judged_times import Times
from tests.stream.events.consent.consent_events import CONSENTS, PURPOSES, consents, members
from tests.stream.events.events_harness import CATEGORIES, FLAT, NOW_MS, NUMBERS, TYPES, chunk_of
from tests.stream.events.plain_reading import AHEAD_MAX_MS, DAY_MS, EARLIEST_MS, plain, row

SEGMENT = EventMapping()
TEXT = [
    '"c1"', r'"M\u00fcller"', '"Müller"', r'"\ud83d\ude00"', r'"\ud83d"', '""', "null", "12", "-0",
    "1.0", "1e2", "1.50", "-3.00", "0", "0.0", "-0.0", "1e400", '" c2 "', '"  "', '"Undefined"',
    '" NULL\\n"', '"00000000-0000-0000-0000-000000000000"', '"[object Object]"', '"nul"', '"00"', "123456789012345678901234567890", "true", "{}", "[1]", f'"{"x" * 513}"',
    f'"{"é" * 256}"',
]  # fmt: skip
TYPE_NAMES = [
    '"view"', '"Order Completed"', r'"vie\u0077"', '"größe"', '"other"', "null", '""', "3",
]  # fmt: skip
TIMES = [
    "1760000000", "1760000000.1234567", "1760000000123", "1760000000123456", "1760000000123456789",
    '"1760000000123"', '"1.76e9"', "1.76e9", '"2025-10-09T08:53:20Z"', "true", "null", '""', "5",
    '"2025-10-09 10:53:20.5+02:00"', '"2025-10-09"', '"2025-10-09T08:53:20"', '"yesterday"',
    '"2025-02-30T00:00:00Z"', "-1", "1e300", '"2999-01-01T00:00:00Z"', "1760000300000", "1760000300001", "1760050000000",
    "1761000000000", r'"2025\u002d10-09"',
]  # fmt: skip
VALUES = [
    "12.5", "-0.0", "0.30000000000000004", "1e999", "-1e999", '"12.50"', '"-1e-3"', '" 1"', '"1,5"',
    '"+1"', '" +1.5 "', '"+-1"', '"$1,299.00"', '"N/A"', '"NaN"', "true", "false", "null", '""', "[]", "9007199254740993", "1E+2", '"1e999"',
    r'"1\u0032"', "123456789.123456789123456789", '"0x10"', '"cat-3"', r'"M\u00fcller"', r'"\ud83d"',
]  # fmt: skip
GOOD = {"customer_id": '"c1"', "userId": '"u1"', "type": '"view"', "timestamp": "1760000000"}
CHOICES = {
    "customer_id": TEXT, "event_id": TEXT, "userId": TEXT, "anonymousId": TEXT, "messageId": TEXT,
    "type": TYPE_NAMES, "event": TYPE_NAMES, "timestamp": TIMES, "sentAt": TIMES,
    "originalTimestamp": TIMES,
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
    if draw(st.booleans()):
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


LOCAL = EventMapping(time_zone="Pacific/Kiritimati", sent_at=("time",))
STRICT = EventMapping(cloudevents=False, value_bytes_max=300, strict=True)


@pytest.mark.slow
@given(
    st.lists(values(), max_size=6),
    st.sampled_from([SEGMENT, FLAT, STRICT, LOCAL]),
    st.sampled_from([NOW_MS, NOW_MS + DAY_MS, NOW_MS - DAY_MS, -1, 0, 10**15]),
)
@settings(max_examples=500)
def test_decoder_judge_and_plain_reading_agree(
    raw: list[bytes | None], mapping: EventMapping, received_ms: int
) -> None:
    decoder = EventDecoder(mapping, TYPES, NUMBERS, CATEGORIES, PURPOSES)
    decoded = decoder.decode(chunk_of(raw, received_ms), NOW_MS)
    rejects, batch = decoded.rejects, decoded.batch.events()
    denied = {int(i): decoded.batch.consent[:, k] for k, i in enumerate(decoded.batch.record)}
    assert decoded.batch.record.tolist() == sorted(decoded.batch.record)
    assert sorted([*batch.record, *(r.record for r in rejects)]) == list(range(len(raw)))
    outcome = {r.record: f"{r.code} {[*map(int, denied.get(r.record, []))]}" for r in rejects}
    outcome |= {int(i): repr(row(batch, k)) for k, i in enumerate(batch.record)}
    counted: Counter[str] = Counter()
    judged = _Judged(mapping, received_ms)
    for i, value in enumerate(raw):
        assert outcome[i] == plain(value, mapping, received_ms, counted), value
        assert outcome[i] == judged.judge(value), value
    for flaws in (decoded.flaws, judged.flaws(decoded.flaws)):
        assert flaws.by_path() + Counter(ahead=flaws.ahead) == +counted
        assert set(flaws.examples) == set(flaws.by_path())
    codes = batch.type_code.tolist()
    assert decoded.flaws.types.tolist() == [codes.count(k) for k in (*range(len(TYPES)), -1)]


class _Judged:
    """The judge alone, and what it counts."""

    def __init__(self, mapping: EventMapping, received_ms: int) -> None:
        paths = EventPaths.of(mapping, NUMBERS, CATEGORIES)
        self._judge = Judge(mapping, paths, TYPES, Hearing(ConsentPlaces(mapping, PURPOSES)))
        self._paths = paths.counted
        self._is_strict = mapping.strict
        has_time = EARLIEST_MS <= received_ms < 10**14
        self._times = Times(
            received_ms if has_time else -1, received_ms if has_time else NOW_MS,
            EARLIEST_MS, AHEAD_MAX_MS,
        )  # fmt: skip
        self._unreadable: list[tuple[int, str]] = []
        self._present: list[int] = []
        self._ahead = 0

    def judge(self, value: bytes | None) -> str:
        """The event as its repr, or a reject code."""
        try:
            judged = self._judge.judge(value, self._times)
        except Refused as exc:
            return f"{exc.code} {exc.denial.consent if exc.denial else []}"
        self._unreadable += judged.unreadable
        self._present += judged.present
        self._ahead += judged.is_ahead
        return repr(judged.event)

    def flaws(self, like: Flaws) -> Flaws:
        """What it counted; `like` is what the decoder did, and must have seen the same come."""
        paths = range(len(self._paths))
        present = [self._present.count(k) for k in paths]
        # The kernels have counted what came before they leave a record to a strict judge.
        assert self._is_strict or like.present.tolist() == present
        unreadable = [path for path, _ in self._unreadable]
        return replace(
            like,
            unreadable=np.array([unreadable.count(k) for k in paths]),
            ahead=self._ahead,
            examples={self._paths[path]: sentence for path, sentence in self._unreadable},
        )
