"""Tries settings one after the other until the number or the time of `[search]` is reached."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from stream.campaign.file import Campaign
from stream.campaign.words import duration_ms
from trainer.errors import TrainingError
from trainer.examples.part import Part
from trainer.search.found import Found, Tried
from trainer.search.outcome import best_of, found, tried
from trainer.search.space import Space
from trainer.search.study import ERROR, SECONDS, open_study, settled, study_name
from trainer.search.trial import Clock, OutOfTimeError, Task, judging_weight, run

OnTrial = Callable[[Tried, float | None], None]
"""Called after each trial, with the least log loss so far, None before the first is known."""


def search(
    campaign: Campaign,
    train: Part,
    validation: Part,
    outputs: int,
    *,
    seed: int,
    storage: Path | None = None,
    on_trial: OnTrial | None = None,
    clock: Clock = time.monotonic,
) -> Found:
    """Searches for the settings with the least log loss on later examples.

    Args:
        campaign: `search` says what is tried, `model` and `training` what is tried first.
        train: Examples to learn from.
        validation: Later ones, on which models are compared.
        outputs: Outputs of the network.
        seed: Of everything random.
        storage: A file in which a search goes on where it stopped; None keeps it in memory.
        on_trial: Told of the progress.
        clock: Seconds since some moment.

    Raises:
        CampaignError: `search` contradicts itself.
        TrainingError: There is nothing to compare on, or the storage cannot be used.
    """
    space = Space.of(campaign)
    if len(validation) == 0:
        raise TrainingError(
            "expected validation examples to compare models on, got none. Set "
            "training.validation_share above 0, or train on a longer history"
        )
    deadline_s = clock() + duration_ms(campaign.search.time_budget) / 1000.0
    weight = judging_weight(campaign, train, validation, outputs)
    task = Task(train, validation, weight, outputs, seed, deadline_s, clock)
    name = study_name(campaign, train, validation, outputs, seed)
    with open_study(storage, name, campaign.training.epochs) as study:
        while (done := len(settled(study))) < campaign.search.trials and clock() < deadline_s:
            # One generator for all trials would draw other numbers after an interruption.
            study.sampler = TPESampler(seed=zlib.crc32(f"{seed} {done}".encode()))
            if _try_next(study, space, task, first=done == 0) and on_trial is not None:
                trials = settled(study)
                best = best_of(trials)
                on_trial(
                    tried(done, trials[done], space), None if best is None else trials[best].value
                )
        return found(study, space)


def _try_next(study: optuna.Study, space: Space, task: Task, *, first: bool) -> bool:
    """Runs a trial; returns whether it came to an end before the time did."""
    if first and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        space.enqueue_own(study)
    trial = study.ask()
    model, training = space.ask(trial)
    started_s = task.clock()
    value, state = None, TrialState.FAIL
    try:
        value, state = run(task, trial, model, training), TrialState.COMPLETE
    except optuna.TrialPruned:
        state = TrialState.PRUNED
    except TrainingError as exc:
        trial.set_user_attr(ERROR, str(exc))
    except OutOfTimeError:
        study.tell(trial, state=state)
        return False
    trial.set_user_attr(SECONDS, task.clock() - started_s)
    study.tell(trial, value, state)
    return True
