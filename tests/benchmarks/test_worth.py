"""The benchmark on a world with a known truth: the world is as it is told, and the referee is right."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.worth import lesson
from benchmarks.worth.played import Game, Truth, campaign, play
from benchmarks.worth.world import World, money

HIDDEN = World("biased", hidden=0.8)


@pytest.mark.parametrize(
    ("world", "always_a", "best"), [(World(), 1.37, 2.51), (HIDDEN, 1.5, 2.69)]
)
def test_the_truth_is_the_one_that_is_told(world: World, always_a: float, best: float) -> None:
    truth = Truth.of(world)
    assert truth.constant == pytest.approx(always_a, abs=0.01)
    assert truth.best == pytest.approx(best, abs=0.015)
    assert truth.gain[:, -1].max() == truth.gain[:, -1].min() == 0


@pytest.mark.parametrize("world", [World(), World("biased"), HIDDEN])
def test_what_is_logged_happened_as_often_as_it_says(world: World) -> None:
    log = world.log(40_000, 3)
    for action in range(4):
        weight = (log.action == action) / log.propensity
        assert weight.mean() == pytest.approx(1.0, abs=6 * weight.std() / 200)
    again = world.log(40_000, 3)
    assert log.propensity.tobytes() == again.propensity.tobytes()
    _, rates = world.customers(100_000)
    weighted = log.outcome * (log.action == 0) / log.propensity
    assert weighted.mean() == pytest.approx(rates[:, 0].mean(), abs=5 * weighted.std() / 200)


def test_a_placebo_does_nothing() -> None:
    _, rates = World(effects=False).customers(100)
    assert (rates == rates[:, :1]).all()
    assert (money(rates)[:, :-1] < 0).all()


def test_parts_lie_one_after_the_other() -> None:
    log = World().log(100, 0)
    parts = lesson.thirds(
        lesson.examples(campaign(), log.x, log.action, log.outcome, log.propensity)
    )
    assert [len(part) for part in (parts.learn, parts.check, parts.test)] == [60, 20, 20]
    assert parts.learn.time_ms.max() < parts.check.time_ms.min()
    inputs = np.concatenate([x for _, x in parts.learn.blocks()])
    assert np.abs(inputs[:, ::2].mean(axis=0)).max() < 1e-6, "the campaign's own features"


@pytest.mark.slow
def test_a_policy_is_learned_and_refereed() -> None:
    game, truth = Game(World(), 3_000), Truth.of(World())
    known = play(game, truth, 0)
    assert -1 < known.value <= truth.best
    unknown = play(Game(HIDDEN, 2_000, known=False), Truth.of(HIDDEN), 0)
    assert unknown.unproven
    assert not unknown.promoted
