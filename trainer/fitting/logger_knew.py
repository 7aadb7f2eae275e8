"""Whether those who decided knew something of the outcome that the features do not say.

Where they did, customers with one strategy and with another are not alike though their features are,
and only weights 1 / propensity make up for it; where they did not, the weights cost precision and
bring nothing. A propensity that was logged shows it: it must then predict the outcome beyond the features.
The test is a score test of -log(propensity) as one more feature of each strategy (Rao 1948; as a test
of exogeneity, Hausman 1978, "Specification tests in econometrics").

Measured: logs of 10,000 decisions, 8 with a hidden cause p < 1e-15, 8 without p from 0.08 to 0.94. The value of
the two policies on the validation part could not tell: its error was 5 times their difference.

Rules of this file
1. Nothing is known of a propensity that does not vary: the weights would change nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from stream.columns import Float32s, Float64s, Int64s
from trainer.examples.part import Part

ALPHA = 0.01
"""Below this the weights are used."""
_EXAMPLES_MIN = 50  # of a strategy: fewer say nothing about it
_SPREAD_MIN = 1e-3  # of -log(propensity) beyond the features
_RIDGE = 1e-4


@dataclass(frozen=True, slots=True)
class Knew:
    """What the propensities say of the outcome.

    Attributes:
        p_value: Chance of such a prediction or a better one if the features say all.
    """

    p_value: float

    @property
    def more(self) -> bool:
        """Whether more was known than the features say."""
        return self.p_value < ALPHA


def has_propensities(part: Part) -> bool:
    """Whether every example says with which probability its strategy was used."""
    propensity = part.logged.propensity
    return bool(len(part)) and bool(((propensity > 0) & (propensity <= 1)).all())


def what_they_knew(
    x: Float32s, strategy: Int64s, logit: Float64s, outcome: Float64s, propensity: Float64s
) -> Knew:
    """The test.

    Args:
        x: What the head of the network sees. Shape (n, p), float32.
        strategy: What was done. Shape (n,), int64.
        logit: Of the outcome with it, of a network fitted without weights. Shape (n,), float64.
        outcome: 1 or 0. Shape (n,), float64.
        propensity: Of what was done, above 0. Shape (n,), float64.
    """
    squares, freedom = 0.0, 0
    for k in np.unique(strategy).tolist():
        rows = np.flatnonzero(strategy == k)
        if len(rows) < _EXAMPLES_MIN:
            continue
        p = 0.5 * (1.0 + np.tanh(0.5 * logit[rows]))
        beyond = _beyond(x[rows], -np.log(propensity[rows]), p * (1 - p))
        score = (outcome[rows] - p) * beyond
        noise = float(score @ score)
        if beyond.std() > _SPREAD_MIN and noise > 0:
            squares += float(score.sum()) ** 2 / noise
            freedom += 1
    return Knew(float(stats.chi2.sf(squares, freedom)) if freedom else 1.0)


def _beyond(x: Float32s, what: Float64s, weight: Float64s) -> Float64s:
    """What of a column the others do not say, weighted least squares. Shape (n,), float64."""
    others = np.column_stack([np.ones(len(x)), x.astype(np.float64)])
    others = others[:, np.append(True, others[:, 1:].std(axis=0) > 1e-6)]
    gram = (others.T * weight) @ others
    gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
    left: Float64s = what - others @ np.linalg.solve(gram, others.T @ (weight * what))
    return left
