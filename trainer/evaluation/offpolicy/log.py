"""Decisions that chance had part in, with what came of them; and policies that are asked about on them.

Rules of this file
1. A log says with which probability what was done was done. Without that nothing here can be said,
   and nothing is: a probability that is missing, or not above 0, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Float64s, Int64s
from trainer.errors import TrainingError

_SUM_TOLERANCE = 1e-6  # probabilities that went through float32


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """n decisions among K actions.

    Attributes:
        action: What was done. Shape (n,), int64, 0 to K - 1.
        propensity: Probability with which it was done. Shape (n,), float64.
        reward: What came of it, in the unit of the values, costs taken off. Shape (n,), float64.
        customer: Number of the customer: decisions about one customer are alike. Shape (n,), int64.
        names: Of the actions. K of them.
    """

    action: Int64s
    propensity: Float64s
    reward: Float64s
    customer: Int64s
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.action)
        lengths = {len(self.propensity), len(self.reward), len(self.customer)}
        if lengths != {n}:
            raise ValueError(f"expected {n} values in every column, got {lengths}")
        if n and not (self.action.min() >= 0 and self.action.max() < len(self.names)):
            raise ValueError(f"expected actions from 0 to {len(self.names) - 1}")
        wrong = ~((self.propensity > 0) & (self.propensity <= 1))  # NaN is wrong as well
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise TrainingError(
                "a log of decisions: expected the probability of what was done, above 0 and at most "
                f"1, got {self.propensity[first]} at row {first} and the like in {int(wrong.sum())} "
                f"of {n}. Log the probability at the decision (action_probability), or leave these "
                "rows out"
            )
        if not np.isfinite(self.reward).all():
            raise TrainingError(
                "a log of decisions: expected finite rewards, got "
                f"{int((~np.isfinite(self.reward)).sum())} of {n} that are not"
            )

    def __len__(self) -> int:
        return len(self.action)

    def take(self, which: Bools | Int64s) -> Log:
        """Some of the decisions."""
        return Log(
            self.action[which], self.propensity[which], self.reward[which], self.customer[which],
            self.names,
        )  # fmt: skip


def constant(log: Log, action: int) -> Float64s:
    """The policy that does the same to everybody. Shape (n, K), float64."""
    policy = np.zeros((len(log), len(log.names)))
    policy[:, action] = 1.0
    return policy


def always(log: Log, chosen: Int64s) -> Float64s:
    """The policy that does what was chosen for each decision, shape (n,). Shape (n, K), float64."""
    policy = np.zeros((len(log), len(log.names)))
    policy[np.arange(len(log)), chosen] = 1.0
    return policy


def check_policy(log: Log, policy: Float64s) -> None:
    """Refuses what is no policy over these decisions.

    Raises:
        ValueError: The shape is another, a probability is below 0, or they do not sum to 1.
    """
    expected = (len(log), len(log.names))
    if policy.shape != expected:
        raise ValueError(f"a policy: expected shape {expected}, got {policy.shape}")
    sums = policy.sum(axis=1)
    if not ((policy >= 0).all() and (np.abs(sums - 1) <= _SUM_TOLERANCE).all()):
        raise ValueError("a policy: expected probabilities that sum to 1 for each decision")


def importance(log: Log, policy: Float64s) -> Float64s:
    """How much more often the policy does what was done: pi(a | x) / p. Shape (n,), float64."""
    weight: Float64s = policy[np.arange(len(log)), log.action] / log.propensity
    return weight
