"""What whoever trains is told about a history that is not whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from stream.campaign.file import Campaign
from stream.campaign.operator_table import OPERATORS
from stream.campaign.words import duration_ms
from stream.keys.spread import Spread
from trainer.examples.labels import JoinCounts
from trainer.history.gaps import BEGINNING_MS, Missing
from trainer.history.lag import Lag

_REKEY = (
    "Operator action: have all producers of the event topics send the customer id as key and use one "
    "partitioner"
)
_BEHIND_MIN = 0.05
"""Share of the actions that waits for a topic of outcomes, from which on it is told."""
_SHOWN_MAX = 3
"""Partitions that are named of each kind of gap."""


def memory(campaign: Campaign) -> str:
    """The longest time that a feature looks back, as a duration such as "90d".

    Half-lives, windows and the caps of times count. What a feature keeps for ever is not among them:
    no wait would be long enough.
    """
    spans = ["1d"]
    for feature in campaign.features:
        spans += feature.half_lives
        spans += [] if feature.window is None else [feature.window]
        spans += [feature.cap] if "cap" in OPERATORS[feature.op].may else []
    return max(spans, key=duration_ms)


def flawed(unreadable: Mapping[str, int], examples: Mapping[str, str], ahead: int) -> list[str]:
    """What could not be read in the events of a history, and whose clock was ahead.

    Args:
        unreadable: Values that could not be read, by path.
        examples: By path one sentence about such a value.
        ahead: Events that said a time too far after that of their record.

    Returns:
        Sentences without their stop.
    """
    told = [
        f"{count:,} values of {path} could not be read and are missing: {examples[path]}"
        for path, count in unreadable.items()
    ]
    if ahead:
        told.append(
            f"{ahead:,} events said a time after that of their record (events.timestamp_ahead_max) "
            "and were moved to it, or by what events.sent_at says"
        )
    return told


def silent(never: Mapping[str, int]) -> list[str]:
    """Which properties never came.

    Args:
        never: By path the events that came without it.

    Returns:
        Sentences without their stop.
    """
    return [
        f"{path} never came in {events:,} events that features read it from: what is learned of it "
        "is a constant. Compare the property in the campaign file with an event"
        for path, events in never.items()
    ]


def cut(campaign: Campaign, missing: Sequence[Missing], counts: JoinCounts, near: int) -> str:
    """That a history is cut, and what this does to its examples.

    Args:
        campaign: The campaign file.
        missing: What was not read.
        counts: What became of actions.
        near: Examples within `memory` of a cut; counted when no warm-up is set.

    Returns:
        A sentence without its stop; empty when there is nothing to tell.
    """
    cuts = [one for one in missing if one.chosen or one.until is not None]
    if not cuts:
        return ""
    told = (
        f"The history is cut: {_listed(cuts)}. Soon after, features are not those that the worker "
        "has, which has seen the whole"
    )
    warm_up = campaign.training.warm_up
    if warm_up is not None:
        return f'{told}; {counts.cold:,} actions within training.warm_up = "{warm_up}" left out'
    if near == 0:
        return f"{told}; there are no examples within {memory(campaign)} of it"
    return (
        f"{told}: {near:,} examples are within {memory(campaign)} of it. Set training.warm_up = "
        f'"{memory(campaign)}" to leave them out, or read more: an archive, or an earlier beginning'
    )


def unread(missing: Sequence[Missing], counts: JoinCounts, end_ms: int) -> str:
    """That outcomes may be missing, so that actions cannot be learned from.

    Args:
        missing: What was not read of the topics that have outcomes.
        counts: What became of actions.
        end_ms: How far the history goes, epoch milliseconds.

    Returns:
        A sentence without its stop; empty when there is nothing to tell.
    """
    gaps = [one for one in missing if not one.chosen and one.after_ms < end_ms]
    if counts.unread == 0 or not gaps:
        return ""
    return (
        f"{counts.unread:,} actions left out, whose outcomes may not have been read: {_listed(gaps)}, "
        f"while the history goes to {_day(end_ms)}. Read these topics as far as the others, such as "
        "by archiving them (`opportune archive`)"
    )


def behind(lag: Lag, counts: JoinCounts, end_ms: int) -> list[str]:
    """That topics of outcomes are behind the others.

    Args:
        lag: How far outcomes are known.
        counts: What became of actions.
        end_ms: How far the history goes, epoch milliseconds.

    Returns:
        Sentences without their stop.
    """
    told = [
        f"{topic} has no event after {_day(newest_ms)}, while other topics with outcomes go on: it is taken "
        "to have ended. If it is behind, read it further before outcomes of later times are learned from"
        for topic, newest_ms in lag.ended.items()
    ]
    if counts.behind > _BEHIND_MIN * counts.actions:
        topics = ", ".join(lag.behind)
        told.append(
            f"{counts.behind:,} actions left out: {topics} has outcomes until {_day(lag.known_ms)}, while the "
            f"history goes to {_day(end_ms)}. What has not come yet is not none: wait until it has caught up"
        )
    return told


def scattered(spread: Spread, misplaced: str) -> str:
    """That customers are in several partitions, so that their events do not meet.

    Args:
        spread: Of the customers that have events.
        misplaced: What the keys say of it.

    Returns:
        A sentence without its stop; empty when there is nothing to tell.
    """
    if spread.several == 0:
        return misplaced
    told = (
        f"At least {spread.several:,} customers of {spread.customers:,} are in two partitions or more "
        "of the event topics: in each the worker, and the training, knows a part of their events, and "
        "counts and conditions such as caps see no more"
    )
    return f"{told}: {misplaced}" if misplaced else f"{told}. {_REKEY}"


def _listed(missing: Sequence[Missing]) -> str:
    """Each kind of gap with some of its partitions."""
    kinds: dict[str, list[str]] = {}
    for one in missing:
        kinds.setdefault(one.why, []).append(_place(one))
    return "; ".join(
        f"{', '.join(places[:_SHOWN_MAX])}"
        + (f" and {len(places) - _SHOWN_MAX} more" if len(places) > _SHOWN_MAX else "")
        + f" {why}"
        for why, places in kinds.items()
    )


def _place(one: Missing) -> str:
    where = f"{one.topic}/{one.partition}"
    if one.chosen:
        return f"{where} before {_day(one.before_ms)}"
    if one.until is not None:
        return f"{where} offsets {one.start:,} to {one.until:,}"
    return where if one.after_ms == BEGINNING_MS else f"{where} after {_day(one.after_ms)}"


def _day(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms / 1000, UTC):%Y-%m-%d}"
