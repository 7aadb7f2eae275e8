"""Who reacts to what: uplift curves of a model, on decisions that chance had part in.

Rules of this file
1. Where the gate can say nothing of money, nothing is said here.
2. Customers are ranked by what the model expects; what came is doubly robust and has seen no ranking.
"""

from __future__ import annotations

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Bools, Float64s, Int64s
from stream.policy.arbitration import compile_worth, gains
from stream.policy.decision import NOTHING
from trainer.earnings import Case, Scores, randomised
from trainer.evaluation.offpolicy.estimators import Worth
from trainer.evaluation.offpolicy.inference import Clusters, interval
from trainer.evaluation.offpolicy.uplift import curve
from trainer.evaluation.offpolicy.uplift_found import Sure, Tenth, Uplift, UpliftCurve
from trainer.examples.inputs import Inputs

_POINTS = 26
_DRAWN_MAX = 6
"""Curves that can be told apart on a chart; of others their ends and areas are told."""
_TENTHS = 10
_ROWS_MIN = 200
"""Decisions in which a strategy could have been taken: fewer have no curve."""


def uplift_of(campaign: Campaign, plan: Inputs, scored: Scores) -> Uplift | None:
    """The curves of a response model.

    Args:
        campaign: The campaign file.
        plan: What the features are.
        scored: The test part, and what the model says of it.

    Returns:
        None where too few decisions say with which probability they were made.
    """
    keep = randomised(scored.part)
    if keep.sum() < _ROWS_MIN:
        return None
    case = Case(campaign, plan, scored.part, keep)
    names = (*(one.id for one in campaign.strategies), NOTHING)
    worth = compile_worth(campaign, names, scored.untrained, has_model=True)
    scores = np.ascontiguousarray(scored.scores[keep])
    expected = np.where(case.possible, gains(worth, scores, case.raw), np.nan)
    customer, ids = scored.part.customer[keep], names[:-1]
    done = np.unique(case.log.action).tolist()
    if len(ids) not in done:  # doing nothing: there is nothing to compare with
        return None
    expected[:, [k for k in range(len(ids)) if k not in done]] = np.nan
    some: Bools = np.asarray(np.isfinite(expected).any(axis=1))
    best = np.argmax(np.where(np.isfinite(expected), expected, -np.inf), axis=1)
    at_best = expected[np.arange(len(best)), best]
    came = case.judge.gains(np.where(some, best, len(ids)))
    if some.sum() < _ROWS_MIN:
        return None
    curves = [_curve("", at_best, came, customer, some, _POINTS)]
    for k, name in enumerate(ids):
        known = np.isfinite(expected[:, k])
        if known.sum() >= _ROWS_MIN:
            everybody = np.full(len(best), k)
            points, gained = _POINTS if len(curves) < _DRAWN_MAX else 2, case.judge.gains(everybody)
            curves.append(_curve(name, expected[:, k], gained, customer, known, points))
    return Uplift(curves=tuple(curves), tenths=_tenths(at_best[some], came[some], customer[some]))


def _curve(
    name: str, expected: Float64s, came: Float64s, customer: Int64s, which: Bools, points_max: int
) -> UpliftCurve:
    found = curve(expected[which], came[which], Clusters(customer[which]), points_max=points_max)
    share, gain, low, high = (
        tuple(values.tolist()) for values in (found.share, found.gain, found.low, found.high)
    )
    return UpliftCurve(
        strategy=name, share=share, gain=gain, low=low, high=high,
        auuc=Sure(found.auuc.value, found.auuc.low, found.auuc.high),
        qini=Sure(found.qini.value, found.qini.low, found.qini.high),
    )  # fmt: skip


def _tenths(expected: Float64s, came: Float64s, customer: Int64s) -> tuple[Tenth, ...]:
    """Ten groups of nearly equal size; those of whom equal gains are expected are in one."""
    edges = np.unique(np.quantile(expected, np.arange(1, _TENTHS) / _TENTHS))
    group = np.searchsorted(edges, expected, side="right")
    found = []
    for one in np.unique(group)[::-1]:
        mine = group == one
        clusters = Clusters(customer[mine])
        if len(clusters) < 2:
            continue
        value = float(came[mine].mean())
        sure = interval(Worth(value, came[mine] - value), clusters)
        found.append(
            Tenth(int(mine.sum()), float(expected[mine].mean()), Sure(value, sure.low, sure.high))
        )
    return tuple(found)
