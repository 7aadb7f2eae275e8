"""What a model's policy would have earned: right where chance had part, and nothing where it had none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign, parse
from stream.columns import Float32s
from stream.features.plan import compile_features
from tests.trainer.examples.dataset_harness import part_of
from trainer.earnings import Scores, money
from trainer.examples.chance import NOT_SAID, Logged
from trainer.examples.part import Part
from trainer.gate.money import Money, Unproven

CAMPAIGN = """
app = "shop"
[topics]
events = ["events"]
[[features]]
op = "recency"
name = "first"
events = ["view"]
[[features]]
op = "recency"
name = "second"
events = ["order"]
[[strategies]]
id = "mail"
value = 50
cost = 0.5
[[strategies]]
id = "call"
value = 50
cost = 0.8
[training]
learn_from = "decisions"
"""
RATE = 0.06


class World(NamedTuple):
    """Decisions drawn evenly, and what a model that knows everything says of them."""

    part: Part
    truth: Float32s


def world(n: int, seed: int, *, effect: float = 0.04, keep: Any = None) -> World:
    """A mail harms as much as it helps on average; who is helped, the first feature says."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    helped = np.where(x[:, 0] > 0, effect, -effect)
    rate = np.stack([RATE + helped, np.full(n, RATE), np.full(n, RATE)], axis=1)
    action = random.integers(0, 3, n)
    outcome = random.random(n) < rate[np.arange(n), action]
    part = part_of(x, action, outcome)
    logged = Logged(np.full(n, 1 / 3), np.zeros(n, np.bool_), np.full(n, NOT_SAID))
    part = replace(part, logged=logged if keep is None else keep(logged))
    return World(part, rate.astype(np.float32))


def campaign(more: str = "") -> Campaign:
    return parse(CAMPAIGN + more)


def earned(
    check: World, test: World, more: str = "", champion: Float32s | None = None,
    untrained: tuple[str, ...] = (), scores: Float32s | None = None,
) -> Money | Unproven:  # fmt: skip
    shop = campaign(more)
    said = test.truth if scores is None else scores
    other = None if champion is None else Scores(test.part, champion)
    found = Scores(test.part, said, untrained)
    return money(shop, compile_features(shop), (check.part,), found, other)


def proven(found: Money | Unproven) -> Money:
    assert isinstance(found, Money), found
    return found


def test_a_policy_that_knows_whom_to_write_to_earns_what_it_should() -> None:
    """Half are helped by 0.04 of 50, less the cost: 0.75 for each decision, beside doing nothing."""
    found = proven(earned(world(30_000, 1), world(60_000, 2)))
    assert found.best_constant == "nothing"
    assert found.over_nothing.low is not None
    assert found.over_nothing.low < 0.75 < (found.over_nothing.high or 0)
    assert found.over_nothing.low > 0
    assert found.contacts == pytest.approx(0.5, abs=0.02)


def test_a_policy_that_contacts_the_wrong_half_is_not_promoted() -> None:
    check, test = world(30_000, 1), world(60_000, 2)
    wrong = test.truth.copy()
    wrong[:, 0] = 2 * RATE - wrong[:, 0]
    found = proven(earned(check, test, scores=wrong))
    assert found.over_nothing.high is not None
    assert found.over_nothing.high < 0


def test_a_constant_that_is_as_good_takes_the_claim() -> None:
    """Everybody is helped alike: choosing the customers adds nothing to always writing."""
    random = np.random.default_rng(3)
    worlds = []
    for n, seed in ((30_000, 4), (60_000, 5)):
        base = world(n, seed, effect=0.0)
        action, outcome = base.part.strategy, base.part.outcome.copy()
        outcome |= (action == 0) & (random.random(n) < 0.05)
        truth = base.truth.copy()
        truth[:, 0] += 0.05
        worlds.append(World(replace(base.part, outcome=outcome), truth))
    found = proven(earned(worlds[0], worlds[1]))
    assert found.best_constant == "mail"
    assert found.over_nothing.low is not None
    assert found.over_nothing.low > 0
    assert found.over_best_constant.value == pytest.approx(0.0, abs=1e-9)


def test_beside_the_champion_both_are_judged_on_the_same_decisions() -> None:
    check, test = world(30_000, 1), world(60_000, 2)
    same = proven(earned(check, test, champion=test.truth))
    assert same.over_champion is not None
    assert same.over_champion.value == 0.0
    nobody = np.full_like(test.truth, RATE)
    found = proven(earned(check, test, champion=nobody))
    assert found.over_champion == found.over_nothing


def test_without_chance_nothing_is_claimed() -> None:
    sure = world(5_000, 2, keep=lambda one: Logged(np.ones(5_000), one.held_out, one.possible))
    found = earned(world(5_000, 1), sure)
    assert isinstance(found, Unproven)
    assert "chance had no part" in found.reason


def test_without_probabilities_nothing_is_claimed() -> None:
    found = earned(world(5_000, 1), world(5_000, 2, keep=lambda one: Logged.unsaid(5_000)))
    assert isinstance(found, Unproven)
    assert "0 of 5,000" in found.reason


def test_customers_who_were_held_out_judge_no_policy() -> None:
    def held(one: Logged) -> Logged:
        out = np.arange(len(one)) % 10 == 0
        return Logged(np.where(out, 1.0, one.propensity), out, one.possible)

    found = proven(earned(world(30_000, 1, keep=held), world(60_000, 2, keep=held)))
    assert found.decisions == 54_000


