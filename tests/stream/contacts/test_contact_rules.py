"""The kernels against the oracle: no rule is broken, and every retry_at is the first second that is free."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
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


def some(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@st.composite
def rules(draw: st.DrawFn) -> Campaign:
    strategies = [
        {
            "id": name, "channel": draw(some("mail", "push")), "group": draw(some("", "g", "h")),
            "cool_down": draw(some(None, *SPANS)), "cool_down_converted": draw(some(None, "2d")),
            "cool_down_complained": draw(some(None, "3d")),
            "obeys_caps": draw(some(True, True, True, False)),
            "counts": draw(some(True, True, True, False)),
        }
        for name in "abc"
    ]  # fmt: skip
    caps = []
    for i in range(draw(st.integers(0, 4))):
        window = draw(some(*({"within": span} for span in SPANS),
                           *({"per": per, "zone": zone} for per in ("day", "week", "month")
                             for zone in ("campaign", "customer"))))  # fmt: skip
        scope = draw(some("all", "strategy", "channel", "group"))
        caps.append({"id": f"c{i}", "contacts": draw(st.integers(1, 3)), "scope": scope, **window})
    exclusive = [{"id": "x", "members": ["a", "b"], "within": draw(some(*SPANS))}]
    return campaign(
        strategies=[{k: v for k, v in one.items() if v is not None} for one in strategies],
        caps=caps, exclusive=exclusive if draw(st.booleans()) else [],
        contacts={"time_zone": ZONES[0], "one_open": draw(st.booleans()), "sent": ["s"],
                  "failed": ["f"], "correct_within": "2d"},
    )  # fmt: skip


STEPS = st.lists(
    st.tuples(
        some(*["decide"] * 6, "failed", "sent", "opened", "converted", "complained"),
        st.integers(0, 2),
        some(0, 1, 400, 999, 1000, 61_000, 5_400_000, 43_200_000, 86_400_000, 90_000_000,
             604_800_000, -3_600_000, -90_000_000),
        some(*[0] * 6, 1, 2, 3, 4, 5),
        some(0, 0, 0, 30_000_000),
    ),
    max_size=40,
)  # fmt: skip


@given(rules(), some(*STARTS_S), st.integers(0, 5), STEPS)
@settings(deadline=None, max_examples=300)
def test_no_rule_is_broken_and_every_retry_is_the_first_second(
    of: Campaign, start_s: int, first_zone: int, steps: list[tuple[str, int, int, int, int]]
) -> None:
    row, history = Customer(of), History(of)
    now_ms, zone = 1000 * start_s, first_zone
    for what, k, step_ms, move, hold_ms in steps:
        now_ms += step_ms
        zone = (zone + move) % len(ZONES)
        at_s, name = -(-now_ms // 1000), ZONES[zone]
        if what == "decide":
            at_ms = now_ms + hold_ms
            got, retry_ms = row.against(k, at_ms, zone)
            wanted = history.against(k, at_ms // 1000, name)
            if history.given_back <= 1:
                assert got == wanted
            if got:
                check_retry(history, k, at_ms // 1000, retry_ms, name)
            else:
                assert (wanted, retry_ms) == ("", 0)
                row.count(k, at_ms, now_ms + 3_600_000, zone)
                history.count(k, at_ms, now_ms + 3_600_000, name)
        else:
            hear(row, history, what, k, now_ms, zone)
        if history.given_back == 0:
            last = [row.layout.cell(f"last:{id_}") + 1 for id_ in "abc"]
            if row.layout.cells:
                assert [row.cells[c] for c in last] == [history.last_s(k) for k in range(3)]
        assert at_s > 0


def hear(row: Customer, history: History, what: str, k: int, now_ms: int, zone: int) -> None:
    at_s, name = -(-now_ms // 1000), ZONES[zone]
    if not row.layout.cells:
        return
    if what == "failed":
        row.hear(FAILED, k, now_ms, zone)
        history.failed(k, at_s, name)
    elif what == "sent":
        row.hear(SENT, k, now_ms, zone)
        history.was_sent(k, at_s, name)
    elif what == "opened":
        row.hear(OPENED, k, now_ms, zone)
        if not history.last_s(k):
            history.count(k, 1000 * at_s, 0, name)
    elif what == "converted":
        row.hear(CONVERTED, k, now_ms, zone)
        history.converted(k, at_s)
    else:
        row.hear(COMPLAINED, 3, now_ms, zone)
        for j in range(3):
            history.pause(j, at_s, history.campaign.strategies[j].cool_down_complained)


def check_retry(history: History, k: int, at_s: int, retry_ms: int, zone: str) -> None:
    """True at that time; and, where nothing was given back, at no second before."""
    retry_s, rest = divmod(retry_ms, 1000)
    assert rest == 0
    assert retry_s > at_s
    assert history.against(k, retry_s, zone) == ""
    if history.given_back > 1:
        return
    assert history.against(k, retry_s - 1, zone) != ""
    days = (retry_s - at_s) // 86_400
    step_s = QUARTER_S if days < 2 else QUARTER_S * 4 if days < 10 else 86_400
    tried = {t for t in history.thresholds(k) if at_s <= t < retry_s}
    tried |= set(range(at_s - at_s % step_s + step_s, retry_s, step_s))
    for t in tried:
        assert history.against(k, t, zone) != "", t
