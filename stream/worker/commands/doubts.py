"""What looks mistyped or forgotten in a campaign file.

Nothing else would tell: an event of a type that nobody names is as good as any, a feature of a type
that never comes is 0, and an e-mail to a device id is decided like any other.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import combinations

from stream.campaign.file import Campaign
from stream.features.operators import ANY
from stream.policy.conditions import IDENTIFIED

_ALIKE = 0.9
"""Share of the letters that two types have in common, from which on one may be a slip of the other."""

_ADDRESSED = {"email", "e-mail", "sms", "whatsapp"}
"""Channels that reach a person by an address, which nobody knows of an anonymous one."""


def doubts(campaign: Campaign) -> list[str]:
    """One sentence for each place in the campaign file that may be a mistake."""
    named = _named(campaign)
    return [*_undeclared(campaign, named), *_look_alikes(named), *_unaddressed(campaign)]


def _named(campaign: Campaign) -> dict[str, str]:
    """Where each type that means something is named for the first time."""
    places = {
        name: f"features[{i}].events[{k}]"
        for i, feature in reversed(list(enumerate(campaign.features)))
        for k, name in reversed(list(enumerate(feature.events)))
        if name != ANY
    }
    for i, suppression in enumerate(campaign.suppressions):
        for kind, types in (("events", suppression.events), ("lifted_by", suppression.lifted_by)):
            for k, name in enumerate(types):
                places.setdefault(name, f"suppressions[{i}].{kind}[{k}]")
    training = campaign.training
    places.setdefault(training.outcome, "training.outcome")
    if training.learn_from == "treatments":
        places.setdefault(training.treatment, "training.treatment")
    return places


def _undeclared(campaign: Campaign, named: Mapping[str, str]) -> Iterator[str]:
    for i, name in enumerate(campaign.decisions.on):
        if name == ANY or name in named:
            continue
        close = difflib.get_close_matches(name, named, n=1)
        yield (
            f'decisions.on[{i}]: no feature, outcome or treatment names the event type "{name}"'
            + (f'; is "{close[0]}" meant?' if close else "")
        )


def _look_alikes(named: Mapping[str, str]) -> Iterator[str]:
    for one, other in combinations(named, 2):
        if _alike(one, other):
            yield (
                f'{named[other]}: the event type "{other}" looks like "{one}" of {named[one]}; '
                "are they the same?"
            )


def _unaddressed(campaign: Campaign) -> Iterator[str]:
    """Strategies that need an address, and may be decided for an anonymous id."""
    own, *others = campaign.events.customer_id or ("",)
    for i, strategy in enumerate(campaign.strategies):
        needs = strategy.channel.casefold() in _ADDRESSED
        if needs and others and IDENTIFIED not in map(str.strip, strategy.eligible):
            yield (
                f'strategies[{i}].eligible: "{strategy.id}" goes by {strategy.channel}, and an event '
                f"without {own} is decided for its {' or '.join(others)}; is "
                f'"{IDENTIFIED}" missing?'
            )


def _alike(one: str, other: str) -> bool:
    """Whether they differ in case, blanks and punctuation only, or by about a letter."""
    if [c for c in one if c.isdigit()] != [c for c in other if c.isdigit()]:
        return False  # "Step 1" and "Step 2" are meant
    a, b = ("".join(filter(str.isalnum, name)).casefold() for name in (one, other))
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio() >= _ALIKE
