"""The whole stateless funnel against the words of its documentation, and each new rule on its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import Campaign, FeatureSpec, PolicySpec, StrategySpec
from stream.campaign.funnel_sections import ExplorationSpec, HoldoutSpec, has_chance
from stream.campaign.topics_section import Topics
from stream.policy.choice import Policy
from stream.policy.decision import CERTAIN, NOTHING, DecisionBatch, Dropped, Reason
from stream.policy.draws import Asked
from tests.stream.policy.funnel_oracle import Arm, Customer, arbitrate, drawn

IDS = ["a", "b", "c", "d"]
MONEY = st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0])
SCORE = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan])


def campaign_of(strategies: list[StrategySpec], **sections: Any) -> Campaign:
    return Campaign(
        app="t", topics=Topics(events=("e",)), features=(FeatureSpec(op="count"),),
        strategies=tuple(strategies), **sections,
    )  # fmt: skip


@st.composite
def campaigns(draw: st.DrawFn) -> Campaign:
    ids = IDS[: draw(st.integers(1, 4))]
    strategies = [
        StrategySpec(
            id=name, channel=draw(st.sampled_from(["mail", "push"])), value=draw(MONEY),
            cost=abs(draw(MONEY)), weight=draw(st.sampled_from([1.0, 0.5])),
            priority=draw(st.sampled_from([0, 0, 1])), enabled=draw(st.integers(0, 4)) > 0,
            transactional=draw(st.integers(0, 4)) == 0,
            value_from=draw(st.sampled_from(["", "", "some"])),
        )
        for name in ids
    ]  # fmt: skip
    exploration = ExplorationSpec(
        method=draw(st.sampled_from(["none", "epsilon", "softmax", "inverse_gap"])),
        epsilon=draw(st.sampled_from([0.0, 0.3, 1.0])), floor=draw(st.sampled_from([0.0, 0.2, 1.0])),
        temperature=draw(st.sampled_from([1e-6, 0.5, 100.0])),
        gamma=draw(st.sampled_from([0.0, 5.0, 1e9])),
        without_model=draw(st.sampled_from([0.0, 0.4, 1.0])),
    )  # fmt: skip
    every = HoldoutSpec(id="every", share=0.5)
    some = HoldoutSpec(id="some", share=0.5, strategies=(ids[0],), channels=("push",))
    return campaign_of(
        strategies, exploration=exploration,
        holdouts=draw(st.sampled_from([(), (every,), (some,), (some, every)])),
        policy=PolicySpec(
            do_nothing=draw(st.booleans()), fallback=draw(st.sampled_from(["", "", ids[-1]])),
            without_model=draw(st.sampled_from(["wait", "explore"])),
        ),
    )  # fmt: skip


@st.composite
def customers(draw: st.DrawFn, campaign: Campaign, outputs: list[str] | None) -> Customer:
    ids = [s.id for s in campaign.strategies]
    return Customer(
        scores=None if outputs is None else {name: draw(SCORE) for name in outputs},
        untrained=ids[1:2],
        eligible={name: draw(st.integers(0, 3)) > 0 for name in ids},
        consents=draw(st.integers(0, 5)) > 0,
        prices={
            s.id: draw(st.sampled_from([math.nan, -1.0, 2.0, math.inf]))
            for s in campaign.strategies
            if s.value_from
        },
        held_out=[spec for spec in campaign.holdouts if draw(st.booleans())],
    )


def decide(
    campaign: Campaign, outputs: list[str] | None, people: list[Customer], draws: list[int]
) -> DecisionBatch:
    n = len(people)
    policy = Policy.without_model(campaign)
    if outputs is not None:
        policy = Policy(campaign, "response", outputs, untrained=people[0].untrained)
    scores = np.array([list((one.scores or {}).values()) for one in people], np.float32)
    raw = np.array([list(one.prices.values()) for one in people]).reshape(n, -1)
    held = [sum(1 << campaign.holdouts.index(h) for h in one.held_out) for one in people]
    return policy.choose(
        scores.reshape(n, -1),
        np.array([list(one.eligible.values()) for one in people]),
        np.array([[1 if one.consents else 0 for one in people]], np.int8),
        np.zeros((0, n), np.bool_),
        Asked(raw, np.array(draws, np.int64), np.array(held, np.int64)),
    )


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_decisions_equal_the_words_of_the_documentation(data: st.DataObject) -> None:
    campaign = data.draw(campaigns())
    names = [*(s.id for s in campaign.strategies), NOTHING]
    outputs: list[str] | None = None
    if campaign.policy.without_model == "wait" or data.draw(st.booleans()):
        known = data.draw(st.sampled_from([names[:-1], names[:1], names[::-1]]))
        outputs = list(known)
    people = data.draw(st.lists(customers(campaign, outputs), min_size=1, max_size=3))
    draws = data.draw(
        st.lists(st.integers(0, CERTAIN - 1), min_size=len(people), max_size=len(people))
    )
    decisions = decide(campaign, outputs, people, draws)
    for i, customer in enumerate(people):
        arm = arbitrate(campaign, customer, held=True)
        chosen = arm.best
        if has_chance(campaign):
            chances = decisions.chances[i].tolist()
            wanted = [arm.shares[name] * CERTAIN for name in names]
            assert sum(chances) == CERTAIN
            assert np.abs(np.array(chances) - wanted).max() <= 1, (chances, wanted)
            chosen = drawn(chances, names, draws[i])
            assert decisions.action_probability[i] == chances[names.index(chosen)] / CERTAIN
        else:
            assert decisions.chances.shape == (len(people), 0)
            assert decisions.action_probability[i] == 1.0
        assert_decision(decisions, i, names, arm, chosen)
        assert_ghost(campaign, customer, decisions, i, names)


def assert_decision(d: DecisionBatch, i: int, names: list[str], arm: Arm, chosen: str) -> None:
    assert names[d.strategy[i]] == chosen
    assert d.explored[i] == (chosen != arm.best)
    codes = arm.codes | {chosen: "CHOSEN"}
    if chosen != arm.best and arm.best != NOTHING:
        codes[arm.best] = "NOT_DRAWN"
    got = {name: Dropped(code).name for name, code in zip(names, d.dropped[i], strict=False)}
    assert got == {name: codes[name] for name in names[:-1]}
    reason = "EXPLORED" if chosen != arm.best else arm.reason
    ghost_acts = d.ghost[i] not in (-1, len(names) - 1) and "HOLDOUT" in codes.values()
    if reason not in ("EXPLORED", "NO_CONSENT") and chosen == NOTHING and ghost_acts:
        reason = "HOLDOUT"
    assert Reason(d.reason[i]).name == reason
    gain = 0.0 if chosen == NOTHING else arm.gain[chosen]
    np.testing.assert_equal(
        d.expected_value[i], gain if math.isfinite(gain) else d.expected_value[i]
    )
    assert math.isfinite(gain) or not math.isfinite(d.expected_value[i])


def assert_ghost(
    campaign: Campaign, customer: Customer, d: DecisionBatch, i: int, names: list[str]
) -> None:
    if not customer.held_out:
        assert d.ghost[i] == -1
        return
    arm = arbitrate(campaign, customer, held=False)
    ghost = names[d.ghost[i]]
    assert arm.shares[ghost] > 0 or arm.best == ghost


@pytest.mark.parametrize("held", [False, True])
def test_a_ghost_is_what_the_same_draw_takes_of_the_same_customer(held: bool) -> None:
    """Who is held out would have got what their twin gets who is not."""
    strategies = [StrategySpec(id=name, value=3.0, cost=0.1) for name in IDS[:3]]
    service = campaign_of(
        strategies, holdouts=(HoldoutSpec(id="every", share=0.5),),
        exploration=ExplorationSpec(method="softmax"),
    )  # fmt: skip
    outputs, n = [*IDS[:3], NOTHING], 500
    rng = np.random.default_rng(3)
    draws = rng.integers(0, CERTAIN, n).tolist()
    people = [
        Customer(
            dict(zip(outputs, rng.random(4), strict=True)), (), dict.fromkeys(IDS[:3], True), True,
            {}, service.holdouts if held else (),
        )
        for _ in range(n)
    ]  # fmt: skip
    decisions = decide(service, outputs, people, draws)
    if held:
        assert set(decisions.strategy.tolist()) == {3}
        assert len(set(decisions.ghost.tolist())) == 4
        free = [Customer(o.scores, (), o.eligible, True, {}, ()) for o in people]
        alike = decide(service, outputs, free, draws)
        np.testing.assert_array_equal(decisions.ghost, alike.strategy)
    else:
        assert set(decisions.ghost.tolist()) == {-1}


def test_a_transactional_strategy_is_exempt_from_hold_out_and_chance() -> None:
    service = campaign_of(
        [StrategySpec(id="receipt", value=1.0, priority=9, transactional=True),
         StrategySpec(id="offer", value=9.0)],
        holdouts=(HoldoutSpec(id="every", share=0.5),),
        exploration=ExplorationSpec(method="epsilon", epsilon=1.0),
    )  # fmt: skip
    eligible = {"receipt": True, "offer": True}
    one = Customer({"offer": 0.9}, (), eligible, True, {}, service.holdouts)
    decisions = decide(service, ["offer"], [one] * 3, [0, CERTAIN // 2, CERTAIN - 1])
    assert decisions.strategy.tolist() == [0, 0, 0]
    assert decisions.chances.tolist() == [[CERTAIN, 0, 0]] * 3
    other = Customer({"offer": 0.9}, (), eligible | {"receipt": False}, True, {}, ())
    decisions = decide(service, ["offer"], [other] * 2, [0, CERTAIN - 1])
    assert decisions.chances.tolist() == [[0, CERTAIN // 2, CERTAIN // 2]] * 2


def test_what_the_model_does_not_know_is_taken_by_chance_alone() -> None:
    service = campaign_of(
        [StrategySpec(id="old", value=1.0), StrategySpec(id="new", value=1e6)],
        exploration=ExplorationSpec(method="inverse_gap", floor=0.3),
    )
    one = Customer({"old": 0.5}, (), {"old": True, "new": True}, True, {}, ())
    decisions = decide(service, ["old"], [one] * 2, [0, CERTAIN // 2 + CERTAIN // 3])
    assert decisions.chances[0, 1] in (round(0.1 * CERTAIN), math.ceil(0.1 * CERTAIN))
    codes = [[Dropped(code).name for code in row] for row in decisions.dropped]
    assert codes[0] == ["CHOSEN", "NOT_IN_MODEL"]
    assert Reason(decisions.reason[1]) is Reason.EXPLORED
    assert codes[1] in (["NOT_DRAWN", "CHOSEN"], ["NOT_DRAWN", "NOT_IN_MODEL"])
