"""What strategies earn by their hold-out: counted as a slow twin counts, and rarely wrong on any day."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import Campaign, parse
from stream.columns import Int64s, RecordChunk, Spans
from stream.decisions.encoder import DecisionEncoder
from stream.events.decoder import EventDecoder
from stream.features.plan import compile_features
from stream.policy.decision import CERTAIN, DecisionBatch, Dropped
from stream.policy.holdout import compile_holdouts, held_out
from tests.trainer.shop_history import CAMPAIGN, DAY_MS, START_MS, Event, Memory, chunk_of
from trainer.commands.looking.earned import earned as command
from trainer.commands.options.history_options import HistoryOptions
from trainer.errors import TrainingError
from trainer.evaluation.earned.always_valid import half_width
from trainer.evaluation.earned.earned import OUTCOMES_MIN, Contacts, Earned, earned
from trainer.evaluation.earned.last_contact import attributed
from trainer.evaluation.earned.reading import chosen_holdout, read_earned, share_of
from trainer.history.source import EVERYTHING

HELD = CAMPAIGN.replace('id = "mail"', 'id = "mail"\nvalue = 10.0\ncost = 0.5') + (
    'learn_from = "decisions"\n[[holdouts]]\nid = "all"\nshare = 0.2\n'
)
TOLD: Any = {"holdout": "all", "outcome": "order", "window": "10d"}


def slowly(
    contacts: list[tuple[int, int]], outcomes: list[tuple[int, int]], window: int
) -> list[int]:
    """The last contact of the same customer before each outcome, if it is not too old."""
    found = [0] * len(contacts)
    for who, when in outcomes:
        before = [(at, i) for i, (whose, at) in enumerate(contacts) if whose == who and at < when]
        if before and when - max(before)[0] <= window:
            found[max(before)[1]] += 1
    return found


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50)), max_size=12),
    st.lists(st.tuples(st.integers(0, 3), st.integers(-60, 80)), max_size=12),
    st.integers(1, 40),
)
def test_an_outcome_counts_for_the_last_contact(
    contacts: list[tuple[int, int]], outcomes: list[tuple[int, int]], window: int
) -> None:
    def columns(pairs: list[tuple[int, int]]) -> tuple[Int64s, Int64s]:
        return np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)

    found = attributed(*columns(contacts), *columns(outcomes), window)
    assert found.tolist() == slowly(contacts, outcomes, window)


def contacts_of(customers: int, seed: int, effect: float, share: float = 0.1) -> Contacts:
    """Three contacts each, or that would have been, with an effect on the rate of one."""
    random = np.random.default_rng(seed)
    held = random.random(customers) < share
    customer = np.repeat(np.arange(customers), 3)
    rate = 0.1 + np.where(held[customer], 0.0, effect)
    outcomes = (random.random(len(customer)) < rate).astype(np.int64)
    strategy = random.integers(0, 2, len(customer))
    money = (outcomes * 10.0 - np.where(held[customer], 0.0, 0.2)).astype(np.float64)
    week = START_MS + random.integers(0, 5, len(customer)) * 7 * DAY_MS
    return Contacts(customer, strategy, week, outcomes, money, held)


def test_what_was_earned_is_inside_its_interval() -> None:
    found = earned(contacts_of(20_000, 1, 0.05), ("mail", "call"), 0.1, **TOLD)
    assert found.verdict == "earns"
    line = found.all
    assert line.per_customer.low is not None
    assert line.per_customer.high is not None
    assert line.per_customer.low < 3 * (0.05 * 10 - 0.2) < line.per_customer.high
    assert line.total.value == pytest.approx(line.per_customer.value * found.customers)
    parts = found.strategies.values()
    assert sum(one.per_customer.value for one in parts) == pytest.approx(line.per_customer.value)
    weeks = found.weeks.values()
    assert sum(one.total.value for one in weeks) == pytest.approx(line.total.value)
    assert sum(one.contacts for one in weeks) == line.contacts
    assert all(np.datetime64(name).astype(object).weekday() == 0 for name in found.weeks)


def test_contacts_that_do_nothing_lose_what_they_cost() -> None:
    assert earned(contacts_of(60_000, 2, 0.0), ("mail", "call"), 0.1, **TOLD).verdict == "loses"


def test_arms_of_other_sizes_than_they_should_have_are_no_arms() -> None:
    found = earned(contacts_of(20_000, 1, 0.05, share=0.08), ("mail", "call"), 0.1, **TOLD)
    assert found.ratio.broken
    assert found.verdict == "broken"


def test_a_handful_of_customers_has_no_interval() -> None:
    found = earned(contacts_of(60, 1, 0.05), ("mail", "call"), 0.1, **TOLD)
    assert found.all.total.low is None
    assert found.verdict == "open"


@pytest.mark.parametrize(
    ("share", "customers", "histories"), [(0.2, 400, 1_000), (0.05, 4_000, 150)]
)
def test_daily_looks_at_a_hold_out_without_an_effect_are_rarely_wrong(
    share: float, customers: int, histories: int
) -> None:
    """Shops that are looked at on 180 days: the interval may leave 0 on any day in 5 % of them."""
    alarms, plain = 0, 0
    for seed in range(histories):
        random = np.random.default_rng(seed)
        held = random.random(customers) < share
        keen = np.minimum(random.gamma(0.5, 1.0, customers) / 40, 1)  # some buy much more often
        bought = np.cumsum(random.random((180, customers)) < keen, axis=0)
        treated, alone = bought[:, ~held], bought[:, held]
        difference = treated.mean(axis=1) - alone.mean(axis=1)
        error = np.sqrt(
            treated.var(axis=1, ddof=1) / treated.shape[1]
            + alone.var(axis=1, ddof=1) / alone.shape[1]
        )
        units = np.arange(1, 181) * (customers // 10)  # contacts
        wide = np.array([half_width(1.0, int(n)) for n in units])
        told = np.minimum(treated.sum(axis=1), alone.sum(axis=1)) >= OUTCOMES_MIN
        alarms += bool((np.abs(difference) > wide * error)[told].any())
        plain += bool((np.abs(difference) > 1.96 * error)[told].any())
    assert alarms <= 0.05 * histories
    assert plain > 0.15 * histories


def test_an_interval_is_that_of_the_means_by_contacts() -> None:
    contacts = contacts_of(1_000, 3, 0.05, share=0.3)
    lift = earned(contacts, ("mail", "call"), 0.3, **TOLD).all.lift
    each = np.bincount(contacts.customer, contacts.outcomes, 1_000)
    treated, alone = each[~contacts.held_out], each[contacts.held_out]
    error = np.sqrt(treated.var(ddof=1) / len(treated) + alone.var(ddof=1) / len(alone))
    assert lift.high is not None
    assert lift.value == pytest.approx(treated.mean() - alone.mean())
    assert lift.high - lift.value == pytest.approx(half_width(float(error), 3_000))


def campaign(text: str = HELD) -> Campaign:
    return parse(text)


def history(shop: Campaign, customers: int, effect: float) -> tuple[Memory, Int64s]:
    """A shop in which everybody orders once, is decided about, and perhaps redeems a coupon."""
    random = np.random.default_rng(5)
    names = [f"c{i}" for i in range(customers)]
    bits = held_out(compile_holdouts(shop), Spans.of([name.encode() for name in names]))
    orders = [Event(0, name, START_MS + i * 60_000) for i, name in enumerate(names)]
    rate = np.where(bits == 0, 0.1 + effect, 0.1)
    back = [
        Event(2, one.customer, one.time_ms + DAY_MS, identity=f"r{i}")
        for i, one in enumerate(orders) if random.random() < rate[i]
    ]  # fmt: skip
    late = Event(0, "late", START_MS + 60 * DAY_MS)
    records = [
        chunk_of("orders", 0, 0, [one.json() for one in (*orders, late)], [one.time_ms for one in (*orders, late)]),
        chunk_of("redemptions", 0, 0, [one.json() for one in (*back, *back[:5])], [one.time_ms for one in (*back, *back[:5])]),
    ]  # fmt: skip
    said = decisions(shop, records[0], bits)
    times = [one.time_ms for one in (*orders, *orders[:3])]  # before they expire
    records.append(chunk_of("decisions", 0, 0, [*said, *said[:3]], times))
    return Memory(records), bits


def decisions(shop: Campaign, chunk: RecordChunk, bits: Int64s) -> list[bytes]:
    """Mail to everybody, but to those who are held out."""
    batch = EventDecoder(shop.events, (), (), ()).decode(chunk, START_MS + 90 * DAY_MS).batch
    n, nothing = len(bits), len(shop.strategies)
    unknown = np.full(n, np.nan, np.float32)
    strategy = np.where(bits > 0, nothing, 0).astype(np.int16)
    chances = np.zeros((n, nothing + 1), np.int64)
    chances[np.arange(n), strategy] = CERTAIN
    made = DecisionBatch(
        strategy=strategy, score=unknown, probability=unknown, probability_without=unknown,
        expected_value=np.zeros(n), action_probability=np.ones(n), reason=np.zeros(n, np.int8),
        dropped=np.full((n, nothing), Dropped.LOWER_VALUE, np.int8), chances=chances,
        explored=np.zeros(n, np.bool_), held_out=bits,
        ghost=np.where(bits > 0, 0, -1).astype(np.int16), retry_ms=np.empty((n, 0), np.int64),
        not_before_ms=np.zeros(n, np.int64),
    )  # fmt: skip
    encoded = DecisionEncoder(shop, chunk.topic).encode(
        batch, np.arange(n), made, partition=0, model_version="m", contract_digest="c",
        decided_ms=START_MS + 60 * DAY_MS,
    )  # fmt: skip
    return [value for i in range(n) if (value := encoded[i]) is not None]


def read(shop: Campaign, source: Memory) -> Earned:
    return read_earned(shop, compile_features(shop), source, EVERYTHING)


def test_a_history_is_counted_once() -> None:
    shop = campaign()
    source, bits = history(shop, 2_000, 0.1)
    found = read(shop, source)
    treated = int((bits == 0).sum())
    assert (found.customers, found.ratio.held_out) == (treated, 2_000 - treated)
    assert (found.all.contacts, found.all.ghosts) == (
        treated,
        2_000 - treated,
    )  # none of them twice
    assert not found.ratio.broken
    assert found.immature == 0
    bought = found.all.outcomes + found.all.outcomes_held_out
    assert bought == len(source.records[1]) - 5  # an outcome that came again counts once
    assert found.all.rate == pytest.approx(0.2, abs=0.03)
    assert found.all.rate_held_out == pytest.approx(0.1, abs=0.05)
    assert list(found.strategies) == ["mail"]
    money = (found.all.outcomes * 10 - 0.5 * treated) / treated
    alone = found.all.outcomes_held_out * 10 / (2_000 - treated)
    assert found.all.per_customer.value == pytest.approx(money - alone)


def test_contacts_whose_window_is_not_over_are_left_out() -> None:
    shop = campaign(HELD.replace('attribution_window = "10d"', 'attribution_window = "60d"'))
    found = read(shop, history(shop, 500, 0.1)[0])
    assert found.all.contacts + found.all.ghosts == 1  # the first order is 60 days old, no other
    assert found.immature == 499


def test_decisions_by_another_campaign_file_are_left_out_and_told() -> None:
    source, _ = history(campaign(), 500, 0.1)
    other = campaign(HELD.replace('id = "all"', 'id = "all"\nsalt = "b"'))
    found = read(other, source)
    assert "decisions say another arm" in found.notices[0]
    assert found.all.contacts + found.all.ghosts < 400


def test_the_hold_out_is_that_which_keeps_most() -> None:
    more = HELD + '[[holdouts]]\nid = "some"\nshare = 0.5\nstrategies = ["mail"]\n'
    shop = campaign(more)
    assert chosen_holdout(shop, None) == 0
    assert chosen_holdout(shop, "some") == 1
    assert share_of(shop.holdouts, 0) == pytest.approx(0.2 / (0.2 + 0.8 * 0.5))
    with pytest.raises(TrainingError, match='expected one of the hold-outs all, some, got "x"'):
        chosen_holdout(shop, "x")
    with pytest.raises(TrainingError, match=r"share = 0\.05"):
        chosen_holdout(campaign(CAMPAIGN), None)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.toml"
    path.write_text(HELD, "utf-8")
    source, _ = history(campaign(), 3_000, 0.2)
    monkeypatch.setattr(HistoryOptions, "source", lambda *_: source)
    page = tmp_path / "page.html"
    found = CliRunner().invoke(command, [str(path), "--html", str(page)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert "The contacts have earned money: +" in found.stdout
    assert b"earns" in page.read_bytes()
    assert page.read_bytes().count(b"<svg") == 2
    assert json.loads(page.with_suffix(".json").read_bytes())["all"]["contacts"] > 2_000
    lost, _ = history(campaign(), 6_000, -0.08)
    monkeypatch.setattr(HistoryOptions, "source", lambda *_: lost)
    said = CliRunner().invoke(command, [str(path), "--json"])
    assert said.exit_code == 1
    assert json.loads(said.stdout)["all"]["total"]["high"] < 0
