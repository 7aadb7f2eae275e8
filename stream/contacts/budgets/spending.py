"""The budgets of a chunk as the loop over decisions reads them, and paying from them.

Rules of this file
1. A contact that any of its budgets cannot pay in full is dropped; one that is made pays all of them. So
   nothing is ever spent that was not given.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from stream.campaign.file import Campaign
from stream.campaign.sections.budget_section import MILLIONTHS
from stream.columns import Int64s
from stream.compiled.borrow import borrow

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


class Spending(NamedTuple):
    """B budgets over S strategies, in millionths.

    Attributes:
        price: What a contact takes from each. Shape (B, S), int64.
        left: What there is. Changed. Shape (B,), int64.
        short: How often a contact could not be paid. Changed. Shape (B,), int64.
    """

    price: npt.NDArray[np.int64]
    left: Int64s
    short: Int64s


def compile_prices(campaign: Campaign) -> npt.NDArray[np.int64]:
    """What a contact of each strategy takes from each budget. Shape (B, S), int64."""
    prices = np.zeros((len(campaign.budgets), len(campaign.strategies)), np.int64)
    for b, budget in enumerate(campaign.budgets):
        for k, strategy in enumerate(campaign.strategies):
            named = strategy.id in budget.strategies or strategy.channel in budget.channels
            if named or not (budget.strategies or budget.channels):
                unit = 1.0 if budget.contacts else strategy.cost
                prices[b, k] = round(unit * MILLIONTHS)
    return prices


def nothing_to_pay(strategies: int) -> Spending:
    """Without budgets."""
    none = np.zeros(0, np.int64)
    return Spending(np.zeros((0, strategies), np.int64), none, none.copy())


@_inline
def borrow_spending(spending: Spending) -> Spending:
    """The same, for use inside one kernel."""
    return Spending(borrow(spending.price), borrow(spending.left), borrow(spending.short))


@_inline
def can_pay(spending: Spending, k: int) -> bool:
    """Whether every budget can pay a contact of strategy k; counts those that cannot."""
    can = True
    for b in range(len(spending.left)):
        if spending.price[b, k] > spending.left[b]:
            spending.short[b] += 1
            can = False
    return can


@_inline
def pay(spending: Spending, k: int) -> None:
    """Pays a contact of strategy k."""
    for b in range(len(spending.left)):
        spending.left[b] -= spending.price[b, k]
