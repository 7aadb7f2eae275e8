"""The purposes of a campaign, compiled: the general one, the declared ones, and the channels.

A channel of a strategy is a purpose that nobody has to declare: who says "no mails" gets none. Being
silent about it means nothing, for most senders do not know it.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.campaign.consent_sections import GENERAL, channels_of
from stream.campaign.file import Campaign, EventMapping


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a customer may allow or forbid.

    Attributes:
        id: Its name.
        paths: Where events say it, as a word or as true and false.
        names: What consent tools call it.
        xdm: Its key in the `marketing` object of XDM.
        is_expected: Whether a consent tool that lists what it allows denies what it does not list.
        opt_out: Where events say the opposite, as true and false.
    """

    id: str
    paths: tuple[str, ...]
    names: tuple[str, ...]
    xdm: str
    is_expected: bool
    opt_out: tuple[str, ...] = ()


def general_purpose(mapping: EventMapping) -> Purpose:
    """The purpose that is always there: index 0."""
    return Purpose(
        GENERAL, mapping.consent, mapping.consent_names, "any", is_expected=True,
        opt_out=mapping.consent_opt_out,
    )  # fmt: skip


def purposes_of(campaign: Campaign) -> tuple[Purpose, ...]:
    """The general purpose, the declared ones in the order of the file, then the other channels."""
    declared = tuple(
        Purpose(spec.id, spec.paths, spec.known_as, spec.id, bool(spec.known_as), spec.opt_out)
        for spec in campaign.purposes
    )
    ids = {GENERAL, *(purpose.id for purpose in declared)}
    channels = tuple(
        Purpose(channel, (), (channel,), channel, is_expected=False)
        for channel in channels_of(campaign)
        if channel not in ids
    )
    return (general_purpose(campaign.events), *declared, *channels)
