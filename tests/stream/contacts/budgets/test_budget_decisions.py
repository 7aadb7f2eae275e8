"""Decisions under budgets: what can be paid is made, in the order of events, and nothing beyond."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign, parse
from stream.contacts.budgets.budget_log import BudgetLog, Draw
from stream.contacts.budgets.purse import Purse
from stream.contacts.contact_layout import lay_out_contacts
from stream.contacts.contact_table import ContactTable
from stream.decisions.reader import parse as parsed
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline
from stream.policy.choice import Policy
from stream.scoring.no_model import NoModel
from stream.state.table import CustomerTable
from tests.stream.worker.test_topics_layout_letters import decisions_of
from tests.trainer.parity.parity_harness import Record, chunk_of, event

NOW_MS = 1_780_056_000_000
TEXT = """
app = "shop"
topics = { events = ["events"] }
features = [{ op = "count", events = ["View"], half_lives = ["1d"] }]
policy = { without_model = "explore", fallback = "mail", consent = "ignore" }
exploration = { without_model = 0.0 }
contacts = { time_zone = "UTC" }
decisions = { expires_after = "EXPIRES" }
[[strategies]]
id = "mail"
cost = 2.0
[[strategies]]
id = "push"
enabled = false
"""


class Partition:
    """One partition of a shop with a budget, and the log of its draws."""

    def __init__(self, budget: str, expires: str = "1h", more: str = "") -> None:
        self.of: Campaign = parse(
            TEXT.replace("EXPIRES", expires) + f"[[budgets]]\n{budget}\n{more}"
        )
        plan = compile_features(self.of)
        self._pipeline = Pipeline(self.of, plan)
        self._table = CustomerTable(plan.row_words)
        self._contacts = ContactTable(lay_out_contacts(self.of))
        self._deployment = Deployment(NoModel(plan.contract), Policy.without_model(self.of))
        self.log = BudgetLog()
        self._contacts.purse = self.purse = Purse(self.of, self.log, "c", 1)
        self._offset = 0

    def give(self, amount: float, period: str = "2026-05-29") -> None:
        draw = Draw(account=self.of.budgets[0].account, period=period, claim="c",
                    take=round(amount * 1e6), limit=10**15)  # fmt: skip
        self.log.read(msgspec.json.encode(draw))

    def decide(self, customers: int, time_ms: int = NOW_MS) -> list[Any]:
        events: list[Record] = [
            event(f"c{self._offset + i}", 0, time_ms, received_ms=time_ms) for i in range(customers)
        ]
        chunk = chunk_of("events", events, self._offset)
        self._offset += customers
        step = self._pipeline.step(
            chunk, self._table, self._deployment, silent_until=0, now_ms=NOW_MS,
            contacts=self._contacts,
        )  # fmt: skip
        found = decisions_of(step.decisions[0])
        return [parsed(found.value[i] or b"") for i in range(len(found))]


def strategies(decisions: list[Any]) -> list[str]:
    return [one.data.action.strategy for one in decisions]


def test_a_chunk_spends_what_there_is_and_no_more() -> None:
    shop = Partition('id = "b"\ncontacts = 10')
    assert set(strategies(shop.decide(3))) == {"nothing"}  # nothing is drawn yet
    shop.give(5)
    decisions = shop.decide(8)
    assert strategies(decisions) == ["mail"] * 5 + ["nothing"] * 3
    assert [one.data.reasons for one in decisions[4:6]] == [("FALLBACK",), ("BUDGET",)]
    assert {d.code for d in decisions[6].data.dropped} == {"BUDGET", "DISABLED"}
    shop.give(2)
    assert strategies(shop.decide(3)) == ["mail"] * 2 + ["nothing"]


def test_money_is_spent_by_cost() -> None:
    shop = Partition('id = "b"\nmoney = 100.0')
    shop.give(5)
    assert strategies(shop.decide(4)) == ["mail"] * 2 + ["nothing"] * 2


def test_a_decision_that_has_expired_spends_nothing() -> None:
    shop = Partition('id = "b"\ncontacts = 10')
    shop.give(1)
    assert strategies(shop.decide(2, NOW_MS - 7_200_000)) == ["mail"] * 2
    assert strategies(shop.decide(2)) == ["mail", "nothing"]


def test_who_is_held_out_spends_nothing() -> None:
    shop = Partition('id = "b"\ncontacts = 10', more='[[holdouts]]\nid = "h"\nshare = 0.999999')
    shop.give(1)
    decisions = shop.decide(5)
    assert set(strategies(decisions)) == {"nothing"}
    assert shop.purse.open(NOW_MS).left.tolist() == [1_000_000]


@pytest.mark.parametrize("paid", ["a", "b"])
def test_all_budgets_hold_at_once(paid: str) -> None:
    shop = Partition('id = "a"\ncontacts = 10', more='[[budgets]]\nid = "b"\ncontacts = 20')
    for budget in shop.of.budgets:
        take = 3 if budget.id == paid else 2
        shop.log.read(msgspec.json.encode(Draw(
            account=budget.account, period="2026-05-29", claim="c", take=take * 10**6, limit=10**15,
        )))  # fmt: skip
    assert strategies(shop.decide(4)).count("mail") == 2
    np.testing.assert_array_equal(
        shop.purse.open(NOW_MS).left, [10**6 * (name == paid) for name in "ab"]
    )
