"""How often the interval of a policy's value holds its true value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.worth.lesson import examples, probabilities, taught, thirds
from benchmarks.worth.played import campaign
from benchmarks.worth.world import COSTS, STRATEGIES, VALUE, World
from stream.columns import Float64s, Int64s
from stream.policy.decision import NOTHING
from trainer.evaluation.offpolicy.log import Log, always
from trainer.evaluation.offpolicy.worth import Judge

_LEARNED_FROM = 10_000
_CUSTOMERS = 400_000
_PAID = np.array([*COSTS, 0.0])


def coverage(decisions: int, logs: int, advance: Callable[[int], object] = lambda _: None) -> float:
    """Share of intervals of nominal 95 % that hold the truth, half of uniform and half of biased logs.

    One policy is learned from a log of each logger and then judged on many others, as the gate does it.

    Args:
        decisions: In a log that judges.
        logs: How many.
        advance: Told of each.
    """
    held = []
    for world in (World(), World("biased")):
        choose = _policy(world)
        x, rates = world.customers(_CUSTOMERS, seed=1)
        truth = _value(rates, choose(x))
        for seed in range(logs // 2):
            log = world.log(decisions, 10_000 + seed)
            reward = log.outcome * VALUE - _PAID[log.action]
            seen = Log(
                log.action, log.propensity, reward, np.arange(len(log)), (*STRATEGIES, NOTHING)
            )
            judge = Judge(seen, log.x, log.outcome.astype(np.float64), len(STRATEGIES))
            value = judge.standing(always(seen, choose(log.x))).value
            held.append(value.low <= truth <= value.high)
            advance(1)
    return float(np.mean(held))


def _policy(world: World) -> Callable[[Float64s], Int64s]:
    of, log = campaign(), world.log(_LEARNED_FROM, 0)
    model = taught(of, thirds(examples(of, log.x, log.action, log.outcome, log.propensity)), seed=0)

    def choose(x: Float64s) -> Int64s:
        rates = probabilities(of, model, x).astype(np.float64)
        chosen: Int64s = ((rates - rates[:, -1:]) * VALUE - _PAID).argmax(axis=1)
        return chosen

    return choose


def _value(rates: Float64s, chosen: Int64s) -> float:
    earned = rates * VALUE - _PAID
    return float(earned[np.arange(len(chosen)), chosen].mean())
