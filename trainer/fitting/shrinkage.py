"""The head of a response by evidence: as much effect as the examples show, and no more.

Logit of the outcome with strategy k: base(x) + common(x) + own_k(x), without the last two of doing nothing.
Each of them is a weighted sum of what the head sees. The weights of one feature have a normal prior
around 0 with a precision of its own, in the base, in the common and in the own part of each strategy, and
these precisions are those that make the outcomes most likely (type II maximum likelihood: MacKay 1992,
"Bayesian interpolation" and "The evidence framework applied to classification networks"; automatic
relevance determination: Neal 1996, section 4.3). So a strategy of few examples is like the others, what
no example shows is 0, and a strategy without any does nothing.

Rules of this file
1. Newton's method on a sum that is convex: there is one result, whatever the seed.
2. Weights 1 / propensity say nothing of how much is known. They are scaled for each strategy so that the
   curvature is that of the noise (sandwich; Kish 1965 where all rates are alike), and by as much
   as the noise of one customer's decisions adds up (Liang and Zeger 1986).
3. What is seen is held in float32, sums over examples in float64 or by products of float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Float32s, Float64s, Int64s

_PASSES_MAX = 60
_STILL = 2e-3
"""Root mean square change of the logits from one pass to the next at which a fit has ended."""
_STEP_MAX = 4.0  # of one weight in one step: far from the answer Newton's steps are too long
_PART_MIN, _EQUAL = 1e-3, 1e-9  # of a step at least; of the loss, what rounding may add
_FIRST_PRECISION = 4.0
_PRECISION = (0.1, 1e7)
"""Least and most. Examples that a sum separates would have weights without end: none is sought beyond 3 or so."""
_FLAT = 1e-6  # of the constant of the base: the rate of outcomes is not shrunk
_HELD_MIN = 0.05  # a customer's decisions that all agree count as one in twenty at most


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """n examples as the head sees them.

    Attributes:
        x: Shape (n, p), float32.
        group: Which feature each column is about: one precision for all of them. Shape (p,), int64.
        strategy: What was done, K - 1 for nothing. Shape (n,), int64.
        outcome: Shape (n,), bool.
        weight: How much each counts. Shape (n,), float64.
        customer: Number of the customer. Shape (n,), int64.
    """

    x: Float32s
    group: Int64s
    strategy: Int64s
    outcome: Bools
    weight: Float64s
    customer: Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The layers base and delta of a network.

    Attributes:
        base: Weights and, last, the constant. Shape (p + 1,), float64.
        delta: The same of each output. Shape (p + 1, K), float64.
        shown: Weights that the examples determine, in effect, of each output; of the base last.
            Shape (K,), float64.
        passes: Over the examples.
    """

    base: Float64s
    delta: Float64s
    shown: Float64s
    passes: int


