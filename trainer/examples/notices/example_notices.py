"""What whoever trains is told about examples: what they prove, what they lack, why there are none."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Int64s
from stream.policy.decision import NOTHING
from trainer.examples.controls import Controls
from trainer.examples.labels import JoinCounts

_log = logging.getLogger(__name__)
_PROVE = (
    "To learn what strategies cause, let the worker explore and learn from its decisions "
    '(training.learn_from = "decisions"), or log nothing as a treatment where nobody was contacted, '
    "with its probability"
)
_BLURRED_MIN = 0.05
"""Share of the untreated that are contacted within their window, from which on it is told."""


def controls(campaign: Campaign, kind: Controls, counts: JoinCounts) -> tuple[str, ...]:
    """What examples of doing nothing are, and what that cannot prove.

    Args:
        campaign: The campaign file.
        kind: Where they come from.
        counts: What became of actions.

    Returns:
        Sentences without their stop.
    """
    if kind is not Controls.OBSERVED:
        return ()
    told = []
    if counts.untreated:
        told.append(
            "Observational: nobody drew who was left alone. Doing nothing is learned from "
            f"{counts.untreated:,} examples of {counts.untreated_points:,} decision points at the age at "
            "which others were contacted, alike in what came before and in nothing else: who was chosen "
            f"may have bought anyway. {_PROVE}"
        )
    if counts.contacted_later > _BLURRED_MIN * counts.untreated:
        told.append(
            f"{counts.contacted_later / counts.untreated:.0%} of these examples were contacted later within "
            f"{campaign.training.attribution_window}: beside them strategies seem to do less than they do"
        )
    if counts.unmatched:
        told.append(
            f"{counts.unmatched:,} treatments have nobody beside them who was left alone at the same age "
            f"and after the same: nothing shows what would have come without them. {_PROVE}"
        )
    return tuple(told)


def expired(campaign: Campaign, counts: JoinCounts) -> str:
    """That decisions had expired when they were published.

    Args:
        campaign: The campaign file.
        counts: What became of actions.

    Returns:
        A sentence without its stop; empty when there is nothing to tell.
    """
    if counts.expired == 0:
        return ""
    return (
        f"{counts.expired:,} decisions beside {counts.actions:,} others had expired when they were published, by "
        "the times of their records: nobody could act on them, so nothing is learned of them. They come of old "
        "events (a first start, a long catch-up), of a worker that is behind by more than "
        f"decisions.expires_after = {campaign.decisions.expires_after!r}, or of a topic that was copied with "
        "new times"
    )


def untrained(names: Sequence[str], strategy: Int64s, examples_min: int) -> dict[str, int]:
    """Strategies that there are too few examples of, and how many there are.

    Args:
        names: Strategy of each output of the network.
        strategy: Output of each example that is learned from. Shape (n,), int64.
        examples_min: How many there have to be.
    """
    rows = np.bincount(strategy, minlength=len(names)).tolist()
    return {
        name: count
        for name, count in zip(names, rows, strict=True)
        if name != NOTHING and count < examples_min
    }


def never_chosen(campaign: Campaign, few: Mapping[str, int]) -> tuple[str, ...]:
    """That the policy will not choose strategies; logged as a warning, too.

    Args:
        campaign: The campaign file.
        few: See `untrained`.

    Returns:
        A sentence without its stop, or none.
    """
    if not few:
        return ()
    got = ", ".join(f"{count:,} of {name}" for name, count in few.items())
    told = (
        f"expected {campaign.training.examples_min:,} examples or more of each strategy to learn from "
        f"(training.examples_min), got {got}: the policy does not choose these with this model "
        "(UNTRAINED). Operator action: use them on some customers first, by chance or by a rule"
    )
    _log.warning("%s", told)
    return (told,)


def no_examples(campaign: Campaign, counts: JoinCounts) -> str:
    """Why there are no examples."""
    training = campaign.training
    if training.learn_from == "decisions":
        expected = f"decisions in {campaign.topics.decisions} about events of the history"
        without = f"{counts.event_missing} about other events"
    else:
        expected = (
            f'"{training.treatment}" events with {training.strategy_property}, after an event that '
            f"asks for a decision ({', '.join(campaign.decisions.on)})"
        )
        without = (
            f"{counts.no_decision_point} without a decision before, {counts.too_late} more than "
            f"{training.decision_age_max or training.attribution_window} after it"
        )
    outcome = f', with a later "{training.outcome}"' if campaign.model.head == "choice" else ""
    return (
        f"expected {expected}{outcome}, older than {training.attribution_window}, got "
        f"{counts.actions}, of them {counts.unknown_strategy} with a strategy that the campaign "
        f"does not have, {without}, {counts.immature} too young, {counts.behind} "
        f"too young for a topic of outcomes that is behind, {counts.unread} with outcomes that "
        f"may not have been read, {counts.cold} within training.warm_up after a cut of the history"
    )
