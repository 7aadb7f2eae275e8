"""Hillstrom's e-mail experiment: our policy beside constant ones and scikit-learn's models.

64,000 customers of a shop, drawn evenly into men's e-mail, women's e-mail and none (Kevin Hillstrom,
MineThatData, 2008).

Rules of this file
1. A seed deals the customers in two halves: one to learn from, one to judge on, by what chance assigned there.
2. All see the same columns of the same customers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.worth.lesson import Course, course, examples, probabilities, taught, thirds
from stream.columns import Bools, Float64s, Int64s

FILE = Path("hillstrom") / "hillstrom.csv.gz"
ARMS = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")
OUTCOMES = ("visit", "conversion")
OURS, CONSTANT = "opportune", "always men's"
_PROPENSITY = 1 / 3


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """The customers.

    Attributes:
        names: Of the features.
        x: Shape (n, F), float64.
        arm: Index into `ARMS`. Shape (n,), int64.
        outcomes: visit, conversion and spend in dollars, by name. Shape (n,), float64.
    """

    names: tuple[str, ...]
    x: Float64s
    arm: Int64s
    outcomes: dict[str, Float64s]


def read(path: Path) -> Experiment:
    """Reads the file."""
    table = pd.read_csv(path)
    x = pd.concat(
        [
            table[["recency", "mens", "womens", "newbie"]],
            np.log1p(table.history).rename("history"),
            pd.get_dummies(table.zip_code, prefix="zip", dtype=float),
            pd.get_dummies(table.channel, prefix="channel", dtype=float),
        ],
        axis=1,
    )
    return Experiment(
        names=tuple(name.lower().replace(" ", "_") for name in x.columns),
        x=x.to_numpy(np.float64),
        arm=np.array([ARMS.index(one) for one in table.segment], np.int64),
        outcomes={name: table[name].to_numpy(np.float64) for name in (*OUTCOMES, "spend")},
    )


def deals(
    experiment: Experiment, seeds: int, advance: Callable[[int], object] = lambda _: None
) -> dict[str, dict[str, float]]:
    """Every contestant on every deal: mean per customer, and our paired lead with its standard error."""
    rows: dict[str, dict[str, list[float]]] = {}
    for seed in range(seeds):
        for name, found in _deal(experiment, seed).items():
            for outcome, value in found.items():
                rows.setdefault(name, {}).setdefault(outcome, []).append(value)
        advance(1)
    result = {}
    for name, by_outcome in rows.items():
        result[name] = {outcome: float(np.mean(values)) for outcome, values in by_outcome.items()}
        for outcome, values in by_outcome.items():
            lead = np.array(rows[OURS][outcome]) - np.array(values)
            error = float(lead.std(ddof=1) / np.sqrt(seeds)) if seeds > 1 else 0.0
            result[name] |= {
                f"{outcome}_our_lead": float(lead.mean()), f"{outcome}_our_lead_error": error,
            }  # fmt: skip
    return result


def _deal(experiment: Experiment, seed: int) -> dict[str, dict[str, float]]:
    """What each contestant's policy earns on the second half; spend is that of the policy for conversions."""
    turn = np.random.default_rng(seed).permutation(len(experiment.arm))
    learn, judge = np.split(turn, [len(turn) // 2])
    found: dict[str, dict[str, float]] = {}
    for outcome in OUTCOMES:
        happened = experiment.outcomes[outcome] > 0
        for name, contestant in _CONTESTANTS.items():
            rates = contestant(experiment, happened, learn, experiment.x[judge], seed)
            chosen = rates.argmax(axis=1)
            of = found.setdefault(name, {})
            of[outcome] = _earned(experiment, judge, chosen, outcome)
            if outcome == "conversion":
                of["spend"] = _earned(experiment, judge, chosen, "spend")
    return found


def _earned(experiment: Experiment, judge: Int64s, chosen: Int64s, outcome: str) -> float:
    """Inverse propensity score of a policy, normalized by its weights."""
    same = chosen == experiment.arm[judge]
    return float(experiment.outcomes[outcome][judge][same].mean())


def _ours(
    experiment: Experiment, happened: Bools, learn: Int64s, x: Float64s, seed: int
) -> Float64s:
    of = _course(experiment)
    part = examples(
        of, experiment.x[learn], experiment.arm[learn], happened[learn],
        np.full(len(learn), _PROPENSITY),
    )  # fmt: skip
    return probabilities(of, taught(of, thirds(part), seed), x).astype(np.float64)


def _course(experiment: Experiment) -> Course:
    return course(experiment.names, {"men": 0.0, "women": 0.0}, 1.0)


def _always(
    experiment: Experiment, happened: Bools, learn: Int64s, x: Float64s, seed: int
) -> Float64s:
    return np.tile([1.0, 0.0, 0.0], (len(x), 1))


def _by_arm(
    make: Callable[[int], LogisticRegression | HistGradientBoostingClassifier],
) -> Callable[[Experiment, Bools, Int64s, Float64s, int], Float64s]:
    """One model for each arm."""

    def rates(
        experiment: Experiment, happened: Bools, learn: Int64s, x: Float64s, seed: int
    ) -> Float64s:
        out = np.empty((len(x), len(ARMS)))
        for arm in range(len(ARMS)):
            rows = learn[experiment.arm[learn] == arm]
            model = make(seed).fit(experiment.x[rows], happened[rows])
            out[:, arm] = model.predict_proba(x)[:, 1]
        return out

    return rates


_CONTESTANTS = {
    OURS: _ours,
    CONSTANT: _always,
    "logistic by arm": _by_arm(lambda _: make_pipeline(StandardScaler(), LogisticRegression())),
    "boosted trees by arm": _by_arm(lambda seed: HistGradientBoostingClassifier(random_state=seed)),
}
