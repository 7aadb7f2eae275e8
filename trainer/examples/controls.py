"""Where examples of doing nothing come from, and what each kind can prove.

| kind | doing nothing is | proves |
| --- | --- | --- |
| `DECIDED` | a decision of a worker, with its exact probability; hold-outs | what strategies cause, and money |
| `LOGGED` | an action that the engine logged as nothing, at the moment at which others were contacted | what strategies cause, if chance chose |
| `OBSERVED` | a decision point that nobody contacted so far (`trainer.examples.landmarks`) | nothing: who was contacted may have bought anyway |
| `NONE` | not learned | nothing |
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Float64s, Int64s


class Controls(Enum):
    """Where examples of doing nothing come from."""

    DECIDED = "decided"
    LOGGED = "logged"
    OBSERVED = "observational"
    NONE = "none"


def controls_of(campaign: Campaign, logs_nothing: bool) -> Controls:
    """The kind of a history.

    Args:
        campaign: The campaign file.
        logs_nothing: Whether treatments say that nothing was done.
    """
    if campaign.model.head == "choice":
        return Controls.NONE
    if campaign.training.learn_from == "decisions":
        return Controls.DECIDED
    if logs_nothing:
        return Controls.LOGGED
    return Controls.OBSERVED if campaign.training.untreated_per_treated > 0 else Controls.NONE


def left_alone(strategy: Int64s, propensity: Float64s, nothing: int) -> float:
    """Probability with which somebody was left alone, by what treatments say of theirs.

    1 - sum over strategies of n_k / sum(1 / p), the mean probability of strategy k among all that could have got
    it (Horvitz and Thompson 1952, "A generalization of sampling without replacement", JASA 47): exact where
    the probabilities of a strategy are one number.

    Args:
        strategy: Of each example, `nothing` for those that were left alone. Shape (n,), int64.
        propensity: With which it was used, NaN if nobody said. Shape (n,), float64.
        nothing: Index of doing nothing.

    Returns:
        NaN if nobody said it of a treatment; at least 1e-9.
    """
    contacted = strategy != nothing
    if not contacted.any() or not (propensity[contacted] > 0).all():
        return np.nan
    used = np.bincount(strategy[contacted], minlength=nothing)
    stood_for = np.bincount(strategy[contacted], 1 / propensity[contacted], minlength=nothing)
    mean = used[used > 0] / stood_for[used > 0]
    return max(1.0 - float(mean.sum()), 1e-9)
