"""The numbers of one model in every resample."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from stream.columns import Float32s, Float64s
from trainer.evaluation import metrics
from trainer.evaluation.grouping import Grouping
from trainer.evaluation.kernels import POSITIVE, WEIGHT, WIDTH
from trainer.evaluation.ranking import BINS, Question


class Draws:
    """Filled in by chunks of resamples, then finished.

    Attributes:
        values: Shape (groups, len(METRICS), 1 + resamples), float64.
        observed: Share of the positives in each calibration bin; NaN for groups that several
            questions judge. Shape (groups, BINS, 1 + resamples), float32.
    """

    values: Float64s
    observed: Float32s

    def __init__(self, grouping: Grouping, resamples: int) -> None:
        """No numbers yet."""
        groups = len(grouping.members)
        self._grouping = grouping
        self.values = np.full((groups, len(metrics.METRICS), 1 + resamples), np.nan)
        self.observed = np.full((groups, BINS, 1 + resamples), np.nan, np.float32)

    def add(self, chunk: int, questions: Sequence[Question], counts: npt.NDArray[np.uint8]) -> None:
        """Fills in one chunk.

        Args:
            chunk: Its number.
            questions: What the model answers.
            counts: The resamples. Shape (customers, WIDTH), uint8.
        """

        @cache
        def tally(question: int, mask: int) -> tuple[Float64s, Float64s, Float64s]:
            return questions[question].ranking(self._grouping.masks[mask]).tally(counts)

        values, observed = (
            array[..., chunk * WIDTH : (chunk + 1) * WIDTH]
            for array in (self.values, self.observed)
        )
        width = values.shape[-1]
        for g, member in enumerate(self._grouping.members):
            if member.kind == "macro":
                continue
            if member.question is None:
                found = [tally(k, member.mask) for k in range(len(questions))]
                sums, bins = (
                    np.stack([one[0] for one in found]),
                    np.stack([one[1] for one in found]),
                )
                each = np.stack([metrics.binary(*one) for one in found])
                values[g] = metrics.multiclass(sums, bins, each)[:, :width]
                continue
            sums, bins, top = tally(member.question, member.mask)
            values[g] = metrics.binary(sums, bins, top)[:, :width]
            with np.errstate(invalid="ignore"):
                observed[g] = (bins[:, POSITIVE] / bins[:, WEIGHT])[:, :width]

    def finish(self) -> None:
        """Takes the mean over the strategies, when every chunk is there."""
        strategies = self.values[self._grouping.of_kind("strategy")]
        for g in self._grouping.of_kind("macro"):
            self.values[g] = metrics.macro(strategies)
