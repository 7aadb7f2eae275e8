"""Each strategy of a training beside doing nothing: what the examples show before any model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stream.policy.decision import NOTHING
from trainer.evaluation.offpolicy.inference import Interval
from trainer.evaluation.offpolicy.overlap import Overlap, overlap, whole_customers
from trainer.examples.controls import Controls
from trainer.report import wording

if TYPE_CHECKING:  # reading a report needs no TensorFlow
    from trainer.examples.dataset import Dataset


def arms_of(dataset: Dataset, names: Sequence[str]) -> dict[str, Overlap]:
    """Of each strategy that has examples; none where doing nothing is not learned.

    Args:
        dataset: All examples. Those of customers who were held out are left out: they have an arm of their own.
        names: Strategy of each output of the network.
    """
    if NOTHING not in names or dataset.controls is Controls.NONE:
        return {}
    everything = dataset.everything()
    alone = everything.strategy == names.index(NOTHING)
    arms = {}
    for k, name in enumerate(names):
        treated = everything.strategy == k
        if name == NOTHING or not treated.any():
            continue
        beside = alone if dataset.beside is None else alone & np.isin(dataset.beside, (k, -1))
        rows = np.flatnonzero((treated | beside) & ~everything.logged.held_out)
        part = everything.take(rows[whole_customers(everything.customer[rows])])
        features = np.concatenate([np.empty((0, part.features)), *(x for _, x in part.blocks())])
        arms[name] = overlap(
            features, part.strategy == k, part.outcome, part.logged.propensity, part.customer
        )
    return arms


def rows_of(arms: dict[str, Overlap]) -> list[tuple[str, ...]]:
    """A row of the table for each strategy."""
    return [
        (
            name, wording.whole(arm.treated), wording.whole(arm.untreated), _points(arm.plain),
            "estimated" if arm.estimated else "logged", wording.whole(arm.left_out), _points(arm.alike),
        )
        for name, arm in arms.items()
    ]  # fmt: skip


def _points(found: Interval | None) -> str:
    if found is None:
        return "no claim"
    value, low, high = (f"{100 * one:+.2f}" for one in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})".replace("-", "\N{MINUS SIGN}")
