"""Groups of examples that are judged on their own: an average can hide that a model harms some.

Rules of this file
1. A slice depends on what was known when the strategy was used, and on time; never on the outcome.
2. Names that are made here have a space in them, which declared names cannot have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Bools, Int64s
from stream.errors import CampaignError
from stream.policy.conditions import Conditions, compile_lists
from stream.policy.eligibility import eligible
from trainer.examples.inputs import Inputs
from trainer.examples.part import Part

_DAY_MS = 86_400_000
_MONTHS_FROM_DAYS = 61  # two months: shorter periods are cut into weeks
_THURSDAY = 3  # the weekday of day 0 of the epoch, counted from Monday


def slices(
    campaign: Campaign, plan: Inputs, part: Part, train: Part | None = None
) -> dict[str, Bools]:
    """The slices of a part: those that the campaign declares, periods of time, known customers.

    Strategies are groups of every evaluation and no slices.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        part: The examples.
        train: What the model was fitted on: customers in it are known, the others new.

    Returns:
        Name to the examples in it, shape (n,), in a fixed order; without empty ones.

    Raises:
        CampaignError: A declared slice cannot be read.
    """
    found = {**_declared(campaign, plan.names, part)}
    found |= _periods(part.time_ms) if part.timed else {}
    if train is not None:
        known = np.isin(part.customer, train.customer)
        found |= {"known customers": known, "new customers": ~known}
    return {name: mask for name, mask in found.items() if mask.any()}


def compile_slices(campaign: Campaign, names: Sequence[str]) -> Conditions:
    """The conditions of the declared slices, as those of strategies.

    Args:
        campaign: The campaign file.
        names: Names of the features, in the order of the feature vector.

    Raises:
        CampaignError: A condition cannot be read, names no feature, or two slices have one name.
    """
    declared = [spec.name for spec in campaign.evaluation.slices]
    for i, name in enumerate(declared):
        if name in declared[:i]:
            raise CampaignError(
                f'at evaluation.slices[{i}].name: expected each name once, got "{name}" again'
            )
    return compile_lists(
        [
            (f"evaluation.slices[{i}].conditions", spec.conditions)
            for i, spec in enumerate(campaign.evaluation.slices)
        ],
        names,
    )


def _declared(campaign: Campaign, names: Sequence[str], part: Part) -> dict[str, Bools]:
    conditions = compile_slices(campaign, names)
    holds = np.empty((len(part), len(campaign.evaluation.slices)), np.bool_)
    for where, values in part.raw_blocks() if len(conditions) else ():
        holds[where] = eligible(
            values[:, conditions.features], conditions.strategy, conditions.column, conditions.op,
            conditions.number, holds.shape[1],
        )  # fmt: skip
    return {spec.name: holds[:, i] for i, spec in enumerate(campaign.evaluation.slices)}


def _periods(time_ms: Int64s) -> dict[str, Bools]:
    """Calendar months in UTC, or weeks from Monday on when there are less than two months."""
    if len(time_ms) == 0:
        return {}
    if time_ms.max() - time_ms.min() >= _MONTHS_FROM_DAYS * _DAY_MS:
        kind, period = "month", time_ms.astype("datetime64[ms]").astype("datetime64[M]")
    else:
        day = time_ms // _DAY_MS
        monday = day - (day + _THURSDAY) % 7
        kind, period = "week", monday.astype("datetime64[D]")
    found = np.unique(period)
    return {f"{kind} {one}": period == one for one in found} if len(found) > 1 else {}
