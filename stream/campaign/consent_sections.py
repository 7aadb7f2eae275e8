"""The sections of the campaign file that keep customers from being contacted against their will."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, field

from stream.campaign.words import Duration, FieldPath, Name, Section

if TYPE_CHECKING:
    from stream.campaign.file import Campaign

GENERAL = "marketing"
"""Id of the purpose that stands above all others: being contacted at all."""

PURPOSES_MAX = 16
CONSENT_NAMES_MAX = 62
ConsentWord = Annotated[str, Meta(min_length=1, max_length=100)]


class PurposeSpec(Section, frozen=True):
    """One `[[purposes]]` entry: what a customer may allow or forbid on its own.

    Attributes:
        id: What strategies call it.
        paths: Where events say true or false about it, or a word of `docs/consent.md`.
        opt_out: Where events say the opposite: true denies it.
        names: What consent tools call it; the id when not given, and no name says that none knows it.
    """

    id: Name
    paths: Annotated[tuple[FieldPath, ...], Meta(max_length=16)] = ()
    opt_out: Annotated[tuple[FieldPath, ...], Meta(max_length=16)] = ()
    names: Annotated[tuple[ConsentWord, ...], Meta(max_length=16)] | None = None

    @property
    def known_as(self) -> tuple[str, ...]:
        """What consent tools call it."""
        return (self.id,) if self.names is None else self.names


class SuppressionSpec(Section, frozen=True):
    """One `[[suppressions]]` entry: events after which a channel is closed to a customer.

    Attributes:
        events: Event types that close it.
        channel: The channel of strategies, "*" for all.
        where: By the path of a category the values that an event must have, in any case; of a list one
            element is enough.
        for_: How long, from the newest event of the customer on; for ever when not given.
        lifted_by: Event types that open it again.
    """

    events: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    channel: Annotated[str, Meta(min_length=1, max_length=200)]
    where: dict[FieldPath, Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]] = field(
        default_factory=dict
    )
    for_: Duration | None = field(default=None, name="for")
    lifted_by: Annotated[tuple[str, ...], Meta(max_length=64)] = ()


def channels_of(campaign: Campaign) -> tuple[str, ...]:
    """The channels of strategies, each once; a customer may forbid each of them on its own."""
    return tuple(dict.fromkeys(s.channel for s in campaign.strategies if s.channel))


def wrong_purpose(campaign: Campaign) -> str:
    """What is wrong with the purposes, "" if nothing is."""
    return next(_wrong_purposes(campaign), "")


def _wrong_purposes(campaign: Campaign) -> Iterator[str]:
    ids = [purpose.id for purpose in campaign.purposes]
    for i, name in enumerate(ids):
        if name == GENERAL:
            yield (
                f'at purposes[{i}].id: expected another id than "{GENERAL}", the purpose that is always '
                "there; events.consent and events.consent_names say where it stands"
            )
        if name in ids[:i]:
            yield f'at purposes[{i}].id: expected each id once, got "{name}" again'
    for s, strategy in enumerate(campaign.strategies):
        for p, name in enumerate(strategy.purposes):
            if name not in (GENERAL, *ids):
                yield (
                    f"at strategies[{s}].purposes[{p}]: expected one of "
                    f'{", ".join((GENERAL, *ids))}, got "{name}"'
                )
    channels = [name for name in channels_of(campaign) if name not in (GENERAL, *ids)]
    if 1 + len(ids) + len(channels) > PURPOSES_MAX:
        yield (
            f"at purposes: expected at most {PURPOSES_MAX} purposes, with {GENERAL} and the channels of "
            f"strategies, got {1 + len(ids) + len(channels)}"
        )
    names = [*campaign.events.consent_names, *(n for p in campaign.purposes for n in p.known_as)]
    if len(names) + len(channels) > CONSENT_NAMES_MAX:
        yield (
            f"at purposes: expected at most {CONSENT_NAMES_MAX} names of purposes and channels, "
            f"got {len(names) + len(channels)}"
        )


def wrong_suppression(campaign: Campaign) -> str:
    """Which suppression closes a channel that no strategy has, "" if none does."""
    channels = ("*", *channels_of(campaign))
    for i, suppression in enumerate(campaign.suppressions):
        if suppression.channel not in channels:
            return (
                f"at suppressions[{i}].channel: expected a channel of a strategy or "
                f'"*", {_listed(channels)}, got "{suppression.channel}"'
            )
    return ""


def _listed(names: Sequence[str]) -> str:
    return "one of " + ", ".join(names)
