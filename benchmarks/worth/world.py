"""A world with a known truth: how customers react to three messages, and who logged what was done.

Six features x and a hidden u, all N(0, 1). P(outcome) = sigmoid(-3 + x0 + 0.5 x1 + h u + effect) with the effect of
A 0.5, of B 0.1, of C 1.0 where x2 > 0 and else -0.5, and 0 of nothing. An outcome is worth 50.

Rules of this file
1. The truth is only told to the referee: who learns gets a `Log`.
2. One seed, one log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream.columns import Bools, Float64s, Int64s

Logger = Literal["uniform", "biased"]
FEATURES = 6
STRATEGIES = ("A", "B", "C")
COSTS = (0.5, 0.5, 0.8)
VALUE = 50.0
_FLOOR, _REST = 0.02, 0.92
_RISK_SPREAD = 1.1


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """n decisions, a column each.

    Attributes:
        x: What is known of the customers. Shape (n, 6), float64.
        action: 0 to 2 for A to C, 3 for nothing. Shape (n,), int64.
        propensity: Probability of that action. Shape (n,), float64.
        outcome: Shape (n,), bool.
    """

    x: Float64s
    action: Int64s
    propensity: Float64s
    outcome: Bools

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True, slots=True)
class World:
    """How customers react, and who decided.

    Attributes:
        logger: uniform draws each action with 1/4; biased treats by risk.
        hidden: h, what the hidden u does to the outcome; the biased logger sees it as well.
        effects: Whether messages do anything; without them all is a placebo.
    """

    logger: Logger = "uniform"
    hidden: float = 0.0
    effects: bool = True

    def log(self, n: int, seed: int) -> Log:
        """N decisions by chance."""
        random = np.random.default_rng([seed, n, 1])
        x, u = random.normal(size=(n, FEATURES)), random.normal(size=n)
        share = self._shares(x, u)
        action = (random.random((n, 1)) > share.cumsum(axis=1)).sum(axis=1)
        action = np.minimum(action, len(STRATEGIES)).astype(np.int64)
        at = (np.arange(n), action)
        return Log(x, action, share[at], random.random(n) < self._rates(x, u)[at])

    def customers(self, n: int, seed: int = 0) -> tuple[Float64s, Float64s]:
        """New customers and their true rates. Shapes (n, 6) and (n, 4), float64."""
        random = np.random.default_rng([seed, n, 2])
        x, u = random.normal(size=(n, FEATURES)), random.normal(size=n)
        return x, self._rates(x, u)

    def _rates(self, x: Float64s, u: Float64s) -> Float64s:
        risk = -3.0 + x[:, 0] + 0.5 * x[:, 1] + self.hidden * u
        effect = np.zeros((len(x), len(STRATEGIES) + 1))
        if self.effects:
            effect[:, 0], effect[:, 1] = 0.5, 0.1
            effect[:, 2] = np.where(x[:, 2] > 0, 1.0, -0.5)
        rate: Float64s = 1.0 / (1.0 + np.exp(-risk[:, np.newaxis] - effect))
        return rate

    def _shares(self, x: Float64s, u: Float64s) -> Float64s:
        """Probability of each action. Shape (n, 4), float64."""
        if self.logger == "uniform":
            return np.full((len(x), len(STRATEGIES) + 1), 1 / (len(STRATEGIES) + 1))
        seen = x[:, 0] + 0.5 * x[:, 1] + (u if self.hidden else 0.0)
        r = 1.5 / _RISK_SPREAD * seen
        odds = np.stack([np.exp(-r), np.exp(r), np.exp(-r), np.ones(len(x))], axis=1)
        share: Float64s = _FLOOR + _REST * odds / odds.sum(axis=1, keepdims=True)
        return share


def money(rates: Float64s) -> Float64s:
    """What each action earns over doing nothing, for each customer. Shape (n, 4), float64.

    Args:
        rates: Probability of the outcome with each. Shape (n, 4), float64.
    """
    gain: Float64s = (rates - rates[:, -1:]) * VALUE - np.array([*COSTS, 0.0])
    return gain
