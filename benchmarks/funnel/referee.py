"""The referee of the funnel: are the decisions that came out those that the rules allow?

Rules of this file
1. Nothing of the worker is imported: the rules are those of `opportune.toml` beside it, read here once
   more and held against the decisions in the order in which they stand on the topic.
2. Contacts are those of decisions, and the ghosts of customers who are held out.
"""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

CAMPAIGN = Path(__file__).with_name("opportune.toml")
_CERTAIN = 2**32
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_VIEWS_HALF_LIFE_S = 30 * 86_400.0
_ROUNDING = 1e-9


@dataclass
class _Customer:
    """What happened to a customer so far.

    Attributes:
        contacts: When, and with which strategy.
        open_until: By strategy, when its last decision expires.
        arms: The hold-outs that the first decision named.
        views: Decayed count of views, and of which time.
        consents: What the last event said.
    """

    contacts: list[tuple[datetime, str]] = field(default_factory=list)
    open_until: dict[str, datetime] = field(default_factory=dict)
    arms: list[str] | None = None
    views: tuple[float, float] = (0.0, 0.0)
    consents: bool = True


class Referee:
    """Holds decisions against the rules of a campaign file, in the order of each customer.

    Args:
        campaign: The campaign file.

    Attributes:
        found: Violations by the name of the rule.
        decisions: How many were looked at.
        acted: How many of them contact somebody.
    """

    def __init__(self, campaign: Path = CAMPAIGN) -> None:
        rules = tomllib.loads(campaign.read_text(encoding="utf-8"))
        self.found: Counter[str] = Counter()
        self.decisions = self.acted = 0
        self._strategies = {one["id"]: one for one in rules["strategies"]}
        self._caps = rules["caps"]
        self._holdouts = rules["holdouts"]
        self._exclusive = rules["exclusive"]
        self._zone = ZoneInfo(rules["contacts"]["time_zone"])
        self._customers: defaultdict[str, _Customer] = defaultdict(_Customer)

    def judge(self, events: Sequence[bytes], decisions: Sequence[bytes]) -> None:
        """Looks at the decisions about the events of one partition, each about the event at its offset."""
        told: dict[int, Any] = {}
        for text in decisions:
            decision = msgspec.json.decode(text)
            told[decision["data"]["event"]["offset"]] = decision
        for offset, text in enumerate(events):
            event = msgspec.json.decode(text)
            customer = self._customers[event["customer_id"]]
            customer.consents = event["consent"]
            _view(customer, event)
            self.decisions += 1
            if offset not in told:
                self.found["missing"] += 1
                continue
            self.found.update(self._broken(customer, told[offset]))
            self._count(customer, told[offset])

    def _broken(self, customer: _Customer, decision: Mapping[str, Any]) -> Iterator[str]:
        """The rules that a decision breaks."""
        data = decision["data"]
        chosen = data["action"]["strategy"]
        chances = data["probabilities"]
        exact = round(data["action_probability"] * _CERTAIN)
        if sum(chances.values()) != _CERTAIN or chances.get(chosen, 0) != exact or exact == 0:
            yield "probabilities"
        if len(data["dropped"]) != len(self._strategies) - (chosen != "nothing"):
            yield "reasons"
        if customer.arms is not None and customer.arms != data["holdouts"]:
            yield "arm"
        covered = any(self._covers(holdout, chosen) for holdout in self._holdouts
                      if holdout["id"] in data["holdouts"])  # fmt: skip
        if chosen != "nothing" and covered:
            yield "holdout"
        for name in {chosen, data["ghost"]} - {"nothing", None}:
            if not customer.consents:
                yield "consent"
            yield from self._against(customer, name, _time(decision["time"]))

    def _against(self, customer: _Customer, name: str, now: datetime) -> Iterator[str]:
        """The rules that speak against a contact now."""
        strategy = self._strategies[name]
        if strategy.get("eligible") and customer.views[0] < 1 - _ROUNDING:
            yield "eligibility"
        if customer.open_until.get(name, now) > now:
            yield "open decision"
        for at, other in customer.contacts:
            if other == name and now < at + _span(strategy["cool_down"]):
                yield "cool-down"
            for rule in self._exclusive:
                groups = strategy.get("group"), self._strategies[other].get("group")
                apart = groups[0] != groups[1] and set(groups) <= set(rule["members"])
                if apart and now < at + _span(rule["within"]):
                    yield "exclusive"
        for cap in self._caps:
            if self._is_of(cap, name) and self._counted(cap, customer, now) >= cap["contacts"]:
                yield f"cap {cap['id']}"

    def _counted(self, cap: Mapping[str, Any], customer: _Customer, now: datetime) -> int:
        """The contacts in the window of a cap."""
        mine = [at for at, name in customer.contacts if self._is_of(cap, name)]
        if "within" in cap:
            return sum(at > now - _span(cap["within"]) for at in mine)
        return sum(self._period(cap["per"], at) == self._period(cap["per"], now) for at in mine)

    def _period(self, per: str, at: datetime) -> tuple[int, ...]:
        local = at.astimezone(self._zone)
        return local.isocalendar()[:2] if per == "week" else (local.year, local.month, local.day)

    def _is_of(self, cap: Mapping[str, Any], name: str) -> bool:
        return "scope" not in cap or self._strategies[name]["channel"] in cap["names"]

    def _covers(self, holdout: Mapping[str, Any], name: str) -> bool:
        channels = holdout.get("channels")
        return channels is None or self._strategies.get(name, {}).get("channel") in channels

    def _count(self, customer: _Customer, decision: Mapping[str, Any]) -> None:
        data, now = decision["data"], _time(decision["time"])
        customer.arms = data["holdouts"]
        self.acted += data["decision"] == "act"
        for name in {data["action"]["strategy"], data["ghost"]} - {"nothing", None}:
            customer.contacts.append((now, name))
            customer.open_until[name] = _time(decision["expirytime"])


def _view(customer: _Customer, event: Mapping[str, Any]) -> None:
    """Adds an event to the decayed count of views."""
    count, at_s = customer.views
    now_s = event["timestamp"] / 1000
    count *= 2 ** (-(now_s - at_s) / _VIEWS_HALF_LIFE_S)
    customer.views = count + (event["type"] == "view"), now_s


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _span(duration: str) -> timedelta:
    return timedelta(**{_UNITS[duration[-1]]: int(duration[:-1])})
