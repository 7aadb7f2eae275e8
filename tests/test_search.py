"""Search: the file's own settings first, calibrated log loss, and nothing lost by interruptions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import optuna
import pytest

from models.contract import Normalization
from stream.campaign import Campaign, parse
from stream.errors import CampaignError
from stream.normalization import NONE
from trainer.errors import TrainingError
from trainer.fit import fit, network_config, predict
from trainer.part import Part
from trainer.search import search as module
from trainer.search.found import Found, Tried
from trainer.search.outcome import importance
from trainer.search.search import search
from trainer.search.space import Space
from trainer.search.study import settled
from trainer.search.trial import Task, judging_weight, log_loss, run

FEATURES, OUTPUTS = 4, 2
HEAD = """
app = "shop"
[topics]
events = ["orders"]
[[features]]
op = "tenure"
[[strategies]]
id = "mail"
[[strategies]]
id = "call"
"""
CAMPAIGN = """
[model]
head = "response"
hidden = [48]
[training]
learning_rate = 0.02
epochs = 4
batch_size = 64
[search]
trials = 9
"""


def campaign(text: str = CAMPAIGN, **search_spec: Any) -> Campaign:
    loaded = parse(HEAD + text)
    changed = msgspec.structs.replace(loaded.search, **search_spec)
    return msgspec.structs.replace(loaded, search=changed)


def part(n: int, seed: int, *, choice: bool = False) -> Part:
    """Customers who buy when two features agree, which no weighted sum can tell."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(n, FEATURES))
    likely = 1.0 / (1.0 + np.exp(-2.0 * values[:, 0] * values[:, 1] - values[:, 2] + 1.0))
    used = (random.random(n) < likely * 0.6).astype(np.int64)
    return Part(
        values=values,
        transforms=np.full(FEATURES, NONE),
        normalization=Normalization.identity(FEATURES),
        rows=np.arange(n),
        strategy=used if choice else np.arange(n) % OUTPUTS,
        outcome=np.ones(n, np.bool_) if choice else random.random(n) < likely,
        time_ms=np.arange(n),
        customer=np.arange(n),
        weight=np.ones(n),
    )


TRAIN, VALIDATION = part(640, 1), part(320, 2)


def plain(found: Found) -> list[Tried]:
    """The trials without what a clock said."""
    return [msgspec.structs.replace(trial, seconds=0.0) for trial in found.trials]


class Hours:
    """A clock that counts how often it is read."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


Run = Callable[..., float]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Replaces the fit of a trial by a function of its settings."""
    return lambda fake: monkeypatch.setattr(module, "run", fake)


