"""What a policy is worth beside doing nothing, every constant strategy and the champion.

Rules of this file
1. The verdict rests on one estimator, doubly robust; others stand beside it to see whether they agree.
2. Differences are paired: both policies on the same decisions.
3. The best constant is chosen by the caller on other decisions than those that judge: the best of
   many on the same ones looks better than it is (the winner's curse).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Float32s, Float64s, Int64s
from trainer.evaluation.offpolicy.diagnostics import Diagnosis, diagnose
from trainer.evaluation.offpolicy.estimators import (
    Worth,
    clipped_ips,
    direct,
    doubly_robust,
    ips,
    snips,
    switch_doubly_robust,
)
from trainer.evaluation.offpolicy.inference import Clusters, Interval, interval
from trainer.evaluation.offpolicy.log import Log, always
from trainer.evaluation.offpolicy.nuisance import expected_rewards, folds_of

WEIGHT_MAX = 50.0
"""Where the clipped and the switching estimator stop trusting a weight."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One policy on the decisions that judge.

    Attributes:
        value: Per decision, doubly robust.
        contacts: Share of the decisions in which it acts.
        estimates: The other estimators, by name.
        diagnosis: How well the log supports it.
    """

    value: Interval
    contacts: float
    estimates: dict[str, Interval]
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class Comparison:
    """A policy beside others.

    Attributes:
        standings: By policy: the asked one, those it is compared with, and every constant.
        over: Paired difference of the asked policy to each other.
    """

    standings: dict[str, Standing]
    over: dict[str, Interval]


class Judge:
    """A log, ready to be asked about policies.

    Args:
        log: Decisions that were not learned from.
        features: What was known at each. Shape (n, F).
        outcome: Reward before costs. Shape (n,), float64.
        nothing: Index of doing nothing.
        possible: What could have been done; None for everything. Shape (n, K), bool.
        confidence: Of the intervals.
    """

    def __init__(
        self, log: Log, features: Float32s | Float64s, outcome: Float64s,
        nothing: int, possible: Bools | None = None, confidence: float = 0.95,
    ) -> None:  # fmt: skip
        self._log = log
        self._outcome = outcome
        self._nothing = nothing
        self._possible = possible
        self._confidence = confidence
        self._clusters = Clusters(log.customer)
        self._expected = expected_rewards(log, features, folds_of(log.customer))

    @property
    def rows(self) -> int:
        """Decisions."""
        return len(self._log)

    def worth(self, policy: Float64s) -> Worth:
        """Doubly robust, of a policy of shape (n, K)."""
        return doubly_robust(self._log, policy, self._expected)

    def gains(self, action: Int64s) -> Float64s:
        """Doubly robust gain of an action over doing nothing, decision by decision. Shape (n,), float64.

        Args:
            action: Of each decision. Shape (n,), int64.
        """
        nothing = np.full(len(self._log), self._nothing)
        return self._parts(action) - self._parts(nothing)

    def _parts(self, action: Int64s) -> Float64s:
        """What `worth` is the mean of, for what is done for certain; without its matrix. Shape (n,), float64."""
        log, rows = self._log, np.arange(len(self._log))
        residual = (log.reward - self._expected[rows, log.action]) / log.propensity
        same = log.action == action
        parts: Float64s = self._expected[rows, action] + np.where(same, residual, 0.0)
        return parts

    def constants(self) -> dict[str, Float64s]:
        """The policies that do one thing wherever it is possible, of what the log has."""
        log = self._log
        done = np.bincount(log.action, minlength=len(log.names)) > 0
        return {name: self._constant(k) for k, name in enumerate(log.names) if done[k]}

    def _constant(self, action: int) -> Float64s:
        return always(self._log, self._constantly(action))

    def _constantly(self, action: int) -> Int64s:
        """What a constant does: nothing where it is not possible. Shape (n,), int64."""
        if self._possible is None:
            return np.full(len(self._log), action)
        return np.where(self._possible[:, action], action, self._nothing)

    def constant_values(self) -> dict[str, float]:
        """What each of `constants` is worth, without their matrices: K of them would not fit into memory."""
        done = np.bincount(self._log.action, minlength=len(self._log.names)) > 0
        return {
            name: float(self._parts(self._constantly(k)).mean())
            for k, name in enumerate(self._log.names)
            if done[k]
        }

    def best_constant(self) -> str:
        """Name of the constant that is worth most; nothing wins a tie."""
        values = self.constant_values()
        nothing = self._log.names[self._nothing]
        return max(values, key=lambda name: (values[name], name == nothing))

    def standing(self, policy: Float64s) -> Standing:
        """All about one policy."""
        log, expected = self._log, self._expected
        acts = 1.0 - float(policy[:, self._nothing].mean())
        others = {
            "ips": ips(log, policy),
            "clipped_ips": clipped_ips(log, policy, WEIGHT_MAX),
            "direct": direct(log, policy, expected),
            "switch_doubly_robust": switch_doubly_robust(log, policy, expected, WEIGHT_MAX),
        }
        if (policy[np.arange(len(log)), log.action] > 0).any():
            others["snips"] = snips(log, policy)
        return Standing(
            value=self._interval(self.worth(policy)),
            contacts=acts,
            estimates={name: self._interval(one) for name, one in others.items()},
            diagnosis=diagnose(log, policy, self._outcome, WEIGHT_MAX),
        )

    def compare(
        self,
        policy: Float64s,
        others: Mapping[str, Float64s],
        name: str,
        *,
        only_asked: bool = False,
    ) -> Comparison:
        """A policy beside others and every constant.

        Args:
            policy: The asked one. Shape (n, K).
            others: By name. Shape (n, K) each.
            name: Of the asked one.
            only_asked: Whether the standings of the others are left out: they take most of the time.
        """
        standings, over = {name: self.standing(policy)}, {}
        asked, log = self.worth(policy), self._log
        done = np.bincount(log.action, minlength=len(log.names)) > 0
        constants = {one: k for k, one in enumerate(log.names) if done[k]}
        for one in {**others, **constants}:  # one matrix at a time: K of them may be gigabytes
            beside = others[one] if one in others else self._constant(constants[one])
            over[one] = self._interval(asked - self.worth(beside))
            if not only_asked:
                standings[one] = self.standing(beside)
        return Comparison(standings, over)

    def _interval(self, worth: Worth) -> Interval:
        return interval(worth, self._clusters, self._confidence)
