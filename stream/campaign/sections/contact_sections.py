"""The sections of the campaign file that say how often, how soon and at which hours customers are contacted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, field

from stream.campaign.sections.budget_section import BudgetSpec, wrong_budgets
from stream.campaign.words import Duration, FieldPath, Name, Section, duration_ms

if TYPE_CHECKING:
    from stream.campaign.file import Campaign

CONTACTS_MAX = 255
WINDOW_DAYS_MAX = 3660
_DAY_MS = 86_400_000
_MINUTES = 60
Hour = Annotated[
    str,
    Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z", description="a time of day such as 21:00"),
]
EventTypes = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=64)]


class ContactsSpec(Section, frozen=True):
    """What is remembered of contacts, and which events of campaign engines correct it.

    Attributes:
        time_zone: IANA name of the zone of the campaign, and of customers whose own is not known.
            Needed by quiet hours and calendar caps.
        zone_property: Path of the IANA name of the customer's zone in events; the last one counts.
        one_open: Whether a strategy waits until its last decision about the customer has expired or
            led to a conversion.
        strategy_property: Path of the strategy id in the events below.
        time_property: Path of the time of the contact in `failed`, epoch milliseconds, as it stood in
            the decision; the last contact of the strategy when not given.
        sent: Event types that say a message has gone out: the contact counts from then on.
        failed: That it has not: the contact is given back.
        opened: That the customer has seen it: one that nobody knew of is counted.
        converted: That it worked; without a strategy, of all strategies.
        complained: That the customer minds; without a strategy, all strategies.
        correct_within: How long after a contact such an event can be about it.
    """

    time_zone: str | None = None
    zone_property: FieldPath | None = None
    one_open: bool = False
    strategy_property: FieldPath = "properties.strategy"
    time_property: FieldPath | None = None
    sent: EventTypes = ()
    failed: EventTypes = ()
    opened: EventTypes = ()
    converted: EventTypes = ()
    complained: EventTypes = ()
    correct_within: Duration = "3d"


class CapSpec(Section, frozen=True):
    """One `[[caps]]` entry: at most so many contacts in a window. All caps hold at once.

    Attributes:
        id: Its name. What was counted is kept as long as it stays.
        contacts: Contacts that are allowed in a window.
        within: Length of a rolling window, whole seconds.
        per: Or a calendar window; weeks begin on Monday.
        zone: Whose midnight begins a calendar window.
        scope: What is counted together: all contacts, or those of each strategy, channel or group.
        names: Of the strategies, channels or groups; all when not given.
    """

    id: Name
    contacts: Annotated[int, Meta(ge=1, le=CONTACTS_MAX)]
    within: Duration | None = None
    per: Literal["day", "week", "month"] | None = None
    zone: Literal["campaign", "customer"] = "customer"
    scope: Literal["all", "strategy", "channel", "group"] = "all"
    names: Annotated[tuple[str, ...], Meta(max_length=200)] = ()


class ExclusiveSpec(Section, frozen=True):
    """One `[[exclusive]]` entry: after a contact of one member the others wait.

    Attributes:
        id: Its name.
        members: Strategies or groups; the strategies of one group do not exclude each other.
        within: How long, whole seconds.
    """

    id: Name
    members: Annotated[tuple[Name, ...], Meta(min_length=2, max_length=64)]
    within: Duration


class QuietHoursSpec(Section, frozen=True):
    """Hours of the customer's day without contacts.

    Attributes:
        from_: Local time from which it is quiet.
        until: Local time at which that ends, the next day when it is the earlier one.
        mode: Whether a decision is held until then, or dropped.
        release_spread: Over how long what was held is spread, whole seconds.
    """

    from_: Hour = field(name="from")
    until: Hour
    mode: Literal["hold", "drop"] = "hold"
    release_spread: Duration = "1h"


class ContactRules(Section, frozen=True):
    """The sections at the top of a campaign file that are about contacts."""

    contacts: ContactsSpec = ContactsSpec()
    caps: Annotated[tuple[CapSpec, ...], Meta(max_length=64)] = ()
    exclusive: Annotated[tuple[ExclusiveSpec, ...], Meta(max_length=64)] = ()
    quiet_hours: QuietHoursSpec | None = None
    budgets: Annotated[tuple[BudgetSpec, ...], Meta(max_length=32)] = ()


class StrategyContacts(Section, frozen=True):
    """What a strategy says about its contacts.

    Attributes:
        group: Strategies of one group are counted, and excluded, together.
        cool_down: From a contact of the strategy to its next.
        cool_down_converted: From a conversion to its next contact.
        cool_down_complained: From a complaint to its next contact.
        obeys_caps: Whether caps, cool-downs, exclusive groups and its open decision stop it. Consent
            and suppressions always do.
        obeys_quiet_hours: Whether it waits for the end of the quiet hours.
        counts: Whether its contacts count in caps and keep exclusive others away.
    """

    group: Annotated[str, Meta(max_length=200)] = ""
    cool_down: Duration | None = None
    cool_down_converted: Duration | None = None
    cool_down_complained: Duration | None = None
    obeys_caps: bool = True
    obeys_quiet_hours: bool = True
    counts: bool = True


def minutes(hour: str) -> int:
    """Minutes after midnight of a time such as "21:00"."""
    return _MINUTES * int(hour[:2]) + int(hour[3:])


def groups_of(campaign: Campaign) -> tuple[str, ...]:
    """The groups of strategies, each once."""
    return tuple(dict.fromkeys(s.group for s in campaign.strategies if s.group))


def scope_names(campaign: Campaign, scope: str) -> tuple[str, ...]:
    """What contacts are counted by, each once: ("",) for all of them together."""
    if scope == "all":
        return ("",)
    column = "id" if scope == "strategy" else scope
    return tuple(dict.fromkeys(n for s in campaign.strategies if (n := getattr(s, column))))


def wrong_contacts(campaign: Campaign) -> str:
    """What is wrong with caps, cool-downs, exclusive groups and quiet hours, "" if nothing is."""
    parts = (
        _caps(campaign),
        _exclusive(campaign),
        _durations(campaign),
        _zone(campaign),
        _quiet(campaign),
        wrong_budgets(campaign),
    )
    return next((wrong for part in parts for wrong in part), "")


def _caps(campaign: Campaign) -> Iterator[str]:
    yield from _repeated("caps", [cap.id for cap in campaign.caps])
    for i, cap in enumerate(campaign.caps):
        if (cap.within is None) == (cap.per is None):
            both = "neither" if cap.within is None else "both"
            yield f'at caps[{i}]: expected either within or per, got {both} in "{cap.id}"'
        known = scope_names(campaign, cap.scope) if cap.scope != "all" else ()
        for n, name in enumerate(cap.names):
            if name not in known:
                yield (
                    f"at caps[{i}].names[{n}]: expected {_listed(known)} of scope "
                    f'"{cap.scope}", got "{name}"'
                )


def _exclusive(campaign: Campaign) -> Iterator[str]:
    yield from _repeated("exclusive", [one.id for one in campaign.exclusive])
    ids, groups = [strategy.id for strategy in campaign.strategies], groups_of(campaign)
    for i, name in enumerate(groups):
        if name in ids and any(name in one.members for one in campaign.exclusive):
            yield f'at exclusive: expected groups of other names than strategies, got group {i} "{name}"'
    for i, one in enumerate(campaign.exclusive):
        for m, name in enumerate(one.members):
            if name not in (*ids, *groups):
                yield (
                    f"at exclusive[{i}].members[{m}]: expected {_listed((*ids, *groups))}, strategies and "
                    f'groups, got "{name}"'
                )
            if name in one.members[:m]:
                yield f'at exclusive[{i}].members[{m}]: expected each member once, got "{name}" again'


def _durations(campaign: Campaign) -> Iterator[str]:
    """Contacts are remembered in seconds."""
    found = [(f"caps[{i}].within", cap.within) for i, cap in enumerate(campaign.caps)]
    found += [(f"exclusive[{i}].within", one.within) for i, one in enumerate(campaign.exclusive)]
    for i, strategy in enumerate(campaign.strategies):
        found += [
            (f"strategies[{i}].{name}", getattr(strategy, name))
            for name in ("cool_down", "cool_down_converted", "cool_down_complained")
        ]
    found.append(("contacts.correct_within", campaign.contacts.correct_within))
    if campaign.quiet_hours:
        found.append(("quiet_hours.release_spread", campaign.quiet_hours.release_spread))
    for path, text in found:
        if text is None:
            continue
        if duration_ms(text) % 1000 or duration_ms(text) > WINDOW_DAYS_MAX * _DAY_MS:
            yield f'at {path}: expected whole seconds, at most {WINDOW_DAYS_MAX}d, got "{text}"'


def _zone(campaign: Campaign) -> Iterator[str]:
    name = campaign.contacts.time_zone
    if name is None and (campaign.quiet_hours or any(cap.per for cap in campaign.caps)):
        what = "[quiet_hours]" if campaign.quiet_hours else "caps.per"
        yield (
            "at contacts.time_zone: expected the IANA name of the zone of the campaign and of customers "
            f"whose own is not known, since {what} goes by local time, got none"
        )
    if name is not None:
        from stream.compiled.time_zones import time_zone

        try:
            time_zone(name)
        except ValueError as exc:
            yield f"at contacts.time_zone: {exc}"


def _quiet(campaign: Campaign) -> Iterator[str]:
    quiet = campaign.quiet_hours
    if quiet is None:
        return
    if quiet.from_ == quiet.until:
        yield (
            f'at quiet_hours.until: expected another time than from, got "{quiet.until}"; '
            "enabled = false keeps a strategy from all customers"
        )
        return
    open_ms = (minutes(quiet.from_) - minutes(quiet.until)) % (24 * _MINUTES) * 60_000
    if duration_ms(quiet.release_spread) > open_ms:
        yield (
            f"at quiet_hours.release_spread: expected at most the {open_ms // 60_000}m between "
            f'{quiet.until} and {quiet.from_}, got "{quiet.release_spread}"'
        )


def _repeated(section: str, ids: Sequence[str]) -> Iterator[str]:
    for i, name in enumerate(ids):
        if name in ids[:i]:
            yield f'at {section}[{i}].id: expected each id once, got "{name}" again'


def _listed(names: Sequence[str]) -> str:
    return "one of " + ", ".join(names) if names else "none"
