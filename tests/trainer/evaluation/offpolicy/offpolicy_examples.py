"""Logs whose truth is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.columns import Float64s
from trainer.evaluation.offpolicy.log import Log

NAMES = ("mail", "push", "call", "nothing")
COSTS = np.array([0.5, 0.5, 0.8, 0.0])
VALUE = 50.0


class Scene(NamedTuple):
    """A log, with what made it.

    Attributes:
        log: The decisions.
        features: What was known. Shape (n, 6).
        outcome: Rewards before costs. Shape (n,).
        mean: True mean reward of every action. Shape (n, K).
        policy: The one that decided. Shape (n, K).
    """

    log: Log
    features: Float64s
    outcome: Float64s
    mean: Float64s
    policy: Float64s


def scene(
    n: int, seed: int, *, effect: float = 1.0, base: float = -3.0, heavy: bool = False,
    per_customer: int = 1,
) -> Scene:  # fmt: skip
    """Customers who react to three strategies: mail helps all, call helps half and harms half."""
    random = np.random.default_rng(seed)
    customers = -(-n // per_customer)
    customer = np.repeat(np.arange(customers), per_customer)[:n]
    x = np.repeat(random.normal(size=(customers, 6)), per_customer, axis=0)[:n]
    hidden = np.repeat(random.normal(size=customers), per_customer)[:n]
    reaction = effect * np.stack(
        [np.full(n, 0.5), np.full(n, 0.1), np.where(x[:, 2] > 0, 1.0, -0.5), np.zeros(n)], axis=1
    )
    risk = base + x[:, 0] + 0.5 * x[:, 1] + 0.5 * hidden * (per_customer > 1)
    rate = 1 / (1 + np.exp(-(risk[:, np.newaxis] + reaction)))
    tilt = np.exp(0.7 * np.stack([x[:, 0], -x[:, 0], x[:, 1], np.zeros(n)], axis=1))
    policy = 0.02 + 0.92 * tilt / tilt.sum(axis=1, keepdims=True)
    action = (random.random(n)[:, np.newaxis] > np.cumsum(policy, axis=1)).sum(axis=1)
    action = np.minimum(action, 3).astype(np.int64)
    happened = random.random(n) < rate[np.arange(n), action]
    amount = np.exp(random.normal(np.log(VALUE) - 0.5, 1.0, n)) if heavy else np.full(n, VALUE)
    outcome = happened * amount
    log = Log(action, policy[np.arange(n), action], outcome - COSTS[action], customer, NAMES)
    return Scene(log, x, outcome, rate * VALUE - COSTS, policy)
