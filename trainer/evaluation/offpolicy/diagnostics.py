"""Whether a log can tell anything about a policy: looked at before any number.

Rules of this file
1. What fails is a reason in words, with what was expected and what came. A failed log gives no verdict;
   its numbers may still be shown, and are not to be believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Float64s
from trainer.evaluation.offpolicy.log import Log, check_policy, importance

EFFECTIVE_SHARE_MIN = 0.01
EFFECTIVE_MIN = 500.0
"""Fewer decisions than these, in effect, say nothing about anybody."""
LARGEST_SHARE_MAX = 0.05
MEAN_ERRORS_MAX = 4.0
"""Standard errors by which the mean weight may miss 1: more, and the propensities are not those."""
OUTCOMES_MIN = 20


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """How well a log supports a policy.

    Attributes:
        rows: Decisions.
        mean_weight: Mean of pi(a | x) / p, 1 in expectation if the propensities are right.
        mean_weight_error: Its standard error.
        effective: Kish's effective sample size (sum w)^2 / sum w^2.
        largest_share: Share of the largest weight in the sum.
        clipped: Decisions whose weight is above the cap, 0 without one.
        unsupported: Share of the policy's actions that the log never takes.
        outcomes: Decisions with a weight above 0 and a reward from an outcome.
        reasons: Why there is no verdict; empty for none.
    """

    rows: int
    mean_weight: float
    mean_weight_error: float
    effective: float
    largest_share: float
    clipped: int
    unsupported: float
    outcomes: int
    reasons: tuple[str, ...]


def diagnose(
    log: Log, policy: Float64s, outcome: Float64s, weight_max: float = np.inf
) -> Diagnosis:
    """Looks at the weights of a policy on a log.

    Args:
        log: The decisions.
        policy: Asked about. Shape (n, K).
        outcome: What came before costs were taken off: not 0 where something did. Shape (n,), float64.
        weight_max: Cap of the weights.
    """
    check_policy(log, policy)
    weight = importance(log, policy)
    n, total = len(log), float(weight.sum())
    squares = float(weight @ weight)
    effective = total**2 / squares if squares > 0 else 0.0
    taken = np.bincount(log.action, minlength=len(log.names)) > 0
    unsupported = float(policy[:, ~taken].sum() / max(n, 1))
    error = float(weight.std() / np.sqrt(n)) if n else 0.0
    mean = total / n if n else 0.0
    largest = float(weight.max() / total) if total > 0 else 1.0
    outcomes = int(((weight > 0) & (outcome != 0)).sum())
    least = max(EFFECTIVE_MIN, EFFECTIVE_SHARE_MIN * n)
    reasons = []
    if unsupported > 0:
        never = ", ".join(np.array(log.names)[~taken])
        reasons.append(
            f"{unsupported:.1%} of what the policy does was never done ({never}): explore it first"
        )
    if abs(mean - 1) > MEAN_ERRORS_MAX * error + unsupported + 1e-6:
        reasons.append(
            f"expected a mean weight of 1 within {MEAN_ERRORS_MAX:g} standard errors, got {mean:.3f} "
            f"+- {error:.3f}: the logged probabilities are not those with which was decided"
        )
    if effective < least:
        reasons.append(
            f"expected {least:,.0f} decisions in effect at least, got {effective:,.0f} of {n:,}: the "
            "policy does what was rarely done"
        )
    if largest > LARGEST_SHARE_MAX:
        reasons.append(
            f"expected no decision to weigh more than {LARGEST_SHARE_MAX:.0%} of all, got {largest:.0%}"
        )
    if outcomes < OUTCOMES_MIN:
        reasons.append(f"expected {OUTCOMES_MIN} outcomes at least, got {outcomes}")
    return Diagnosis(
        rows=n, mean_weight=mean, mean_weight_error=error, effective=effective,
        largest_share=largest, clipped=int((weight > weight_max).sum()), unsupported=unsupported,
        outcomes=outcomes, reasons=tuple(reasons),
    )  # fmt: skip
