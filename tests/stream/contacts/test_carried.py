"""Contacts follow a login: what was counted for the id counts for the customer, once, whatever a crash cuts."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from stream.columns import RecordChunk
from stream.contacts.carried_contacts import add_contacts
from stream.contacts.contact_kernel import count
from stream.contacts.contact_table import ContactTable
from tests.stream.contacts.contact_shop import (
    ALL,
    DAILY,
    DAY_MS,
    HOUR_MS,
    NOON_MS,
    THREE,
    Event,
    Shop,
    campaign,
    event,
    history,
    taken,
    told,
)

MERGE = '\n[events]\nlogin = "merge"\n'


def login(time_ms: int, user: str, before: str, **properties: str) -> Event:
    return {**event("identify", time_ms, user, **properties), "previousId": before}


def shop_of(rules: str, strategies: str = THREE) -> Shop:
    return Shop(campaign(rules + MERGE, strategies))


def test_a_cap_counts_the_contacts_from_before_the_login() -> None:
    shop = shop_of(DAILY)
    cart, after = event("cart", NOON_MS, "anon"), event("cart", NOON_MS, "u-1")
    assert taken(shop.decide(cart, login(NOON_MS, "u-1", "anon"), after)) == ["mail", "nothing"]
    assert taken(shop.decide(event("cart", NOON_MS, "anon"))) == ["mail"]  # begins anew
    assert taken(shop.decide(event("cart", NOON_MS, "u-2"))) == ["mail"]


def test_the_open_decision_and_the_pause_are_carried_over() -> None:
    rules = '[contacts]\ntime_zone = "UTC"\none_open = true\ncomplained = ["complaint"]\n'
    of = '{ id = "mail", value = 2 }, { id = "push", cool_down_complained = "9d" }'
    shop = shop_of(rules, of)
    shop.decide(
        event("cart", NOON_MS, "anon"), event("complaint", NOON_MS, "anon", strategy="push")
    )
    (one,) = shop.decide(login(NOON_MS, "u-1", "anon"), event("cart", NOON_MS, "u-1"))
    assert [drop["code"] for drop in one["dropped"]] == ["OPEN_DECISION", "ANSWERED"]


def test_a_login_that_is_told_twice_carries_over_once() -> None:
    shop = shop_of(DAILY)
    said = {**login(NOON_MS, "u-1", "anon"), "messageId": "l-1"}
    shop.decide(said)
    assert taken(shop.decide(event("cart", NOON_MS, "anon"))) == ["mail"]
    shop.decide(said)
    assert taken(shop.decide(event("cart", NOON_MS, "anon"))) == ["nothing"]  # still its own


def logins(seed: int) -> list[Event]:
    some, found = Random(seed), history(seed, 120)
    people = sorted({str(one["userId"]) for one in found})
    for i in range(0, 120, 6):
        user, before = some.sample(people, 2)
        found[i] = login(NOON_MS + 40 * i, user, before)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_chunk_boundaries_change_nothing(seed: int) -> None:
    of = campaign(ALL + MERGE, THREE)
    whole, pieces = Shop(of), Shop(of)
    chunk, now_ms = whole.chunk(logins(seed)), NOON_MS + 9_000
    decided = told(whole.step(chunk, now_ms))
    some, at, cut = Random(seed), 0, []
    while at < len(chunk):
        end = min(len(chunk), at + some.randrange(1, 9))
        cut += told(pieces.step(piece(chunk, at, end), now_ms))
        at = end
    assert cut == decided
    assert by_customer(pieces) == by_customer(whole)


def by_customer(shop: Shop) -> dict[bytes, bytes | None]:
    """Contact rows; ids that were not seen before have rows in the order of chunks."""
    return dict(zip(shop.table.keys(), shop.written(), strict=True))


def piece(chunk: RecordChunk, first: int, end: int) -> RecordChunk:
    return chunk.take(np.arange(first, end))


@pytest.mark.parametrize("lost", ["source", "both", "neither"])
def test_a_replay_completes_what_a_crash_has_cut(lost: str) -> None:
    """The customer's row is written first, or both together: so the id's may be as of before the login, or both."""
    of = campaign(DAILY.replace("contacts = 1", "contacts = 3") + MERGE, THREE)
    killed, restored = Shop(of), Shop(of)
    before = killed.chunk([event("cart", NOON_MS, "anon"), event("cart", NOON_MS, "u-1")])
    after = killed.chunk([login(NOON_MS, "u-1", "anon")])
    for shop in (killed, restored):
        shop.step(before, NOON_MS)
    killed.step(after, NOON_MS)
    contacts, of_killed = restored.contacts, killed.contacts
    assert contacts is not None
    assert of_killed is not None
    rows = {"source": restored.table.find(b"anon"), "target": restored.table.find(b"u-1")}
    for name, row in rows.items():
        if lost not in (name, "both"):
            contacts.cells[row] = of_killed.cells[row]
            contacts.next_offset[row] = of_killed.next_offset[row]
    restored.step(after, NOON_MS)
    assert restored.written() == killed.written()


@pytest.mark.parametrize("seed", range(20))
def test_both_histories_in_one_row_are_as_if_all_had_been_counted_there(seed: int) -> None:
    rules = (
        '[contacts]\ntime_zone = "Europe/Berlin"\none_open = true\nfailed = ["bounce"]\n'
        '[[caps]]\nid = "r"\ncontacts = 3\nwithin = "3d"\n'
        '[[caps]]\nid = "d"\ncontacts = 2\nper = "day"\nzone = "campaign"\n'
        '[[caps]]\nid = "w"\ncontacts = 2\nper = "week"\nscope = "strategy"\nzone = "campaign"\n'
    )
    shop = Shop(campaign(rules, THREE))
    reader = shop.pipeline.deciding._reader
    plan, zones = reader.plan, reader.zones.zones
    table, some = ContactTable(plan.layout), Random(seed)
    table.fit(3)
    for _ in range(some.randrange(1, 12)):
        at_ms = NOON_MS + some.randrange(4 * DAY_MS)
        k, row = some.randrange(3), some.randrange(2)
        for into in (row, 2):
            count(plan.rules, zones, table.cells, into, k, at_ms, at_ms + HOUR_MS, 0)
    add_contacts(plan.rules, table.cells, 0, 1)
    known = table.cells[[1, 2]]
    for slot in plan.layout.slots:
        if slot.kind != "period":
            both = known[:, slot.cell : slot.cell + slot.size]
            assert (both[0] == both[1]).all(), slot.name
    # A period that is too early for a row is not counted there: the merged row may know more of it.
    assert (known[0] >= known[1]).all() or (known[0] == known[1]).all()
