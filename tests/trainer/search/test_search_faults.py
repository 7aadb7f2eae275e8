"""Search: nothing is lost by interruptions, and a fit that fails ends one trial."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import optuna
import pytest

from stream.errors import CampaignError
from tests.trainer.search.search_harness import (
    OUTPUTS,
    TRAIN,
    VALIDATION,
    Run,
    bowl,
    campaign,
    plain,
)
from trainer.errors import TrainingError
from trainer.search.found import Found
from trainer.search.search import search
from trainer.search.space import Space
from trainer.search.study import settled
from trainer.search.trial import Task


class Hours:
    """A clock that counts how often it is read."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


# ---------------------------------------------------------------- interruptions


def test_one_seed_one_search(quick: Callable[[Run], None]) -> None:
    quick(bowl)
    first, second, other = (
        search(campaign(), TRAIN, VALIDATION, OUTPUTS, seed=seed) for seed in (1, 1, 2)
    )
    assert plain(first) == plain(second)
    assert [t.settings for t in first.trials[1:]] != [t.settings for t in other.trials[1:]]


class KilledError(BaseException):
    """What no one catches."""


def test_a_killed_search_goes_on_as_if_nothing_had_happened(
    quick: Callable[[Run], None], tmp_path: Path
) -> None:
    quick(bowl)
    file, storage = campaign(trials=16), tmp_path / "search" / "study.jsonl"
    whole = search(file, TRAIN, VALIDATION, OUTPUTS, seed=1)
    runs = death = 0

    def mortal(*args: Any) -> float:
        nonlocal runs
        runs += 1
        if runs - 1 == death:
            raise KilledError
        return bowl(*args)

    quick(mortal)
    for death in (0, 4, 13):  # noqa: B007 - `mortal` reads it
        with pytest.raises(KilledError):
            search(file, TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
        with storage.open("ab") as half_a_line:
            half_a_line.write(b'{"op_code":5,"wor')
        Path(f"{storage}.lock").symlink_to(storage)  # held by the one that was killed
    death = -1
    found = search(file, TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
    assert plain(found) == plain(whole)
    assert found.cut_off == 3
    assert msgspec.structs.replace(found, cut_off=0, trials=()) == msgspec.structs.replace(
        whole, trials=()
    )
    before = runs
    again = search(file, TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
    assert again == found
    assert runs == before  # nothing was left to do


def test_more_trials_go_on_with_a_finished_search(
    quick: Callable[[Run], None], tmp_path: Path
) -> None:
    quick(bowl)
    storage = tmp_path / "study"
    few = search(campaign(trials=5), TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
    more = search(campaign(trials=12), TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
    assert more.trials[:5] == few.trials
    assert plain(more) == plain(search(campaign(trials=12), TRAIN, VALIDATION, OUTPUTS, seed=1))


def test_other_data_or_settings_start_anew(quick: Callable[[Run], None], tmp_path: Path) -> None:
    quick(bowl)
    storage = tmp_path / "study"
    for file, train in (
        (campaign(trials=2), TRAIN),
        (campaign(trials=2), TRAIN.take(np.arange(600))),
        (campaign(trials=2, units=(8,)), TRAIN),
    ):
        told: list[int] = []
        search(
            file, train, VALIDATION, OUTPUTS, seed=1, storage=storage,
            on_trial=lambda trial, _, told=told: told.append(trial.number),  # type: ignore[misc]
        )  # fmt: skip
        assert told == [0, 1]


@pytest.mark.slow
def test_no_trial_begins_after_the_time_and_the_last_is_cut_off(tmp_path: Path) -> None:
    """With a real fit: the clock is read after every call of TensorFlow."""
    storage, clock = tmp_path / "study", Hours()
    file = campaign(networks=("linear",), trials=2, time_budget="5s")
    found = search(file, TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage, clock=clock)
    assert found == Found(
        model=file.model, training=file.training, best=None, trials=(), cut_off=1, importance={}
    )
    assert clock.now_s < 10
    patient = campaign(networks=("linear",), trials=2)
    found = search(patient, TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
    assert plain(found) == plain(search(patient, TRAIN, VALIDATION, OUTPUTS, seed=1))
    assert found.cut_off == 1


# ---------------------------------------------------------------- what goes wrong


def test_a_trial_that_cannot_be_fitted_is_one_that_failed(quick: Callable[[Run], None]) -> None:
    def fragile(task: Task, trial: optuna.Trial, model: Any, training: Any) -> float:
        if training.optimizer == "sgd" or trial.number == 0:
            raise TrainingError("expected finite numbers, got NaN")
        return bowl(task, trial, model, training)

    quick(fragile)
    told: list[tuple[str, float | None]] = []
    file = campaign(trials=12)
    found = search(
        file, TRAIN, VALIDATION, OUTPUTS, seed=1,
        on_trial=lambda trial, best: told.append((trial.state, best)),
    )  # fmt: skip
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert len(failed) > 1
    assert {trial.error for trial in failed} == {"expected finite numbers, got NaN"}
    assert {trial.log_loss for trial in failed} == {None}
    assert found.training.optimizer != "sgd"
    assert told[0] == ("failed", None)
    assert [state for state, _ in told] == [trial.state for trial in found.trials]
    best = [value for _, value in told if value is not None]
    assert best == sorted(best, reverse=True)


def test_nothing_to_compare_on() -> None:
    with pytest.raises(TrainingError, match=r"training\.validation_share"):
        search(campaign(), TRAIN, VALIDATION.take(np.arange(0)), OUTPUTS, seed=1)


def test_a_pair_that_falls() -> None:
    with pytest.raises(CampaignError, match=r"at search\.dropout: .* got \[0\.5, 0\.1\]"):
        Space.of(campaign(dropout=(0.5, 0.1)))


def test_a_storage_has_one_search_at_a_time(quick: Callable[[Run], None], tmp_path: Path) -> None:
    storage = tmp_path / "study"

    def meanwhile(*args: Any) -> float:
        with pytest.raises(TrainingError, match="got one that is running"):
            search(campaign(trials=1), TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
        return bowl(*args)

    quick(meanwhile)
    found = search(campaign(trials=1), TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
    assert [trial.state for trial in found.trials] == ["finished"]


@pytest.mark.parametrize("content", [b'{"a": 1}\nhalf', b'{"op_code":0,"name":1}\n{"op_code":4}\n'])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    storage = tmp_path / "report.json"
    storage.write_bytes(content)
    with pytest.raises(TrainingError, match="expected the storage of a search"):
        search(campaign(), TRAIN, VALIDATION, OUTPUTS, seed=1, storage=storage)
    assert storage.read_bytes() == content
    with pytest.raises(TrainingError, match="expected a file that can be written"):
        search(campaign(), TRAIN, VALIDATION, OUTPUTS, seed=1, storage=tmp_path)


def test_a_search_is_quiet(
    quick: Callable[[Run], None], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def compiled_often(*args: Any) -> float:
        logging.getLogger("tensorflow").warning("5 out of the last 5 calls triggered retracing")
        return bowl(*args)

    quick(compiled_often)
    search(campaign(trials=3), TRAIN, VALIDATION, OUTPUTS, seed=1, storage=tmp_path / "study")
    assert capfd.readouterr() == ("", "")


def test_settled_trials_are_those_that_ended() -> None:
    study = optuna.create_study()
    study.tell(study.ask(), 1.0)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    failed = study.ask()
    failed.set_user_attr("error", "NaN")
    study.tell(failed, state=optuna.trial.TrialState.FAIL)
    assert [trial.number for trial in settled(study)] == [0, 2]
