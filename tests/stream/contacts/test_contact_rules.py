"""The kernels against the oracle: no rule is broken, and every retry_at is the first second that is free."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import Campaign
from stream.contacts.engine_events import COMPLAINED, CONVERTED, FAILED, OPENED, SENT
from tests.stream.contacts.contacts_harness import ZONES, Customer, campaign
from tests.stream.contacts.contacts_oracle import QUARTER_S, History

# Around changes of daylight saving, of which some are at midnight, and one leaves a day out.
STARTS_S = (
    1_774_700_000, 1_792_800_000, 1_772_900_000, 1_793_450_000, 1_541_250_000, 1_325_150_000,
    1_704_000_000, 1_709_100_000,
)  # fmt: skip
SPANS = ("1s", "90m", "1d", "36h", "7d")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
STEPS_MS = (
    0, 1, 400, 999, 1000, 61_000, HOUR_MS, 5_400_000, 12 * HOUR_MS, DAY_MS, DAY_MS + HOUR_MS,
    7 * DAY_MS, -HOUR_MS, -DAY_MS - HOUR_MS,
)  # fmt: skip
WHAT = (
    *["decide"] * 6, *["retry"] * 2, *["before retry"] * 2, "failed", "failed", "sent", "opened",
    "converted", "complained",
)  # fmt: skip
WINDOWS: tuple[dict[str, str], ...] = (
    *({"within": span} for span in SPANS),
    *({"per": per, "zone": zone} for per in ("day", "week", "month")
      for zone in ("campaign", "customer")),
)  # fmt: skip


def rules(some: Random) -> Campaign:
    """A campaign of three strategies; half of the rules are there."""

    def maybe(**setting: Any) -> dict[str, Any]:
        return setting if some.random() < 0.5 else {}

    strategies = [
        {
            "id": name, "channel": some.choice(("mail", "push")), "group": some.choice(("", "g", "h")),
            "obeys_caps": some.random() < 0.9, "counts": some.random() < 0.9,
            **maybe(cool_down=some.choice(SPANS)), **maybe(cool_down_converted="2d"),
            **maybe(cool_down_complained="3d"),
        }
        for name in "abc"
    ]  # fmt: skip
    caps = [
        {
            "id": f"c{i}", "contacts": some.randint(1, 3),
            "scope": some.choice(("all", "strategy", "channel", "group")), **some.choice(WINDOWS),
        }
        for i in range(some.randint(0, 4))
    ]  # fmt: skip
    return campaign(
        strategies=strategies, caps=caps,
        **maybe(exclusive=[{"id": "x", "members": ["a", "b"], "within": some.choice(SPANS)}]),
        contacts={"time_zone": ZONES[0], "one_open": some.random() < 0.3, "sent": ["s"],
                  "failed": ["f"], "correct_within": "2d"},
    )  # fmt: skip


class Walk:
    """A random history, by the kernels and by the oracle.

    Attributes:
        said: What `against` said, by code.
        exact: How many of these answers had to be, and were, those of the oracle to the letter.
    """

    def __init__(self, seed: int) -> None:
        self.some = Random(seed)
        of = rules(self.some)
        self.row, self.history = Customer(of), History(of)
        self.now_ms = 1000 * self.some.choice(STARTS_S) + self.some.randrange(1000)
        self.zone = self.some.randrange(len(ZONES))
        self.told = (0, self.now_ms)
        self.said: dict[str, int] = {}
        self.exact = 0

    def step(self) -> None:
        some = self.some
        what, k = some.choice(WHAT), some.randrange(3)
        self.now_ms += some.choice(STEPS_MS)
        if some.random() < 0.1:
            self.zone = some.randrange(len(ZONES))
        hold_ms = some.choice((0, 0, 0, 8 * HOUR_MS))
        if what.endswith("retry"):
            k, self.now_ms = self.told
            self.now_ms -= what == "before retry"
            self.decide(k, self.now_ms)
        elif what == "decide":
            self.decide(k, self.now_ms + hold_ms)
        elif self.row.layout.cells:
            self.hear(what, k)

    def decide(self, k: int, at_ms: int) -> None:
        name, expires_ms = ZONES[self.zone], self.now_ms + HOUR_MS
        got, retry_ms = self.row.against(k, at_ms, self.zone)
        wanted = self.history.against(k, at_ms // 1000, name)
        self.said[got] = self.said.get(got, 0) + 1
        if self.is_exact:
            self.exact += 1
            assert got == wanted
        if got:
            self.told = (k, retry_ms)
            self.check_retry(k, at_ms // 1000, retry_ms)
            return
        assert (wanted, retry_ms) == ("", 0)
        self.row.count(k, at_ms, expires_ms, self.zone)
        self.history.count(k, at_ms, expires_ms, name)

    @property
    def is_exact(self) -> bool:
        """What was given back twice, the kernel counts still where it cannot know better."""
        return self.history.given_back <= 1

    def check_retry(self, k: int, at_s: int, retry_ms: int) -> None:
        """True at that time, false at every second before."""
        history, zone = self.history, ZONES[self.zone]
        retry_s, rest = divmod(retry_ms, 1000)
        assert (rest, retry_s > at_s) == (0, True)
        assert history.against(k, retry_s, zone) == ""
        if not self.is_exact:
            return
        assert history.against(k, retry_s - 1, zone) != ""
        days = (retry_s - at_s) // 86_400
        step_s = QUARTER_S if days < 2 else 4 * QUARTER_S if days < 5 else 86_400
        tried = {t for t in history.thresholds(k) if at_s <= t < retry_s}
        tried |= set(range(at_s - at_s % step_s + step_s, retry_s, step_s))
        for t in tried:
            assert history.against(k, t, zone) != "", t

    def hear(self, what: str, k: int) -> None:
        row, history = self.row, self.history
        now_ms, at_s, name = self.now_ms, -(-self.now_ms // 1000), ZONES[self.zone]
        if what == "failed":
            row.hear(FAILED, k, now_ms, self.zone)
            history.failed(k, at_s, name)
        elif what == "sent":
            row.hear(SENT, k, now_ms, self.zone)
            history.was_sent(k, at_s, name)
        elif what == "opened":
            row.hear(OPENED, k, now_ms, self.zone)
            if not history.last_s(k):
                history.count(k, 1000 * at_s, 0, name)
        elif what == "converted":
            row.hear(CONVERTED, k, now_ms, self.zone)
            history.converted(k, at_s)
        else:
            row.hear(COMPLAINED, 3, now_ms, self.zone)
            for j in range(3):
                history.pause(j, at_s, history.campaign.strategies[j].cool_down_complained)


@pytest.mark.parametrize("block", range(10))
def test_no_rule_is_broken_and_every_retry_is_the_first_second(block: int) -> None:
    said: dict[str, int] = {}
    exact = given_back = 0
    for seed in range(100 * block, 100 * (block + 1)):
        walk = Walk(seed)
        for _ in range(40):
            walk.step()
        exact += walk.exact
        given_back += walk.history.given_back
        for code, n in walk.said.items():
            said[code] = said.get(code, 0) + n
    assert min(said[code] for code in ("", "open", "cooling", "paused", "excluded", "capped")) > 20
    assert exact > 1000
    assert given_back > 20


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_neither_of_histories_that_nobody_has_chosen(seed: int, steps: int) -> None:
    walk = Walk(seed)
    for _ in range(steps):
        walk.step()
