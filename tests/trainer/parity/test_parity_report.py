"""What a parity report says, and of whom."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from rich.console import Console

from tests.trainer.parity.parity_harness import Shop, about
from trainer.commands.printed.parity_tables import print_parity
from trainer.parity.causes import Cause
from trainer.parity.compare import Measured
from trainer.parity.findings import Findings
from trainer.parity.result import Where


def place(topic: str) -> Callable[[int], Where]:
    return lambda i: Where(topic, 0, i, None)


def test_relative_difference_is_that_of_the_sums() -> None:
    found = Measured.of(np.array([[1], [3]], np.float32), np.array([[2], [-1]], np.float32))
    found += Measured.nothing(1)
    assert (found.relative[0], found.largest[0]) == (5 / 7, 4)


def test_the_first_difference_shown_is_one_that_nothing_explains() -> None:
    cut, fault = int(Cause.HISTORY_CUT), int(Cause.DIFFERENT)
    findings = Findings(("a", "b"))
    replayed = np.zeros((3, 2), np.float32)
    first = np.array([[1, 0], [2, 0], [3, 5]], np.float32)
    findings.add_differences(first, replayed, np.array([cut, fault, cut]), place("first"))
    findings.add_differences(first, replayed, np.array([fault, cut, fault]), place("then"))
    shown = [feature.first for feature in findings.report("", "", 1.0).features if feature.first]
    assert [(one.where.topic, one.where.offset, one.logged, one.cause) for one in shown] == [
        ("first", 1, 2, "different"), ("then", 2, 5, "different"),
    ]  # fmt: skip


def test_nothing_compared_is_no_parity(shop: Shop) -> None:
    shop.decisions = []
    parity = shop.check()
    assert parity.undecided_yet == len(shop.events["events"])
    assert not parity.faults
    assert parity.inconclusive
    assert not parity.holds


def test_what_a_cut_history_excuses_is_not_counted_as_compared_in_earnest(shop: Shop) -> None:
    n = len(shop.decisions)
    assert (shop.check().conclusive, shop.check().conclusive_customers) == (n, 12)
    shop.starts = {"events": 60, "shop-decisions": 60}  # nobody knows who had events before
    for i in range(60, n):
        shop.flip(i)
    parity = shop.check()
    assert (parity.compared, parity.compared_customers, parity.faults) == (n - 60, 12, 0)
    assert (parity.conclusive, parity.conclusive_customers) == (0, 0)
    assert parity.inconclusive
    assert not parity.holds
    console = Console(record=True, width=300, highlight=False)
    print_parity(console, parity)
    assert "0 vectors of 0 customers say something" in (said := console.export_text())
    assert "Almost nothing could be compared in earnest: 0 of" in said


def test_customers_are_named_only_when_asked(shop: Shop) -> None:
    shop.flip(40)
    assert shop.check().findings[0].first.customer is not None
    (finding,) = shop.check(show_customers=False).findings
    assert finding.first == msgspec.structs.replace(about(shop, 40), customer=None)