def bowl(task: Task, trial: optuna.Trial, model: Any, training: Any) -> float:
    """Least at a learning rate of 0.001; three epochs."""
    loss = abs(np.log10(training.learning_rate) + 3.0)
    for epoch in (1, 2, 3):
        trial.report(loss + 1.0 / epoch, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(loss)


# ---------------------------------------------------------------- what comes out


@pytest.fixture(scope="module")
def searched() -> Found:
    """A real search; the file's own settings are bad, and outside of what is searched."""
    file = campaign(networks=("linear", "mlp"), trials=4, units=(16,), optimizers=("adam",))
    training = msgspec.structs.replace(file.training, learning_rate=1e-5)
    file = msgspec.structs.replace(file, training=training)
    return search(file, TRAIN, VALIDATION, OUTPUTS, seed=5)


def test_the_first_trial_is_the_campaign_file_and_the_best_is_better(searched: Found) -> None:
    first = searched.trials[0]
    assert first.settings["model.hidden"] == (48,)
    assert first.settings["training.learning_rate"] == 1e-5
    assert len(searched.trials) == 4
    assert searched.best is not None
    assert first.log_loss is not None
    losses = [t.log_loss for t in searched.trials if t.state == "finished" and t.log_loss]
    best = searched.trials[searched.best].log_loss
    assert best == min(losses) < first.log_loss - 0.01
    assert all(trial.epochs >= 1 and trial.seconds > 0 for trial in searched.trials)


def test_the_best_settings_fitted_again_are_as_good(searched: Found) -> None:
    config = network_config(searched.model, searched.training, FEATURES, OUTPUTS)
    fitted = fit(config, searched.training, TRAIN, VALIDATION, 5)
    loss = log_loss(predict(fitted.model, VALIDATION), VALIDATION, VALIDATION.weight)
    assert searched.best is not None
    assert loss == searched.trials[searched.best].log_loss


def test_what_is_found_is_plain_data(searched: Found) -> None:
    assert msgspec.json.decode(msgspec.json.encode(searched), type=Found) == searched
    assert searched.importance == {}  # of four trials nothing can be said


def test_settings_stay_in_the_space(quick: Callable[[Run], None]) -> None:
    quick(bowl)
    file = campaign(
        trials=40, units=(8, 16), layers=(1, 2), dropout=(0.1, 0.2), optimizers=("adam", "sgd")
    )
    found = search(file, TRAIN, VALIDATION, OUTPUTS, seed=1)
    networks = set()
    for trial in found.trials[1:]:
        shown = trial.settings
        networks.add(shown["model.network"])
        if shown["model.network"] == "linear":
            assert not {"model.hidden", "model.dropout", "model.cross_layers"} & set(shown)
        else:
            hidden = shown["model.hidden"]
            assert isinstance(hidden, tuple)
            assert len(hidden) in (1, 2)
            assert set(hidden) <= {8, 16}
            assert 0.1 <= float(str(shown["model.dropout"])) <= 0.2
        assert ("model.cross_layers" in shown) == (shown["model.network"] == "dcn")
        assert 1e-4 <= float(str(shown["training.learning_rate"])) <= 1e-2
        assert shown["training.optimizer"] in {"adam", "sgd"}
    assert networks == {"linear", "mlp", "dcn"}
    assert found.model.registry == file.model.registry
    assert found.training.epochs == file.training.epochs


def test_a_search_learns_from_its_trials(quick: Callable[[Run], None]) -> None:
    quick(bowl)
    found = search(campaign(trials=40), TRAIN, VALIDATION, OUTPUTS, seed=1)
    assert abs(np.log10(found.training.learning_rate) + 3.0) < 0.1
    assert next(iter(found.importance)) == "learning_rate"
    assert sum(found.importance.values()) == pytest.approx(1.0)
    assert any(trial.state == "pruned" for trial in found.trials)
    assert all(trial.epochs < 3 for trial in found.trials if trial.state == "pruned")


# ---------------------------------------------------------------- how models are compared


@pytest.mark.parametrize(
    ("head", "training"),
    [
        ("response", 'loss = "cross_entropy"'),
        ("response", 'loss = "focal"\nclass_weights = "balanced"'),
        ("choice", 'loss = "focal"'),
    ],
)
def test_every_epoch_is_judged_as_the_end_is(head: str, training: str) -> None:
    text = CAMPAIGN.replace("response", head).replace("epochs = 4", f"epochs = 4\n{training}")
    file = campaign(text)
    train, validation = part(640, 1, choice=head == "choice"), part(320, 2, choice=head == "choice")
    weight = judging_weight(file, train, validation, OUTPUTS)
    if head == "choice":  # both strategies weigh about the same, rare as one of them is
        shares = np.bincount(validation.strategy, weight) / weight.sum()
        assert np.abs(shares - 0.5).max() < 0.1 < np.abs(validation.strategy.mean() - 0.5)
    task = Task(train, validation, weight, OUTPUTS, 3, np.inf, lambda: 0.0)
    study = optuna.create_study()
    trial = study.ask()
    value = run(task, trial, file.model, file.training)
    epochs = study.trials[0].intermediate_values
    assert len(epochs) == 4
    # float32 on one side and float64 on the other
    assert min(abs(value - loss) for loss in epochs.values()) < 1e-5


def test_log_loss_counts_weights_and_refuses_nan() -> None:
    two = part(2, 1).take(np.array([0, 1]))
    two = replace(two, outcome=np.array([True, False]), strategy=np.array([0, 1]))
    scores = np.array([[0.5, 0.9], [0.9, 0.75]], np.float32)
    expected = (3.0 * np.log(2.0) + np.log(4.0)) / 4.0
    assert log_loss(scores, two, np.array([3.0, 1.0])) == pytest.approx(expected)
    with pytest.raises(TrainingError, match="NaN"):
        log_loss(np.full((2, 2), np.nan, np.float32), two, np.ones(2))


def test_class_weights_of_a_choice_are_not_searched(quick: Callable[[Run], None]) -> None:
    quick(bowl)
    file = campaign(CAMPAIGN.replace("response", "choice"))
    both = part(64, 1, choice=True)
    found = search(file, both, both, OUTPUTS, seed=1)
    assert {trial.settings["training.class_weights"] for trial in found.trials} == {"balanced"}


def test_importance_names_what_matters() -> None:
    random = np.random.default_rng(0)
    uniform = optuna.distributions.FloatDistribution(0.0, 1.0)

    def trials(n: int, value: Callable[[float, float], float]) -> list[optuna.trial.FrozenTrial]:
        made = []
        for x, y in random.random((n, 2)):
            made.append(
                optuna.create_trial(
                    value=value(x, y), params={"x": x, "y": y},
                    distributions={"x": uniform, "y": uniform},
                )
            )  # fmt: skip
        return made

    found = importance(trials(60, lambda x, y: (x - 0.3) ** 2 + 0.001 * y))
    assert list(found) == ["x", "y"]
    assert found["x"] > 0.8
    assert importance(trials(60, lambda x, y: 1.0)) == {}
    assert importance(trials(9, lambda x, y: x)) == {}


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
