"""What whoever trains is told about examples: what they prove, what they lack, why there are none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Int64s
from stream.policy.decision import NOTHING
from trainer.examples.controls import Controls
from trainer.examples.labels import Examples, JoinCounts
from trainer.examples.part import Part

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


class Few(NamedTuple):
    """What there are too few examples of to claim anything.

    Attributes:
        strategies: Strategies, and how many examples of each there are.
        nothing: Examples of doing nothing when they are too few, else None.
        alone: Strategies beside which too few were left alone.
    """

    strategies: dict[str, int]
    nothing: int | None = None
    alone: tuple[str, ...] = ()

    def untrained(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the outputs that the policy does not choose: without doing nothing there is no gain."""
        if self.nothing is not None:
            return tuple(name for name in names if name != NOTHING)
        return tuple(name for name in names if name in self.strategies or name in self.alone)

    def no_claim(self, names: Sequence[str]) -> str:
        """Why a model can say of no strategy what it brings; empty when it can of one."""
        if self.nothing is not None:
            return f"{self.nothing:,} examples of doing nothing to learn from"
        if len(self.untrained(names)) == len(set(names) - {NOTHING}):
            return (
                f"too few examples of {', '.join(self.untrained(names))}, or of nothing beside them"
            )
        return ""


def few_of(names: Sequence[str], examples: Part, examples_min: int, alone: Sequence[str]) -> Few:
    """What there are too few examples of.

    Args:
        names: Strategy of each output of the network.
        examples: Those that are learned from. One of doing nothing that stands there twice counts once.
        examples_min: How many there have to be.
        alone: Strategies beside which too few were left alone.
    """
    rows = np.bincount(examples.strategy, minlength=len(names)).tolist()
    counts = dict(zip(names, rows, strict=True))
    nothing = None
    if NOTHING in counts:
        del counts[NOTHING]
        distinct = len(np.unique(examples.rows[examples.strategy == names.index(NOTHING)]))
        nothing = distinct if distinct < examples_min else None
    few = {name: count for name, count in counts.items() if count < examples_min}
    return Few(few, nothing, tuple(name for name in alone if name not in few))


def left_alone_beside(campaign: Campaign, examples: Examples, rows: Int64s) -> tuple[str, ...]:
    """Strategies that have examples, and beside which fewer than `training.examples_min` points were left alone.

    Args:
        campaign: The campaign file.
        examples: All of them.
        rows: Where the features of each are. Shape (n,), int64.
    """
    return tuple(
        one.id
        for k, one in enumerate(campaign.strategies)
        if (examples.strategy == k).any()
        and len(np.unique(rows[examples.beside == k])) < campaign.training.examples_min
    )


def never_chosen(campaign: Campaign, few: Few) -> tuple[str, ...]:
    """That the policy will not choose strategies; logged as a warning, too.

    Args:
        campaign: The campaign file.
        few: What there are too few examples of.

    Returns:
        Sentences without their stop.
    """
    told = []
    least = campaign.training.examples_min
    if few.nothing is not None:
        told.append(
            f"expected {least:,} examples or more of doing nothing to learn from (training.examples_min), got "
            f"{few.nothing:,}: nothing shows what a contact brings, so the policy chooses no strategy with this "
            f"model (UNTRAINED). {_PROVE}"
        )
    if few.strategies:
        got = ", ".join(f"{count:,} of {name}" for name, count in few.strategies.items())
        told.append(
            f"expected {least:,} examples or more of each strategy to learn from "
            f"(training.examples_min), got {got}: the policy does not choose these with this model "
            "(UNTRAINED). Operator action: use them on some customers first, by chance or by a rule"
        )
    if few.alone and few.nothing is None:
        told.append(
            f"fewer than {least:,} decision points were left alone at the age and after the same as those that "
            f"got {', '.join(few.alone)}: nothing shows what these bring, so the policy does not choose them with "
            f"this model (UNTRAINED). {_PROVE}"
        )
    for one in told:
        _log.warning("%s", one)
    return tuple(told)


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
