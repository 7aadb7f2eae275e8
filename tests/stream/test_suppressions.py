"""Events that close a channel to a customer, from record bytes to decisions."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.campaign.consent_sections import SuppressionSpec
from tests.stream.consent_harness import (
    DAY,
    HOUR,
    NOW_MS,
    Shop,
    added,
    dropped,
    identify,
    outcome,
    segment,
)

DENIED = identify(False)
BOUNCES = SuppressionSpec(
    events=("Email Bounced",), channel="email", where={"properties.kind": ("hard", "permanent")},
    for_="30d", lifted_by=("Email Resubscribed",),
)  # fmt: skip
COMPLAINTS = SuppressionSpec(events=("Spam Complaint",), channel="*")


def closing(*suppressions: SuppressionSpec) -> Shop:
    return Shop(segment(suppressions=suppressions))


def tracked(name: str, time_ms: int = NOW_MS, **properties: Any) -> Any:
    return added(time_ms, event=name, properties=properties)


def test_a_bounce_closes_a_channel_for_a_while() -> None:
    shop = closing(BOUNCES)
    shop.take(tracked("Email Bounced", kind="soft"))
    assert outcome(shop) == "act"
    shop.take(tracked("Email Bounced", kind="Hard"))
    said = dropped(shop)
    assert said["cart-reminder"] == said["ten-percent"] == "SUPPRESSED"
    assert said["new-arrivals"] == "NOT_ELIGIBLE"
    assert shop.row()["closed_until_ms"] == {"email": NOW_MS + 30 * DAY}
    before, after = NOW_MS + 30 * DAY - 1, NOW_MS + 30 * DAY
    assert outcome(shop, before) == "NONE_ELIGIBLE"
    assert outcome(shop, after) == "act"


def test_a_complaint_closes_all_channels_for_ever() -> None:
    shop = closing(BOUNCES, COMPLAINTS)
    shop.take(tracked("Spam Complaint"))
    assert outcome(shop) == "SUPPRESSED"
    assert outcome(shop, NOW_MS + 3000 * DAY) == "SUPPRESSED"
    assert shop.row()["closed_until_ms"]["*"] == "for ever"


def test_an_event_opens_a_channel_again_unless_it_is_older() -> None:
    shop = closing(BOUNCES)
    shop.take(tracked("Email Bounced", kind="permanent"))
    shop.take(tracked("Email Resubscribed", NOW_MS - HOUR))
    assert dropped(shop)["cart-reminder"] == "SUPPRESSED"
    shop.take(tracked("Email Resubscribed", NOW_MS))
    assert outcome(shop) == "act"


def test_a_slow_clock_shortens_no_suppression() -> None:
    shop = closing(BOUNCES)
    shop.take(added())
    shop.take(tracked("Email Bounced", NOW_MS - 90 * DAY, kind="hard"))
    assert dropped(shop)["cart-reminder"] == "SUPPRESSED"


def test_suppressions_hold_when_consent_is_ignored() -> None:
    policy = msgspec.structs.replace(segment().policy, consent="ignore")
    shop = Shop(segment(policy=policy, suppressions=(COMPLAINTS,)))
    shop.take(DENIED)
    assert outcome(shop) == "act"
    shop.take(tracked("Spam Complaint"))
    assert outcome(shop) == "SUPPRESSED"
