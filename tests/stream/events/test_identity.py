"""Who an event is about: what is no id, how numbers are read, and who is identified."""

from __future__ import annotations

import json

import msgspec
import pytest

from stream.campaign.file import EventMapping
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from stream.events.reasons import Judge
from tests.stream.events.events_harness import NOW_MS, TYPES, chunk_of

MAPPING = EventMapping()
DECODER = EventDecoder(MAPPING, TYPES, (), ())


def decoded(text: bytes, decoder: EventDecoder = DECODER) -> Decoded:
    """What becomes of an event, by the kernels; and by the judge, for an escaped key, the same."""
    judged = text.replace(b'"type"', b'"\\u0074ype"')
    found = decoder.decode(chunk_of([text, judged], NOW_MS), NOW_MS)
    if found.rejects:
        assert len({(reject.code, reject.reason) for reject in found.rejects}) == 1
        assert len(found.rejects) == 2
    else:
        assert found.batch.customer[0] == found.batch.customer[1]
        assert found.batch.event_id[0] == found.batch.event_id[1]
        assert found.identified[0] == found.identified[1]
    return found


def customer(decoder: EventDecoder = DECODER, /, **fields: object) -> tuple[bytes | None, bool]:
    found = decoded(json.dumps({"type": "view", **fields}).encode(), decoder)
    assert not found.rejects, found.rejects
    return found.batch.customer[0], bool(found.identified[0])


@pytest.mark.parametrize(
    "no_id",
    [
        "undefined", "null", "NULL", " None\n", "nil", "NaN", "0", "\t0 ", "unknown", "Anonymous",
        "00000000-0000-0000-0000-000000000000", "[object Object]", " ", "\n\t", 0, -0.0, 0.0, "n/a",
    ],
)  # fmt: skip
def test_what_is_no_customer_gives_way_to_the_next_path(no_id: object) -> None:
    assert customer(userId=no_id, anonymousId="a-1") == (b"a-1", False)
    found = decoded(json.dumps({"type": "view", "userId": no_id}).encode())
    assert [reject.code for reject in found.rejects] == ["missing_customer"] * 2


@pytest.mark.parametrize(
    "own",
    ["undefined1", "nul", "00", " u-1 ", "0000000-0000-0000-0000-0000000000000", "unknow\u00f1",
     "00000000-0000-0000-0000-000000000001", "\u00a0", "o"],
)  # fmt: skip
def test_what_only_looks_like_none_is_a_customer(own: str) -> None:
    assert customer(userId=own, anonymousId="a-1") == (own.encode(), True)


@pytest.mark.parametrize(
    ("number", "text"),
    [("1234", "1234"), ("1234.0", "1234"), ("1.234e3", "1234"), ("-7", "-7"), ("-7.00", "-7"),
     ("12345678901234567890123", "12345678901234567890123"), ("1e21", "1" + "0" * 21)],
)  # fmt: skip
def test_numbers_are_customers_by_their_value(number: str, text: str) -> None:
    found = decoded(f'{{"userId":{number},"messageId":{number},"type":"view"}}'.encode())
    assert (found.batch.customer[0], found.batch.event_id[0]) == (text.encode(), text.encode())


@pytest.mark.parametrize("number", ["1.5", "1234.01", "1e-3", "1e999999", "true", "{}"])
def test_what_is_no_whole_number_is_refused(number: str) -> None:
    found = decoded(f'{{"userId":{number},"anonymousId":"a","type":"view"}}'.encode())
    assert {reject.code for reject in found.rejects} == {"bad_type"}


def test_blanks_are_no_event_id_and_words_are() -> None:
    spaced = msgspec.structs.replace(MAPPING, event_id=("messageId", "id"))
    decoder = EventDecoder(spaced, TYPES, (), ())
    text = json.dumps({"type": "view", "userId": "u", "messageId": " \t", "id": "0"}).encode()
    assert decoded(text, decoder).batch.event_id[0] == b"0"
    assert decoded(text).batch.event_id[0] is None


def test_a_usual_fallback_and_a_pandas_number_never_reach_the_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(Judge, "judge")
    values = [b'{"type":"view","userId":"undefined","anonymousId":"a"}',
              b'{"type":"view","userId":1234.0}', b'{"type":"view","userId":0,"anonymousId":"a"}']  # fmt: skip
    found = DECODER.decode(chunk_of(values, NOW_MS), NOW_MS)
    assert [found.batch.customer[k] for k in range(3)] == [b"a", b"1234", b"a"]
    assert found.identified.tolist() == [False, True, False]


def test_only_the_first_path_identifies() -> None:
    assert customer(userId="u", anonymousId="a") == (b"u", True)
    assert customer(userId="a", anonymousId="a") == (b"a", True)
    assert customer(userId=None, anonymousId="u") == (b"u", False)
    envelope: dict[str, object] = {"specversion": "1.0", "subject": "s"}
    assert customer(**envelope, data={"userId": "u"}) == (b"u", True)
    assert customer(**envelope, data={"anonymousId": "a"}) == (b"a", False)
    assert customer(**envelope, data={"anonymousId": "a"}, userId="u") == (b"a", False)
    assert customer(**envelope, data={}, userId="u") == (b"u", True)
    assert customer(**envelope, data={}) == (b"s", False)


def test_words_of_ones_own() -> None:
    mapping = msgspec.structs.replace(MAPPING, no_ids=(" Gast ", "\u00c4" * 40))
    decoder = EventDecoder(mapping, TYPES, (), ())
    assert customer(decoder, userId="GAST", anonymousId="a") == (b"a", False)
    assert customer(decoder, userId="\u00c4" * 40, anonymousId="a") == (b"a", False)
    assert customer(decoder, userId="0", anonymousId="a") == (b"0", True)
    nothing = EventDecoder(msgspec.structs.replace(MAPPING, no_ids=()), TYPES, (), ())
    assert customer(nothing, userId="null") == (b"null", True)
    assert customer(nothing, userId=" ", anonymousId="a") == (b"a", False)
