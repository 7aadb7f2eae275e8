"""The numbers of one model in every resample."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from stream.columns import Float32s, Float64s
from trainer.evaluation import bands, metrics
from trainer.evaluation.grouping import Grouping
from trainer.evaluation.kernels import POSITIVE, WEIGHT, WIDTH
from trainer.evaluation.ranking import BINS, Question, Tally


class Draws:
    """Filled in by chunks of resamples, then finished.

    Attributes:
        values: Shape (groups, len(METRICS), 1 + resamples), float64.
        observed: Share of the positives in each calibration bin; NaN for groups that several
            questions judge. Shape (groups, BINS, 1 + resamples), float32.
        points: Of the curves, by the index of a group that has some.
            Shape (bands.POINTS, 1 + resamples) each, float32.
    """

    values: Float64s
    observed: Float32s
    points: dict[int, Float32s]

    def __init__(self, grouping: Grouping, resamples: int, *, decides: bool = True) -> None:
        """No numbers yet; `decides` says whether the model predicts yes or no."""
        groups = len(grouping.members)
        self._grouping = grouping
        self._decides = decides
        self.values = np.full((groups, len(metrics.METRICS), 1 + resamples), np.nan)
        self.observed = np.full((groups, BINS, 1 + resamples), np.nan, np.float32)
        self.points = {
            g: np.full((bands.POINTS, 1 + resamples), np.nan, np.float32)
            for g, member in enumerate(grouping.members)
            if member.has_curves
        }

    def add(self, chunk: int, questions: Sequence[Question], counts: npt.NDArray[np.uint8]) -> None:
        """Fills in one chunk.

        Args:
            chunk: Its number.
            questions: What the model answers.
            counts: The resamples. Shape (customers, WIDTH), uint8.
        """

        @cache
        def tally(question: int, mask: int) -> Tally:
            return questions[question].ranking(self._grouping.masks[mask]).tally(counts)

        where = slice(chunk * WIDTH, (chunk + 1) * WIDTH)
        values, observed = self.values[..., where], self.observed[..., where]
        width = values.shape[-1]
        for g, member in enumerate(self._grouping.members):
            if member.kind == "macro":
                continue
            if member.question is None:
                found = [tally(k, member.mask) for k in range(len(questions))]
                values[g] = _choice(found)[:, :width]
                continue
            one = tally(member.question, member.mask)
            bins = one.bins
            values[g] = metrics.binary(one.sums, bins, one.top)[:, :width]
            with np.errstate(invalid="ignore"):
                observed[g] = (bins[:, POSITIVE] / bins[:, WEIGHT])[:, :width]
            if g in self.points:
                self.points[g][:, where] = bands.points(one.cuts[..., :width])

    def finish(self) -> None:
        """Takes the mean over the strategies, when every chunk is there."""
        if not self._decides:
            self.values[:, [metrics.METRICS.index(name) for name in metrics.AT_THRESHOLD]] = np.nan
        strategies = self.values[self._grouping.of_kind("strategy")]
        for g in self._grouping.of_kind("macro"):
            self.values[g] = metrics.macro(strategies)


def _choice(strategies: Sequence[Tally]) -> Float64s:
    """Metrics of a choice, of what each strategy against the others gave."""
    bins = [one.bins for one in strategies]
    each = [
        metrics.binary(one.sums, own, one.top) for one, own in zip(strategies, bins, strict=True)
    ]
    return metrics.multiclass(
        np.stack([one.sums for one in strategies]), np.stack(bins), np.stack(each)
    )
