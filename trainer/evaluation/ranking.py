"""Examples of one yes-or-no question, the highest score first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Float64s, Int32s, Int64s
from trainer.evaluation.kernels import BIN_SUMS, SUMS, WEIGHT, WIDTH, captured, tally
from trainer.evaluation.metrics import TOP_SHARE, log_losses

BINS = 10
"""Calibration bins, of equal weight unless many scores are equal."""
CUTS = 100
"""Steps of the curves, a tenth of a bin each."""


class Tally(NamedTuple):
    """Sums over ranked examples in WIDTH resamples.

    Attributes:
        sums: Of `kernels.tally`. Shape (SUMS, WIDTH), float64.
        cuts: Of `kernels.tally`, the highest scores first. Shape (CUTS, BIN_SUMS, WIDTH), float64.
        top: Positives among the `TOP_SHARE` with the highest scores. Shape (WIDTH,), float64.
    """

    sums: Float64s
    cuts: Float64s
    top: Float64s

    @property
    def bins(self) -> Float64s:
        """Sums of the calibration bins. Shape (BINS, BIN_SUMS, WIDTH), float64."""
        bins: Float64s = self.cuts.reshape(BINS, CUTS // BINS, BIN_SUMS, WIDTH).sum(axis=1)
        return bins


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One yes-or-no question about n examples, as one model answers it.

    Attributes:
        customer: Number of the customer, from 0 on. Shape (n,), int32.
        weight: How much each example counts. Shape (n,), float64.
        positive: The right answer. Shape (n,), bool.
        score: Probability of yes. Shape (n,), float64.
        predicted: Whether that counts as yes. Shape (n,), bool.
        order: The examples, the highest score first. Shape (n,), int64.
    """

    customer: Int32s
    weight: Float64s
    positive: Bools
    score: Float64s
    predicted: Bools
    order: Int64s

    def ranking(self, mask: Bools | None) -> Ranking:
        """Some of the examples, ranked; all without a mask."""
        rows = self.order if mask is None else self.order[mask[self.order]]
        return Ranking(
            self.customer[rows], self.weight[rows], self.positive[rows], self.score[rows],
            self.predicted[rows],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """n examples, the highest score first; columns as in `Question`."""

    customer: Int32s
    weight: Float64s
    positive: Bools
    score: Float64s
    predicted: Bools

    def tally(self, counts: npt.NDArray[np.uint8]) -> Tally:
        """The sums in the resamples of `counts`, shape (C, WIDTH)."""
        sums, cuts = np.zeros((SUMS, WIDTH)), np.zeros((CUTS, BIN_SUMS, WIDTH))
        loss = log_losses(self.score, self.positive)
        tally(
            counts, self.customer, self.weight, self.positive, self.score, loss, self.predicted,
            self._cut_stop(), sums, cuts,
        )  # fmt: skip
        top = np.empty(WIDTH)
        captured(
            counts, self.customer, self.weight, self.positive, self.score,
            TOP_SHARE * cuts[:, WEIGHT].sum(axis=0), top,
        )  # fmt: skip
        return Tally(sums, cuts, top)

    def steps(self) -> tuple[Float64s, Float64s]:
        """Weight, and weight of positives, from the highest score down to each distinct one.

        Returns:
            Two of shape (distinct scores,), float64.
        """
        last = self._last()
        return np.cumsum(self.weight)[last], np.cumsum(self.weight * self.positive)[last]

    def thresholds(self) -> Float64s:
        """The distinct scores, falling."""
        return self.score[self._last()]

    def _last(self) -> Int64s:
        """The last example of each distinct score."""
        return np.flatnonzero(np.append(self.score[1:] != self.score[:-1], True)[: len(self.score)])

    def bin_stop(self) -> Int64s:
        """End of each calibration bin. Shape (BINS,), int64."""
        return self._cut_stop()[CUTS // BINS - 1 :: CUTS // BINS]

    def _cut_stop(self) -> Int64s:
        """End of each step: a distinct score is in the step of its middle."""
        last = self._last()
        total = np.cumsum(self.weight)[last]
        middle = (total + np.append(0.0, total[:-1])) / 2
        cut = np.minimum((middle * (CUTS / total[-1:].sum())).astype(np.int64), CUTS - 1)
        stops = np.append(0, last + 1)
        return stops[np.searchsorted(cut, np.arange(CUTS), side="right")]