def fit_head(seen: Seen, outputs: int) -> Head:
    """Fits the head.

    Args:
        seen: The examples; both outcomes have to occur.
        outputs: K, of which the last is doing nothing.
    """
    problem = _Problem(seen, outputs)
    shared, own = np.zeros((2, problem.width)), np.zeros((outputs - 1, problem.width))
    rate = np.average(seen.outcome, weights=seen.weight)
    shared[0, -1] = np.log(rate / (1 - rate))
    precision = np.full((outputs + 1, problem.groups), _FIRST_PRECISION)
    shown, passes = np.zeros_like(precision), 0
    for passes in range(1, _PASSES_MAX + 1):
        step = problem.step(shared, own, precision)
        part = problem.part_of(step, shared, own, precision)
        shared, own = shared - part * step.shared, own - part * step.own
        if part == 1.0 and passes > 2:
            precision, shown = problem.evidence(shared, own, step.variance, precision)
        if part * step.change < _STILL:
            break
    return problem.head(shared, own, shown, passes)


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A Newton step, and what is known around it.

    Attributes:
        shared: To be taken off base and common. Shape (2, q).
        own: Off the own parts. Shape (K - 1, q).
        variance: Of every weight: base, common, own. Shape (K + 1, q).
        change: Root mean square of what the whole step does to the logits.
    """

    shared: Float64s
    own: Float64s
    variance: Float64s
    change: float


class _Problem:
    """Examples sorted by strategy, their columns scaled, with a constant as the last.

    Attributes:
        width: q, columns with the constant.
        groups: Groups of columns, the constant's the last.
    """

    def __init__(self, seen: Seen, outputs: int) -> None:
        self._mean = seen.x.mean(axis=0, dtype=np.float64)
        spread = seen.x.std(axis=0, dtype=np.float64)
        self._moves = np.flatnonzero(spread > 1e-6)
        self._columns, self._outputs = seen.x.shape[1], outputs
        self.width = len(self._moves) + 1
        self._group = np.append(
            np.unique(seen.group[self._moves], return_inverse=True)[1],
            len(np.unique(seen.group[self._moves])),
        ).astype(np.int64)
        self.groups = int(self._group[-1]) + 1
        self._size = np.bincount(self._group, minlength=self.groups)
        self._arms = [_Arm(seen, np.flatnonzero(seen.strategy == k), self) for k in range(outputs)]
        treated = [k for k in range(outputs - 1) if len(self._arms[k])]
        self._treated = np.array(treated, np.int64)
        self._has_common = len(treated) > 1

    def columns_of(self, x: Float32s) -> Float32s:
        """Those that move, less their means, and a one."""
        out = np.ones((len(x), self.width), np.float32)
        out[:, :-1] = x[:, self._moves] - self._mean[self._moves].astype(np.float32)
        return out

    def step(self, shared: Float64s, own: Float64s, precision: Float64s) -> _Step:
        """Newton's step by blocks: own parts touch each other through base and common alone."""
        q, penalty = self.width, self._penalty(precision)
        matrix, side = np.zeros((2, q, 2, q)), penalty[:2] * shared
        matrix[0, :, 0] += np.diag(penalty[0])
        matrix[1, :, 1] += np.diag(penalty[1])
        slope, curve = self._arms[-1].sums(shared[0])
        matrix[0, :, 0] += curve
        side[0] += slope
        inner: dict[int, tuple[Float64s, Float64s, Float64s]] = {}
        for k in self._treated.tolist():
            slope, curve = self._arms[k].sums(shared[0] + shared[1] + own[k])
            inverse = np.linalg.inv(curve + np.diag(penalty[2 + k]))
            through, pull = inverse @ curve, slope + penalty[2 + k] * own[k]
            left = curve - curve @ through
            matrix += left[np.newaxis, :, np.newaxis, :]
            side += slope - through.T @ pull
            inner[k] = (inverse, through, pull)
        return self._solved(matrix, side, inner, penalty)

    def _solved(
        self, matrix: Float64s, side: Float64s,
        inner: dict[int, tuple[Float64s, Float64s, Float64s]], penalty: Float64s,
    ) -> _Step:  # fmt: skip
        q = self.width
        free = 2 * q if self._has_common else q
        inverse = np.zeros((2 * q, 2 * q))
        inverse[:free, :free] = np.linalg.inv(matrix.reshape(2 * q, 2 * q)[:free, :free])
        shared = (inverse @ side.ravel()).reshape(2, q)
        both = inverse.reshape(2, q, 2, q).sum(axis=(0, 2))
        own = np.zeros((self._outputs - 1, q))
        variance = 1.0 / penalty  # of what no example is about: the prior's
        variance[: 2 if self._has_common else 1] = np.diag(inverse)[:free].reshape(-1, q)
        total = shared.sum(axis=0)
        change = self._arms[-1].squares(shared[0])
        for k, (inside, through, pull) in inner.items():
            own[k] = inside @ pull - through @ total
            variance[2 + k] = np.diag(inside) + np.einsum("ij,jk,ik->i", through, both, through)
            change += self._arms[k].squares(total + own[k])
        examples = sum(map(len, self._arms))
        return _Step(shared, own, variance, float(np.sqrt(change / examples)))

    def part_of(self, step: _Step, shared: Float64s, own: Float64s, precision: Float64s) -> float:
        """How much of a step is taken: all of it, or half as often as the loss would rise.

        Where outcomes are nearly certain a whole step of Newton's lands beyond the answer, and the next
        one back (Boyd and Vandenberghe 2004, "Convex Optimization", 9.2 and 9.5).
        """
        length = max(float(np.abs(step.shared).max()), float(np.abs(step.own).max(initial=0.0)))
        part, before = (
            min(1.0, _STEP_MAX / max(length, 1e-12)),
            self._loss(shared, own, precision),
        )
        while part > _PART_MIN:
            after = self._loss(shared - part * step.shared, own - part * step.own, precision)
            if after <= before + _EQUAL * abs(before):
                break
            part /= 2
        return part

    def _loss(self, shared: Float64s, own: Float64s, precision: Float64s) -> float:
        """What a step makes smaller, with the scales of the weights as they were at its beginning."""
        penalty = self._penalty(precision)
        loss = 0.5 * float((penalty * np.concatenate([shared, own]) ** 2).sum())
        loss += self._arms[-1].loss(shared[0])
        for k in self._treated.tolist():
            loss += self._arms[k].loss(shared[0] + shared[1] + own[k])
        return loss

    def evidence(
        self, shared: Float64s, own: Float64s, variance: Float64s, precision: Float64s
    ) -> tuple[Float64s, Float64s]:
        """Precisions under which the outcomes are more likely, and how many weights each leaves free.

        MacKay's update: gamma = size - precision * sum(variance), precision' = gamma / sum(weight^2).
        """
        weights = np.concatenate([shared, own])
        shown, squares = np.empty_like(precision), np.empty_like(precision)
        for row in range(len(weights)):
            spread = np.bincount(self._group, variance[row], self.groups)
            shown[row] = np.clip(self._size - precision[row] * spread, 0.0, self._size)
            squares[row] = np.bincount(self._group, weights[row] ** 2, self.groups)
        found = np.clip(shown / np.maximum(squares, 1e-12), *_PRECISION)
        return found, shown

    def head(self, shared: Float64s, own: Float64s, shown: Float64s, passes: int) -> Head:
        """In the columns of the network."""
        outputs = self._outputs
        delta = np.zeros((self._columns + 1, outputs))
        for k in self._treated.tolist():
            delta[:, k] = self._unscaled(shared[1] + own[k])
        counts = np.zeros(outputs)
        counts[:-1], counts[-1] = shown[2:].sum(axis=1), shown[0].sum()
        if self._has_common:
            counts[self._treated] += shown[1].sum() / len(self._treated)
        return Head(self._unscaled(shared[0]), delta, counts, passes)

    def _unscaled(self, weights: Float64s) -> Float64s:
        out = np.zeros(self._columns + 1)
        out[self._moves] = weights[:-1]
        out[-1] = weights[-1] - weights[:-1] @ self._mean[self._moves]
        return out

    def _penalty(self, precision: Float64s) -> Float64s:
        penalty = precision[:, self._group]
        penalty[0, -1] = _FLAT
        return penalty


