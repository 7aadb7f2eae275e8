"""Nobody is contacted against their will: what was said, from record bytes to decisions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.stream.consent_harness import (
    DAY,
    HOUR,
    NOW_MS,
    SECOND,
    Shop,
    added,
    contacted,
    identify,
    outcome,
    segment,
)

MINUTE = 60 * SECOND


GRANTED, DENIED = identify("granted"), identify(False)


def test_the_control() -> None:
    assert contacted() == "act"
    assert contacted(GRANTED) == "act"
    assert contacted(DENIED) == "NO_CONSENT"


def test_traits_of_the_context_are_traits() -> None:
    context = {"traits": {"marketing_consent": False}}
    assert contacted(identify(context=context)) == "NO_CONSENT"
    assert contacted(added(event="Product Viewed", context=context)) == "NO_CONSENT"


@pytest.mark.parametrize("word", ["unsubscribed", "opted_out", 0, "0", "Opted Out", "NEVER", "n"])
def test_words_of_engines_take_consent_back(word: Any) -> None:
    shop = Shop(segment())
    step = shop.take(GRANTED, identify(word))
    assert step.rejects == []
    assert outcome(shop) == "NO_CONSENT"
    assert shop.row()["consent"]["marketing"]["said"] == "withdrawn"


@pytest.mark.parametrize("word", ["hmm", "-1", 2, 1.5, {"value": True}, [True], "granted?", " "])
def test_a_word_that_nobody_knows_stops_contacts_until_one_is_read(word: Any) -> None:
    shop = Shop(segment())
    step = shop.take(GRANTED, identify(word))
    assert (step.rejects, step.unreadable) == ([], 1)
    assert [path for path, _ in step.unreadable_words] == ["traits.marketing_consent"]
    assert outcome(shop) == "NO_CONSENT"
    shop.take(identify("subscribed", NOW_MS + SECOND), at_ms=NOW_MS + SECOND)
    assert outcome(shop, NOW_MS + SECOND) == "act"


@pytest.mark.parametrize(
    "wrong",
    [
        {"timestamp": "2025-10-09 at 8"}, {"timestamp": 5}, {"timestamp": NOW_MS + 30 * DAY},
        {"timestamp": {}}, {"type": None}, {"type": 7}, {"messageId": []},
        {"properties": {"category": {"a": 1}}}, {"properties": {"revenue": "a lot"}},
    ],
)  # fmt: skip
def test_a_denial_counts_whatever_else_is_wrong_with_its_record(wrong: dict[str, Any]) -> None:
    shop = Shop(segment())
    shop.take(GRANTED)
    before = shop.row()
    step = shop.take({**DENIED, "event": None, **wrong})
    assert outcome(shop) == "NO_CONSENT"
    if step.rejects:
        assert len(step.dead_letters) == 1
        assert step.decided == 0
        assert before["first_ms"] == shop.row()["first_ms"]


def test_a_record_that_is_no_event_grants_nothing_and_moves_no_clock() -> None:
    shop = Shop(segment())
    shop.take(DENIED)
    clock_ms = shop.row()["clock_ms"]
    later = NOW_MS + HOUR
    step = shop.take({**identify("granted", later), "type": 7}, at_ms=later)
    assert len(step.rejects) == 1
    assert outcome(shop, later) == "NO_CONSENT"
    step = shop.take({**identify("hmm", later + 1), "type": 7}, at_ms=later + 1)
    assert shop.row()["consent"]["marketing"]["said"] == "unreadable"
    assert clock_ms == NOW_MS
    assert shop.row()["clock_ms"] == later


def test_what_a_customer_denies_wins_over_what_else_the_event_says() -> None:
    context = {"traits": {"marketing_consent": False}, "consent": {"marketing": True}}
    assert contacted(identify(True, context=context)) == "NO_CONSENT"
    assert contacted(identify("hmm", context={"consent": {"marketing": True}})) == "NO_CONSENT"


def test_words_of_a_campaign_add_to_those_that_are_known() -> None:
    mapping = msgspec.structs.replace(
        segment().events, consent_granted=("Ja",), consent_denied=("Nein danke",)
    )
    campaign = segment(events=mapping)
    assert contacted(identify("nein-danke"), campaign=campaign) == "NO_CONSENT"
    assert contacted(DENIED, identify("JA"), campaign=campaign) == "act"
    assert contacted(identify("no"), campaign=campaign) == "NO_CONSENT"


def test_a_clock_that_is_ahead_keeps_no_withdrawal_from_working() -> None:
    shop = Shop(segment())
    shop.take(identify("granted", NOW_MS + 20 * HOUR))
    shop.take(identify(False, NOW_MS + MINUTE), at_ms=NOW_MS + MINUTE)
    assert outcome(shop, NOW_MS + MINUTE) == "NO_CONSENT"
    shop.take(identify(True, NOW_MS + 2 * MINUTE), at_ms=NOW_MS + 2 * MINUTE)
    assert outcome(shop, NOW_MS + 2 * MINUTE) == "act"


def test_a_clock_that_is_slow_keeps_no_withdrawal_from_working() -> None:
    shop = Shop(segment())
    shop.take(GRANTED, identify(False, NOW_MS - DAY))
    assert outcome(shop) == "NO_CONSENT"
    shop.take(identify(True, NOW_MS - HOUR))  # late: from before the grant that was taken back
    assert outcome(shop) == "NO_CONSENT"
    shop.take(identify(True, NOW_MS))
    assert outcome(shop) == "act"
