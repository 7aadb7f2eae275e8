"""Which examples are learned from, validate, and judge: by time, never by chance.

A model is used on later customers than it was fitted on, so that is how it is judged.

Rules of this file
1. Before the validation part and before the test part one attribution window is left out, so that
   no label of an earlier part reaches into a later one.
2. Validation and test part have the shares that were asked for; the gaps are at the expense of the
   training part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Int64s
from trainer.errors import TrainingError

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Three parts of n examples; those in a gap are in none.

    Attributes:
        train: Learned from. Shape (n,), bool.
        validation: Decides when to stop, on the threshold and in the search. Shape (n,), bool.
        test: Judges the result. Shape (n,), bool.
    """

    train: Bools
    validation: Bools
    test: Bools


def split(time_ms: Int64s, validation_share: float, test_share: float, gap_ms: int) -> Split:
    """Splits examples out of time.

    Args:
        time_ms: When each example took place, in any order. Shape (n,), int64.
        validation_share: Share of the examples that validate; 0 for none.
        test_share: Share of the examples that judge; 0 for none.
        gap_ms: Attribution window.

    Raises:
        TrainingError: The history is too short for all parts.
    """
    free = np.ones(len(time_ms), np.bool_)
    test, free = _latest(time_ms, free, test_share, gap_ms)
    validation, free = _latest(time_ms, free, validation_share, gap_ms)
    wanted = ((free, 1.0), (validation, validation_share), (test, test_share))
    if not all(part.any() for part, share in wanted if share > 0):
        days = (int(time_ms.max()) - int(time_ms.min())) / _DAY_MS if len(time_ms) else 0.0
        raise TrainingError(
            f"expected examples to learn from that are more than one attribution window "
            f"({gap_ms / _DAY_MS:g} days) older than the {validation_share:.0%} that validate, and "
            f"those as much older than the {test_share:.0%} that judge, got {len(time_ms)} examples "
            f"of {days:.1f} days. Train on a longer history, or lower training.attribution_window, "
            "training.validation_share or training.test_share"
        )
    return Split(free, validation, test)


def _latest(time_ms: Int64s, free: Bools, share: float, gap_ms: int) -> tuple[Bools, Bools]:
    """The latest of the free examples, a share of all; and those that stay free."""
    if share == 0 or not free.any():
        return np.zeros_like(free), free
    times = np.sort(time_ms[free])
    size = min(int(np.ceil(share * len(time_ms))), len(times))
    cut_ms = times[len(times) - size]
    return free & (time_ms >= cut_ms), free & (time_ms < cut_ms - gap_ms)
