"""Budgets drawn from one log by many owners, some of which crash, lag, or do not know that they are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import Campaign
from stream.campaign.sections.budget_section import MILLIONTHS, BudgetSpec
from stream.campaign.sections.contact_sections import wrong_contacts
from stream.contacts.budgets.budget_log import PERIODS_KEPT, BudgetLog, Draw
from stream.contacts.budgets.purse import Purse
from stream.contacts.budgets.spending import Spending, can_pay, compile_prices, pay
from tests.stream.contacts.contacts_harness import campaign

NOON_MS = 1_780_056_000_000  # 2026-05-29T12:00Z
DAY_MS = 86_400_000


def shop(**budget: Any) -> Campaign:
    return campaign(
        strategies=[
            {"id": "mail", "channel": "email", "cost": 0.5}, {"id": "call", "channel": "phone", "cost": 7.0},
        ],
        budgets=[{"id": "b", **budget}], contacts={"time_zone": "Europe/Berlin"},
    )  # fmt: skip


@dataclass
class Owner:
    """One claim, with the log as far as it has read it."""

    of: Campaign
    claim: str
    partitions: int
    read: int = 0
    spent: int = 0
    log: BudgetLog = field(default_factory=BudgetLog)

    def __post_init__(self) -> None:
        self.purse = Purse(self.of, self.log, self.claim, self.partitions)

    def follow(self, records: Sequence[bytes], until: int | None = None) -> None:
        for value in records[self.read : until]:
            self.log.read(value)
        self.read = max(self.read, len(records) if until is None else until)

    def spend(self, contacts: int, now_ms: int = NOON_MS, k: int = 0) -> int:
        """Makes as many of the contacts as can be paid."""
        spending = self.purse.open(now_ms)
        made = sum(try_to_pay(spending, k) for _ in range(contacts))
        self.purse.close(spending)
        self.spent += made
        return made


def try_to_pay(spending: Spending, k: int) -> bool:
    if not can_pay.py_func(spending, k):
        return False
    pay.py_func(spending, k)
    return True


_ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["work", "lag", "crash", "end", "zombie"]), st.integers(0, 2),
        st.integers(1, 9),
    ),
    max_size=60,
)  # fmt: skip


@given(_ACTIONS, st.integers(1, 40))
def test_never_more_is_spent_than_there_is(actions: list[tuple[str, int, int]], limit: int) -> None:
    of, records = shop(contacts=limit, per="total"), list[bytes]()
    now = [Owner(of, f"c{p}", 3) for p in range(3)]
    everyone, ended = list(now), 0

    def work(owner: Owner, contacts: int, until: int | None = None) -> None:
        """Reads on, as far as it has come, spends what it can, and asks for more."""
        owner.follow(records, until)
        owner.spend(contacts)
        records.extend(owner.purse.wishes(NOON_MS, events=contacts % 3))
        assert ended + sum(one.spent for one in everyone) <= limit

    for n, (action, p, size) in enumerate(actions):
        one = now[p]
        if action == "zombie":  # whoever it is, it goes on as if nothing had happened
            one = everyone[size % len(everyone)]
        work(one, size, min(len(records), one.read + 1) if action == "lag" else None)
        if action == "end":
            records += one.purse.returns()
            everyone.remove(one)
            ended += one.spent
        if action in ("crash", "end"):
            now[p] = Owner(of, f"n{n}", 3)
            everyone.append(now[p])
    for _ in range(30):  # and all of them at once, those that are none any more, too
        for one in everyone:
            records.extend(one.purse.wishes(NOON_MS, events=9))
        for one in everyone:
            work(one, 9)
    whole = Owner(of, "reader", 3)
    whole.follow(records)
    account = of.budgets[0].account
    assert whole.log.given(account, "total") <= of.budgets[0].limit


def run(of: Campaign, owners: list[Owner], demand: int, now_ms: int = NOON_MS) -> int:
    """Contacts that are made when every owner has so many to make, in small chunks."""
    records, made = list[bytes](), 0
    for at in range(0, demand, 10):
        for owner in owners:
            owner.follow(records)
            made += owner.spend(min(10, demand - at), now_ms)
            records += owner.purse.wishes(now_ms)
    return made


@pytest.mark.parametrize("partitions", [1, 4, 16])
def test_with_more_demand_than_budget_all_of_it_is_used(partitions: int) -> None:
    limit = 1_000 * partitions
    of = shop(contacts=limit)
    owners = [Owner(of, f"c{p}", partitions) for p in range(partitions)]
    made = run(of, owners, demand=1_500)
    assert 0.98 * limit <= made <= limit


def test_a_burst_is_drawn_for_before_it_is_decided() -> None:
    limit = 4_000
    of, records, made = shop(contacts=limit), list[bytes](), 0
    owners = [Owner(of, f"c{p}", 4) for p in range(4)]
    for _ in range(12):  # chunks of 500, six times what there is
        for owner in owners:
            records += owner.purse.wishes(NOON_MS, events=500)
            owner.follow(records)
            made += owner.spend(500)
    assert 0.98 * limit <= made <= limit


def test_a_draw_is_asked_for_once_until_the_log_has_it() -> None:
    owner, records = Owner(shop(contacts=1_000), "c", 1), list[bytes]()
    records += owner.purse.wishes(NOON_MS, events=100)
    assert len(records) == 1
    owner.spend(1)
    assert list(owner.purse.wishes(NOON_MS, events=100)) == []
    owner.follow(records)
    owner.spend(1_000)
    assert len(list(owner.purse.wishes(NOON_MS))) == 1


def test_who_has_enough_does_not_wait_for_a_draw() -> None:
    of = shop(contacts=1_000)
    owner, records = Owner(of, "c", 1), list[bytes]()
    records += owner.purse.wishes(NOON_MS, events=100)
    assert owner.purse.waits(NOON_MS, 1)
    owner.follow(records)
    assert not owner.purse.waits(NOON_MS, 1_000)  # nothing is asked for
    assert owner.spend(100) == 100
    records += owner.purse.wishes(NOON_MS)
    assert not owner.purse.waits(NOON_MS, 25)  # 125 were drawn
    assert owner.purse.waits(NOON_MS, 26)


def test_a_budget_goes_where_the_customers_are() -> None:
    of = shop(contacts=1_000)
    busy, idle = Owner(of, "busy", 2), Owner(of, "idle", 2)
    assert run(of, [busy], demand=1_500) + run(of, [idle], demand=0) >= 980


def test_money_is_what_strategies_cost() -> None:
    of = shop(money=10.0)
    assert compile_prices(of).tolist() == [[MILLIONTHS // 2, 7 * MILLIONTHS]]
    owner, records = Owner(of, "c", 1), list[bytes]()
    for _ in range(30):
        owner.spend(1, k=1)
        records += owner.purse.wishes(NOON_MS)
        owner.follow(records)
    assert owner.spent == 1
    owner.spend(100)
    for _ in range(30):
        records += owner.purse.wishes(NOON_MS)
        owner.follow(records)
        owner.spend(100)
    assert owner.spent == 1 + 6  # 7 + 6 * 0.5


def test_only_the_strategies_that_it_names_are_paid() -> None:
    assert compile_prices(shop(contacts=3, channels=["phone"])).tolist() == [[0, MILLIONTHS]]
    assert compile_prices(shop(contacts=3, strategies=["mail"])).tolist() == [[MILLIONTHS, 0]]


def test_a_day_is_that_of_the_campaign() -> None:
    of = shop(contacts=3)
    owner, records = Owner(of, "c", 1), list[bytes]()
    midnight_ms = NOON_MS + 10 * 3_600_000  # 22:00 UTC is midnight in Berlin, in summer
    made = []
    for now_ms in (midnight_ms - 1_000, midnight_ms):
        for _ in range(9):
            owner.spend(1, now_ms)
            records += owner.purse.wishes(now_ms)
            owner.follow(records)
        made.append(owner.spent)
    assert made == [3, 6]


def test_a_paced_budget_is_given_out_over_the_day() -> None:
    of = shop(contacts=2_400, paced=True)
    owner, records = Owner(of, "c", 1), list[bytes]()
    begin_ms = NOON_MS - 14 * 3_600_000  # midnight in Berlin
    for hour in range(24):
        now_ms = begin_ms + hour * 3_600_000
        for _ in range(200):
            owner.spend(5, now_ms)
            records += owner.purse.wishes(now_ms)
            owner.follow(records)
        assert owner.spent <= 2_400 * (hour * 3600 + 1) / 86_400
    assert owner.spent >= 0.98 * 2_400 * 23 / 24


def test_what_a_claim_gives_back_others_get_once() -> None:
    log = BudgetLog()

    def said(**fields: Any) -> None:
        log.read(msgspec.json.encode(Draw(account="b", period="total", **fields)))

    said(claim="a", take=8, limit=10)
    said(claim="a", give=5)
    said(claim="a", give=3)  # it has ended
    said(claim="a", take=1, limit=10)
    assert (log.given("b", "total"), log.of_claim("b", "total", "a")) == (3, 3)
    said(claim="b", take=100, limit=10)
    assert log.of_claim("b", "total", "b") == 7
    said(claim="c", give=4)  # of what it never had
    assert log.given("b", "total") == 10


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"account": 1}'])
def test_what_cannot_be_read_gives_nothing(value: bytes | None) -> None:
    log = BudgetLog()
    log.read(value)
    assert log.unreadable == 1


def test_old_days_are_forgotten() -> None:
    log = BudgetLog()
    days = [str(np.datetime64("2026-01-01") + day) for day in range(PERIODS_KEPT + 3)]
    for day in days:
        log.read(msgspec.json.encode(Draw(account="b", period=day, claim="a", take=5, limit=9)))
    assert [log.given("b", day) for day in days] == [0] * 3 + [5] * PERIODS_KEPT


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ({}, "expected either contacts or money, got neither"),
        ({"contacts": 1, "money": 1.0}, "got both"),
        ({"contacts": 1, "per": "total", "paced": True}, 'expected a budget per = "day"'),
        ({"contacts": 1, "strategies": ["fax"]}, 'expected one of mail, call, got "fax"'),
        ({"contacts": 1, "channels": ["fax"]}, 'expected one of email, phone, got "fax"'),
    ],
)
def test_a_wrong_budget_is_refused(budget: dict[str, Any], says: str) -> None:
    plain = shop(contacts=1)
    wrong = msgspec.convert([{"id": "b", **budget}], tuple[BudgetSpec, ...])
    assert says in wrong_contacts(msgspec.structs.replace(plain, budgets=wrong))
