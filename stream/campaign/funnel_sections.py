"""The sections of the campaign file by which chance is part of the policy: hold-outs and exploration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from stream.campaign.words import Name, Section

if TYPE_CHECKING:
    from stream.campaign.file import Campaign

Share = Annotated[float, Meta(ge=0, le=1)]
Salt = Annotated[str, Meta(max_length=200)]


class HoldoutSpec(Section, frozen=True):
    """One `[[holdouts]]` entry: customers who are left alone, so that it shows what contacts earn.

    Who is in it follows from the customer id and the salt alone. Hold-outs of one salt are nested: the
    smaller share is part of the larger; of different salts they are independent.

    Attributes:
        id: What decisions call it.
        share: Share of the customers.
        salt: Chooses them; the id when not given. A new salt chooses others.
        strategies: Strategies that are kept from them.
        channels: Channels of such strategies. Neither strategies nor channels: all that is.
    """

    id: Name
    share: Annotated[float, Meta(gt=0, lt=1)]
    salt: Salt = ""
    strategies: Annotated[tuple[Name, ...], Meta(max_length=200)] = ()
    channels: Annotated[tuple[str, ...], Meta(max_length=200)] = ()

    @property
    def is_universal(self) -> bool:
        """Whether it keeps everything from its customers."""
        return not (self.strategies or self.channels)


Holdouts = Annotated[tuple[HoldoutSpec, ...], Meta(max_length=62)]
"""Each is a bit of a whole number."""


class ExplorationSpec(Section, frozen=True):
    """How much is left to chance, and how.

    Attributes:
        method: One of those of docs/decisions.md.
        epsilon: Of `epsilon`: share of the decisions that are drawn evenly.
        temperature: Of `softmax`: by how much less a strategy must be worth to be e times as rare, in
            the unit of the values.
        gamma: Of `inverse_gap`: how fast what is worth less becomes rare, per unit of the values.
        floor: Share that is spread evenly over all that is allowed, whatever it is worth.
        without_model: Share of the decisions that are drawn evenly while there is no model.
        salt: Other draws for the same events.
    """

    method: Literal["none", "epsilon", "softmax", "inverse_gap"] = "none"
    epsilon: Share = 0.1
    temperature: Annotated[float, Meta(ge=1e-6, le=1e9)] = 1.0
    gamma: Annotated[float, Meta(ge=0, le=1e9)] = 10.0
    floor: Share = 0.05
    without_model: Share = 0.1
    salt: Salt = ""


def has_chance(campaign: Campaign) -> bool:
    """Whether chance has a part in any decision."""
    return (
        bool(campaign.holdouts)
        or campaign.exploration.method != "none"
        or campaign.policy.without_model == "explore"
    )


def wrong_funnel(campaign: Campaign) -> str:
    """What is wrong with hold-outs and fallback, "" if nothing is."""
    return next(_wrong(campaign), "")


def _wrong(campaign: Campaign) -> Iterator[str]:
    ids = [strategy.id for strategy in campaign.strategies]
    fallback = campaign.policy.fallback
    if fallback and fallback not in ids:
        yield f'at policy.fallback: expected one of {", ".join(ids)}, got "{fallback}"'
    channels = list(dict.fromkeys(s.channel for s in campaign.strategies if s.channel))
    exempt = [strategy.id for strategy in campaign.strategies if strategy.transactional]
    names = [holdout.id for holdout in campaign.holdouts]
    for i, holdout in enumerate(campaign.holdouts):
        if holdout.id in names[:i]:
            yield f'at holdouts[{i}].id: expected each id once, got "{holdout.id}" again'
        for s, name in enumerate(holdout.strategies):
            where = f"at holdouts[{i}].strategies[{s}]: expected"
            if name not in ids:
                yield f'{where} one of {", ".join(ids)}, got "{name}"'
            elif name in exempt:
                yield (
                    f'{where} none that is transactional, which nobody is held out from, got "{name}"'
                )
        for c, name in enumerate(holdout.channels):
            if name not in channels:
                yield (
                    f"at holdouts[{i}].channels[{c}]: expected a channel of a strategy, one of "
                    f'{", ".join(channels)}, got "{name}"'
                )