class _Arm:
    """The examples of one strategy."""

    def __init__(self, seen: Seen, rows: Int64s, of: _Problem) -> None:
        self._x = of.columns_of(seen.x[rows])
        self._outcome = seen.outcome[rows].astype(np.float64)
        self._weight = seen.weight[rows]
        self._customer = np.unique(seen.customer[rows], return_inverse=True)[1]
        self._scaled = self._weight

    def __len__(self) -> int:
        return len(self._x)

    def sums(self, weights: Float64s) -> tuple[Float64s, Float64s]:
        """Slope and curvature of the loss, of shapes (q,) and (q, q), float64."""
        if not len(self):
            q = self._x.shape[1]
            return np.zeros(q), np.zeros((q, q))
        p = 0.5 * (1.0 + np.tanh(0.5 * (self._x @ weights)))
        missed, noise = p - self._outcome, p * (1.0 - p)
        weight = self._scaled = self._weight * self._scale(missed, noise)
        curve = (self._x * (weight * noise).astype(np.float32)[:, np.newaxis]).T @ self._x
        return self._x.T.astype(np.float64) @ (weight * missed), curve.astype(np.float64)

    def loss(self, weights: Float64s) -> float:
        """What `sums` gave the slope of, with the scale that it found."""
        logit = self._x @ weights
        return float(self._scaled @ (np.logaddexp(0.0, logit) - self._outcome * logit))

    def squares(self, weights: Float64s) -> float:
        """Sum of the squared logits."""
        logit = self._x @ weights
        return float(logit @ logit)

    def _scale(self, missed: Float64s, noise: Float64s) -> float:
        """What makes the weights count as much as is known (rule 2)."""
        weight = self._weight
        kish = float(weight @ noise) / max(float((weight**2) @ noise), 1e-300)
        alone = (weight * missed) ** 2
        together = np.bincount(self._customer, weight * missed) ** 2
        return kish * float(np.clip(alone.sum() / max(together.sum(), 1e-300), _HELD_MIN, 1.0))
