"""The rules about contacts over the list of all contacts, with zoneinfo, slow and plain."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from stream.campaign.file import Campaign, StrategySpec
from stream.campaign.sections.contact_sections import CapSpec
from stream.campaign.words import duration_ms

QUARTER_S = 900


def seconds(duration: str | None) -> int:
    return duration_ms(duration) // 1000 if duration else 0


def local(zone: str, at_s: int) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_s)).astimezone(ZoneInfo(zone))


def period(per: str, zone: str, at_s: int) -> date:
    """The first day of the calendar window that a second is in."""
    day = local(zone, at_s).date()
    if per == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if per == "month" else day


def before(per: str, first: date) -> date:
    """The first day of the window before."""
    if per == "month":
        last = first - timedelta(days=1)
        assert last.day == calendar.monthrange(last.year, last.month)[1]
        return last.replace(day=1)
    return first - timedelta(days=7 if per == "week" else 1)


@dataclass(eq=False)
class Contact:
    k: int
    at_ms: int
    zone: str
    is_certain: bool = True  # in which calendar window it was counted

    @property
    def at_s(self) -> int:
        return -(-self.at_ms // 1000)


@dataclass
class Counted:
    """One cap for one name of its scope."""

    cap: CapSpec
    name: str
    periods: list[tuple[Contact, date]] = field(default_factory=list)
    newest: date | None = None

    def is_of(self, strategy: StrategySpec) -> bool:
        if self.cap.scope == "all":
            return True
        named = {
            "strategy": strategy.id, "channel": strategy.channel, "group": strategy.group,
        }  # fmt: skip
        return named[self.cap.scope] == self.name

    def zone(self, campaign: Campaign, customer: str) -> str:
        return customer if self.cap.zone == "customer" else campaign.contacts.time_zone or "UTC"


class History:
    """The contacts of one customer."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.contacts: list[Contact] = []
        self.open_s: dict[int, int] = {}
        self.pause_s: dict[int, int] = {}
        self.sent: set[int] = set()
        self.returned: set[int] = set()
        self.counted = [
            Counted(cap, name)
            for cap in campaign.caps
            for name in dict.fromkeys(self.names(cap))
            if not cap.names or name in cap.names
        ]
        self.given_back = 0
        self.zone_s = 0  # contacts up to here may have been counted in another zone
        self.counted_zone = ""

    def names(self, cap: CapSpec) -> Iterator[str]:
        for strategy in self.campaign.strategies:
            by = {"all": "", "strategy": strategy.id, "channel": strategy.channel,
                  "group": strategy.group}  # fmt: skip
            if cap.scope == "all" or by[cap.scope]:
                yield by[cap.scope]

    def of(self, k: int) -> list[Contact]:
        return sorted((c for c in self.contacts if c.k == k), key=lambda c: c.at_s)

    def last_s(self, k: int) -> int:
        return max((c.at_s for c in self.of(k)), default=0)

    def against(self, k: int, t: int, zone: str) -> str:  # noqa: PLR0911  # a rule each
        """The first rule that a contact at a full second would break, "" for none."""
        strategy = self.campaign.strategies[k]
        if not strategy.obeys_caps:
            return ""
        if self.open_s.get(k, 0) > t:
            return "open"
        if strategy.cool_down and any(c.at_s + seconds(strategy.cool_down) > t for c in self.of(k)):
            return "cooling"
        if self.pause_s.get(k, 0) > t:
            return "paused"
        if any(at > t for at in self.excluded_until(k)):
            return "excluded"
        if any(
            self.is_full(counted, t, zone) for counted in self.counted if counted.is_of(strategy)
        ):
            return "capped"
        return ""

    def excluded_until(self, k: int) -> Iterator[int]:
        mine = self.campaign.strategies[k]
        for one in self.campaign.exclusive:
            sides = {mine.id, mine.group} & set(one.members)
            for contact in self.contacts:
                other = self.campaign.strategies[contact.k]
                theirs = {other.id, other.group} & set(one.members)
                if other.counts and sides and theirs and sides != theirs:
                    yield contact.at_s + seconds(one.within)

    def is_full(self, counted: Counted, t: int, zone: str) -> bool:
        cap = counted.cap
        if cap.within:
            times = [c.at_s for c in self.contacts
                     if self.campaign.strategies[c.k].counts
                     and counted.is_of(self.campaign.strategies[c.k])]  # fmt: skip
            return sum(at + seconds(cap.within) > t for at in times) >= cap.contacts
        assert cap.per is not None
        if counted.newest is None:
            return False
        now = period(cap.per, counted.zone(self.campaign, zone), t)
        if now < before(cap.per, counted.newest):
            return True
        return sum(day == now for _, day in counted.periods) >= cap.contacts

    def thresholds(self, k: int) -> Iterator[int]:
        """Seconds at which a rule may begin to hold or cease to, calendars apart."""
        spans = {seconds(cap.within) for cap in self.campaign.caps}
        spans.add(seconds(self.campaign.strategies[k].cool_down))
        spans |= {seconds(one.within) for one in self.campaign.exclusive}
        for contact in self.contacts:
            yield from (contact.at_s + span for span in spans)
        yield from (of.get(k, 0) for of in (self.open_s, self.pause_s))

    def count(self, k: int, at_ms: int, expires_ms: int, zone: str) -> None:
        if zone != self.counted_zone:
            known = (self.last_s(j) for j in range(len(self.campaign.strategies)))
            self.zone_s, self.counted_zone = max(self.zone_s, *known), zone
        contact = Contact(k, at_ms, zone)
        if contact.at_s > self.last_s(k):
            self.sent.discard(k)
            self.returned.discard(k)
        self.contacts.append(contact)
        if self.campaign.contacts.one_open and expires_ms:
            self.open_s[k] = max(self.open_s.get(k, 0), -(-expires_ms // 1000))
        strategy = self.campaign.strategies[k]
        for counted in self.counted:
            if counted.cap.per and strategy.counts and counted.is_of(strategy):
                day = period(
                    counted.cap.per, counted.zone(self.campaign, zone), max(at_ms // 1000, 1)
                )
                counted.newest = max(counted.newest or day, day)
                counted.periods.append((contact, day))

    def uncount(self, k: int, zone: str) -> None:
        """Takes the last contact of a strategy out."""
        contact = self.of(k)[-1]
        self.contacts.remove(contact)
        self.open_s.pop(k, None)
        for counted in self.counted:
            cap = counted.cap
            if not cap.per:
                continue
            where = counted.zone(self.campaign, zone)
            if cap.zone == "customer" and not (
                zone == self.counted_zone and contact.at_s > self.zone_s
            ):
                continue
            days = {period(cap.per, where, contact.at_s - second) for second in (0, 1)}
            if len(days) == 1:
                counted.periods = [
                    (c, day) for c, day in counted.periods if c is not contact or {day} != days
                ]

    def failed(self, k: int, at_s: int, zone: str) -> None:
        last_s = self.last_s(k)
        within_s = seconds(self.campaign.contacts.correct_within)
        if last_s and k not in self.returned and last_s <= at_s <= last_s + within_s:
            self.uncount(k, zone)
            self.returned.add(k)
            self.given_back += 1

    def was_sent(self, k: int, at_s: int, zone: str) -> None:
        within_s = seconds(self.campaign.contacts.correct_within)
        times = [c.at_s for c in self.of(k)]
        last_s, before_s = [0, 0, *times][-1], [0, 0, *times][-2]
        if k in self.returned:
            is_known = False
        elif last_s and abs(at_s - last_s) <= within_s:
            is_known = at_s <= last_s or k not in self.sent
        else:
            is_known = bool(before_s) and before_s <= at_s <= min(last_s, before_s + within_s)
        if not is_known:
            self.count(k, 1000 * at_s, 0, zone)
            self.sent.add(k)
        elif at_s >= last_s:
            if at_s > last_s:
                until_s = self.open_s.get(k, 0)
                self.uncount(k, zone)
                self.given_back += 1
                self.count(k, 1000 * at_s, 1000 * until_s, zone)
            self.sent.add(k)

    def converted(self, k: int, at_s: int) -> None:
        if at_s >= self.last_s(k):
            self.open_s.pop(k, None)
        self.pause(k, at_s, self.campaign.strategies[k].cool_down_converted)

    def pause(self, k: int, at_s: int, span: str | None) -> None:
        if span:
            self.pause_s[k] = max(self.pause_s.get(k, 0), at_s + seconds(span))