def test_a_policy_takes_only_what_it_could_have_taken() -> None:
    """Where a mail had no chance, neither the model nor "always mail" is credited with one."""

    def mostly(one: Logged) -> Logged:
        possible = np.where(np.arange(len(one)) % 2 == 0, 0b10, 0b11)
        return Logged(one.propensity, one.held_out, possible)

    check, test = world(30_000, 1, keep=mostly), world(60_000, 2, keep=mostly)
    kept = np.where((test.part.logged.possible == 0b10) & (test.part.strategy == 0))[0]
    test = World(
        test.part.take(np.setdiff1d(np.arange(60_000), kept)), np.delete(test.truth, kept, 0)
    )
    propensity = np.where(test.part.logged.possible == 0b10, 1 / 2, 1 / 3)
    logged = Logged(propensity, test.part.logged.held_out, test.part.logged.possible)
    found = proven(earned(check, World(replace(test.part, logged=logged), test.truth)))
    assert found.contacts == pytest.approx(0.3, abs=0.03)


def test_untrained_strategies_are_not_taken() -> None:
    check, test = world(30_000, 1), world(60_000, 2)
    found = earned(check, test, untrained=("mail",))
    assert isinstance(found, Unproven) or found.contacts == 0.0


def test_conditions_of_strategies_bind_the_policy() -> None:
    more = CAMPAIGN.replace('id = "mail"', 'id = "mail"\neligible = ["first > 1"]')
    shop = parse(more)
    check, test = world(30_000, 1), world(60_000, 2)
    found = proven(money(
        shop, compile_features(shop), (check.part,), Scores(test.part, test.truth), None
    ))  # fmt: skip
    assert found.contacts == pytest.approx(float((values(test.part)[:, 0] > 1).mean()), abs=1e-9)


def values(part: Part) -> Any:
    return np.concatenate([x for _, x in part.raw_blocks()])


def test_a_placebo_is_rarely_promoted() -> None:
    """Contacts do nothing, models are noise: in 5 % of the seeds at most does any pass the gate's money."""
    passed = 0
    gate = campaign().gate
    for seed in range(120):
        check, test = world(4_000, 1000 + seed, effect=0.0), world(4_000, 5000 + seed, effect=0.0)
        noise = np.random.default_rng(seed).normal(RATE, 0.03, (4_000, 3)).astype(np.float32)
        found = proven(earned(check, test, scores=np.clip(noise, 0, 1)))
        low = found.over_best_constant.low
        passed += low is not None and low > gate.money_margin
    assert passed <= 11  # 6 of 120 expected at most; more than 11 has probability 0.02


def test_treatments_prove_nothing_of_money() -> None:
    check, test = world(5_000, 1), world(5_000, 2)
    shop = parse(CAMPAIGN.replace('"decisions"', '"treatments"'))
    found = money(
        shop, compile_features(shop), (check.part,), Scores(test.part, test.truth), None
    )  # fmt: skip
    assert isinstance(found, Unproven)
    assert "treatments do not say" in found.reason


def test_one_customer_proves_nothing_of_money() -> None:
    check, test = world(5_000, 1), world(5_000, 2)
    one = World(replace(test.part, customer=np.zeros(5_000, np.int64)), test.truth)
    found = earned(check, one)
    assert isinstance(found, Unproven)
    assert "got 1" in found.reason


@pytest.mark.parametrize("more", ["priority = 1", "weight = 1000.0"])
def test_what_is_judged_is_the_policy_of_the_worker(more: str) -> None:
    """A call does nothing, and is taken by the weight or the priority that the campaign gives it."""
    check, test = world(30_000, 1), world(60_000, 2)
    scores = test.truth.copy()
    scores[:, 1] += 0.03  # the model believes in calls, and less than in the mails that help
    shop = parse(CAMPAIGN.replace('id = "call"', f'id = "call"\n{more}'))
    found = proven(money(
        shop, compile_features(shop), (check.part,), Scores(test.part, scores), None
    ))  # fmt: skip
    assert found.contacts == 1.0
    assert found.over_nothing.value == pytest.approx(-0.8, abs=0.3)
    plain = proven(earned(check, test, scores=scores))
    assert plain.over_nothing.value > found.over_nothing.value


def test_a_value_from_a_feature_prices_outcomes() -> None:
    """Mails to customers whose outcome is worth nothing are not sent, and earn nothing."""
    check, test = world(30_000, 1), world(60_000, 2)
    shop = parse(CAMPAIGN.replace('id = "mail"', 'id = "mail"\nvalue_from = "second"'))
    found = proven(money(
        shop, compile_features(shop), (check.part,), Scores(test.part, test.truth), None
    ))  # fmt: skip
    gain = 0.04 * values(test.part)[:, 1] > 0.5
    helped = values(test.part)[:, 0] > 0
    harmed = -0.04 * values(test.part)[:, 1] > 0.5
    assert found.contacts == pytest.approx(float(np.where(helped, gain, harmed).mean()), abs=1e-9)


def test_money_reads_as_json_and_back() -> None:
    found = proven(earned(world(5_000, 1), world(5_000, 2)))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Money) == found
