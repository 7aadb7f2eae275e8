"""Rules about contacts bind decisions: end to end, rule by rule."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.stream.contacts.contact_shop import (
    DAILY,
    DAY_MS,
    HOUR_MS,
    NOON_MS,
    OPEN,
    SECOND_MS,
    Shop,
    at,
    campaign,
    event,
    taken,
)


def test_the_second_event_of_a_customer_in_one_chunk_is_capped() -> None:
    first, second, other = Shop(campaign(DAILY)).decide(
        event("cart", NOON_MS), event("cart", NOON_MS), event("cart", NOON_MS, "u-2")
    )
    assert taken([first, second, other]) == ["mail", "nothing", "mail"]
    assert (first["retry_at"], first["not_before"]) == ({}, None)
    assert second["reasons"] == ["CONTACT_RULES"]
    assert second["dropped"] == [
        {"strategy": name, "code": "CAPPED", "stage": "contacts"} for name in ("mail", "push")
    ]
    midnight = "2026-05-29T22:00:00.000Z"  # in Berlin
    assert second["retry_at"] == {"mail": midnight, "push": midnight}


def test_a_burst_of_five_carts_leaves_one_decision_open() -> None:
    shop = Shop(campaign(OPEN, '{ id = "mail" }'))
    burst = [event("cart", NOON_MS + 120 * i) for i in range(5)]
    decisions = shop.decide(*burst, now_ms=NOON_MS + SECOND_MS)
    assert taken(decisions) == ["mail"] + 4 * ["nothing"]
    assert {one["dropped"][0]["code"] for one in decisions[1:]} == {"OPEN_DECISION"}
    assert {one["retry_at"]["mail"] for one in decisions[1:]} == {at(NOON_MS + HOUR_MS)}
    late = NOON_MS + HOUR_MS
    assert taken(shop.decide(event("cart", late), now_ms=late)) == ["mail"]


@pytest.mark.parametrize(
    ("rules", "strategies", "code", "free_ms"),
    [
        ("", '{ id = "mail", cool_down = "3d" }', "COOL_DOWN", 3 * DAY_MS),
        ('[[caps]]\nid = "w"\ncontacts = 1\nwithin = "7d"', '{ id = "mail" }', "CAPPED", 7 * DAY_MS),
    ],
)  # fmt: skip
def test_retry_at_is_the_first_second_that_passes(
    rules: str, strategies: str, code: str, free_ms: int
) -> None:
    for wait_ms, then in ((free_ms - SECOND_MS, "nothing"), (free_ms, "mail")):
        shop = Shop(campaign(rules, strategies))
        first, again = shop.decide(event("cart", NOON_MS), event("cart", NOON_MS))
        assert taken([first, again]) == ["mail", "nothing"]
        assert again["dropped"][0]["code"] == code
        assert again["retry_at"] == {"mail": at(NOON_MS + free_ms)}
        later = NOON_MS + wait_ms
        assert taken(shop.decide(event("cart", later), now_ms=later)) == [then]


def test_exclusive_strategies_keep_each_other_away() -> None:
    rules = '[[exclusive]]\nid = "x"\nmembers = ["mail", "push"]\nwithin = "30d"\n'
    cooling = '{ id = "mail", value = 2, cool_down = "9d" }, { id = "push" }'
    _, second = Shop(campaign(rules, cooling)).decide(*2 * [event("cart", NOON_MS)])
    assert [one["code"] for one in second["dropped"]] == ["COOL_DOWN", "EXCLUDED"]


def test_what_obeys_no_caps_goes_out_and_what_does_not_count_stops_nobody() -> None:
    service = '{ id = "mail", value = 2, obeys_caps = false }, { id = "push" }'
    assert taken(Shop(campaign(DAILY, service)).decide(*3 * [event("cart", NOON_MS)])) == 3 * [
        "mail"
    ]
    uncounted = '{ id = "mail", value = 2, counts = false, cool_down = "1d" }, { id = "push" }'
    got = Shop(campaign(DAILY, uncounted)).decide(*3 * [event("cart", NOON_MS)])
    assert taken(got) == ["mail", "push", "nothing"]


def test_what_has_expired_counts_nothing() -> None:
    shop = Shop(campaign(DAILY))
    old = [event("cart", NOON_MS)] * 2
    assert taken(shop.decide(*old, now_ms=NOON_MS + HOUR_MS)) == ["mail", "mail"]
    fresh = [event("cart", NOON_MS + 1)] * 2  # of a day without contacts so far
    assert taken(shop.decide(*fresh, now_ms=NOON_MS + HOUR_MS)) == ["mail", "nothing"]


def test_a_decision_sees_what_engines_said_before_it_and_not_after() -> None:
    rules = DAILY.replace("[[caps]]", 'failed = ["bounce"]\n[[caps]]')
    cart, bounce = event("cart", NOON_MS), event("bounce", NOON_MS, strategy="mail")
    shop = Shop(campaign(rules))
    assert taken(shop.decide(cart, cart, bounce, cart, cart)) == [
        "mail", "nothing", "mail", "nothing",
    ]  # fmt: skip
    assert taken(shop.decide(bounce)) == []  # a chunk without decisions is heard, too
    assert taken(shop.decide(cart)) == ["mail"]


QUIET = """[contacts]
time_zone = "Europe/Berlin"
zone_property = "context.timezone"
[quiet_hours]
from = "21:00"
until = "08:00"
"""


def test_what_is_decided_at_night_is_held_until_the_morning() -> None:
    at_night = NOON_MS + 9 * HOUR_MS  # 23:00 in Berlin, 17:00 in New York
    rules = QUIET.replace("[contacts]", 'expires_after = "15h"\n[contacts]')
    away = {**event("cart", at_night, "u-2"), "context": {"timezone": "America/New_York"}}
    got = Shop(campaign(rules)).decide(event("cart", at_night), away, now_ms=at_night)
    assert taken(got) == ["mail", "mail"]
    assert "2026-05-30T06:00" <= got[0]["not_before"] < "2026-05-30T07:00"
    assert got[1]["not_before"] is None


@pytest.mark.parametrize(("mode", "code"), [("hold", "HELD_PAST_EXPIRY"), ("drop", "QUIET_HOURS")])
def test_what_cannot_be_held_is_dropped_and_passes_at_its_retry(mode: str, code: str) -> None:
    at_night = NOON_MS + 9 * HOUR_MS
    of = campaign(QUIET.replace('zone_property = "context.timezone"\n', "") + f'mode = "{mode}"')
    shop = Shop(of)
    assert shop.contacts is None  # nothing has to be remembered
    (got,) = shop.decide(event("cart", at_night), now_ms=at_night)
    assert got["dropped"][0] == {"strategy": "mail", "code": code, "stage": "quiet_hours"}
    retry = datetime.fromisoformat(got["retry_at"]["mail"])
    for early_s, then in ((1, "nothing"), (0, "mail")):
        now_ms = round(retry.timestamp() - early_s) * 1000
        assert taken(shop.decide(event("cart", now_ms), now_ms=now_ms)) == [then]


def test_ghosts_of_customers_who_are_held_out_count() -> None:
    more = '[[holdouts]]\nid = "all"\nshare = 0.5\n'
    shop = Shop(campaign(DAILY + more))
    got = shop.decide(*[event("cart", NOON_MS, f"u-{i % 20}") for i in range(40)])
    groups = {one["external_id"]: one["group"] for one in got}
    assert set(groups.values()) == {"treatment", "holdout"}
    for n, one in enumerate(got):
        would = one["ghost"] if one["group"] == "holdout" else one["action"]["strategy"]
        assert would == ("mail" if n < 20 else "nothing")
