"""From the record of a search to what it found."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from trainer.search.found import Found, State, Tried
from trainer.search.space import Space, settings
from trainer.search.study import ERROR, SECONDS, settled

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_BEST_SHARE = 0.25
_TRIALS_MIN = 10


def found(study: optuna.Study, space: Space) -> Found:
    """The result of the trials so far."""
    trials = settled(study)
    best = best_of(trials)
    model, training = space.specs(trials[best or 0]) if trials else (space.model, space.training)
    return Found(
        model=model,
        training=training,
        best=best,
        trials=tuple(tried(number, trial, space) for number, trial in enumerate(trials)),
        cut_off=len(study.get_trials(deepcopy=False)) - len(trials),
        importance=importance(trials),
    )


def best_of(trials: Sequence[FrozenTrial]) -> int | None:
    """Place of the finished trial with the least log loss, the earliest of equals."""
    finished = [
        (trial.value, number)
        for number, trial in enumerate(trials)
        if trial.state == TrialState.COMPLETE
    ]
    return min(finished)[1] if finished else None


def tried(number: int, trial: FrozenTrial, space: Space) -> Tried:
    """One trial as plain data."""
    return Tried(
        number=number,
        settings=settings(*space.specs(trial)),
        log_loss=trial.value,
        epochs=len(trial.intermediate_values),
        seconds=trial.user_attrs.get(SECONDS, 0.0),
        state=_STATES[trial.state],
        error=trial.user_attrs.get(ERROR, ""),
    )


def importance(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """What sets the best quarter of the trials apart, as shares of 1, the largest first.

    PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255), each parameter among the trials that have it.
    A pruned trial counts with its last log loss: it is not among the best anyway.
    """
    counted = [trial for trial in trials if trial.value is not None]
    shares = {}
    for name in dict.fromkeys(name for trial in counted for name in trial.params):
        having = [trial for trial in counted if name in trial.params]
        if len(having) >= _TRIALS_MIN:
            shares[name] = _divergence(name, having)
    total = sum(shares.values())
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return {name: share / total for name, share in ranked} if total > 0 else {}


def _divergence(name: str, trials: Sequence[FrozenTrial]) -> float:
    values = [trial.value for trial in trials if trial.value is not None]
    if np.quantile(values, _BEST_SHARE, method="inverted_cdf") == max(values):
        return 0.0  # no quarter is better than the rest
    study = optuna.create_study()
    study.add_trials(
        [
            optuna.create_trial(
                value=trial.value,
                params={name: trial.params[name]},
                distributions={name: trial.distributions[name]},
            )
            for trial in trials
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=_BEST_SHARE)
    return evaluator.evaluate(study, [name])[name]
