"""One log after the other: what the policies that were learned from them are worth in truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.worth.lesson import Course, course, examples, probabilities, taught, thirds
from benchmarks.worth.world import COSTS, FEATURES, STRATEGIES, VALUE, World, money
from stream.columns import Bools, Float64s

_REFEREE_CUSTOMERS = 100_000
_NOTHING = len(STRATEGIES)


@dataclass(frozen=True, slots=True)
class Game:
    """A world and how much of it is logged.

    Attributes:
        world: How customers react.
        decisions: In a log.
        known: Whether the log says with which probability was decided.
    """

    world: World
    decisions: int
    known: bool = True


_HIDDEN = World("biased", hidden=0.8)
GAMES = {
    "uniform": Game(World(), 50_000),
    "uniform_10k": Game(World(), 10_000),
    "uniform_200k": Game(World(), 200_000),
    "biased": Game(World("biased"), 10_000),
    "hidden": Game(_HIDDEN, 10_000),
    "hidden_50k": Game(_HIDDEN, 50_000),
}


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one log.

    Attributes:
        value: True gain per customer of the policy over doing nothing.
        claimed: What the model says it is.
        promoted: Whether the gate lets the model go live.
        unproven: Whether the gate says that nothing shows what it earns.
    """

    value: float
    claimed: float
    promoted: bool
    unproven: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """New customers of a world.

    Attributes:
        x: Their features. Shape (n, 6), float64.
        gain: What each action earns over doing nothing. Shape (n, 4), float64.
    """

    x: Float64s
    gain: Float64s

    @classmethod
    def of(cls, world: World) -> Truth:
        """So many that chance hardly matters."""
        x, rates = world.customers(_REFEREE_CUSTOMERS)
        return cls(x, money(rates))

    @property
    def best(self) -> float:
        """What the best possible policy earns, which knows everybody's true rates."""
        return float(self.gain.max(axis=1).mean())

    @property
    def constant(self) -> float:
        """What the best constant policy earns."""
        return float(self.gain.mean(axis=0).max())


def campaign() -> Course:
    """Of all worlds."""
    features = [f"x{i}" for i in range(FEATURES)]
    return course(features, dict(zip(STRATEGIES, COSTS, strict=True)), VALUE)


def play(game: Game, truth: Truth, seed: int) -> Played:
    """Learns from one log."""
    of, log = campaign(), game.world.log(game.decisions, seed)
    propensity = log.propensity if game.known else np.full(len(log), np.nan)
    parts = thirds(examples(of, log.x, log.action, log.outcome, propensity))
    model = taught(of, parts, seed)
    claimed = money(probabilities(of, model, truth.x).astype(np.float64))
    claimed[
        :, [STRATEGIES.index(name) for name in model.draft.manifest.untrained if name in STRATEGIES]
    ] = -np.inf
    # Equal is not better: the last action, nothing, goes first.
    chosen = _NOTHING - claimed[:, ::-1].argmax(axis=1)
    at = (np.arange(len(chosen)), chosen)
    return Played(
        float(truth.gain[at].mean()), float(claimed[at].mean()), model.verdict.promote,
        bool(model.verdict.unproven),
    )  # fmt: skip


def figures(
    game: Game, seeds: int, advance: Callable[[int], object] = lambda _: None
) -> dict[str, float | list[float]]:
    """A game over seeds, as plain data."""
    truth, played = Truth.of(game.world), []
    for seed in range(seeds):
        played.append(play(game, truth, seed))
        advance(1)
    value = np.array([one.value for one in played])
    promoted = np.array([one.promoted for one in played])
    return {
        "value": float(value.mean()),
        "value_error": float(value.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else 0.0,
        "claimed": float(np.mean([one.claimed for one in played])),
        "best": truth.best,
        "constant": truth.constant,
        "promoted": float(promoted.mean()),
        "promoted_wrong": _share(promoted & (value < truth.constant)),
        "unproven": float(np.mean([one.unproven for one in played])),
        "values": value.tolist(),
    }


def placebo_promoted(
    decisions: int, seeds: int, advance: Callable[[int], object] = lambda _: None
) -> float:
    """Share of the logs of messages that do nothing from which a model goes live."""
    world = World(effects=False)
    game, truth = Game(world, decisions), Truth.of(world)
    found = []
    for seed in range(seeds):
        found.append(play(game, truth, seed).promoted)
        advance(1)
    return float(np.mean(found))


def null_promoted(
    decisions: int, seeds: int, advance: Callable[[int], object] = lambda _: None
) -> float:
    """Share of the models that replace one of another seed, learned from the same log."""
    of, found = campaign(), []
    for seed in range(seeds):
        log = World().log(decisions, seed)
        parts = thirds(examples(of, log.x, log.action, log.outcome, log.propensity))
        champion = taught(of, parts, seed)
        found.append(taught(of, parts, seed + 1_000, champion.draft).verdict.promote)
        advance(1)
    return float(np.mean(found))


def _share(which: Bools) -> float:
    return float(which.mean())
