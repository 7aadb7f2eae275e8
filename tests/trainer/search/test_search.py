"""Search: the file's own settings first, and models compared by calibrated log loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import optuna
import pytest

from models import network
from models.manifest import NetworkConfig
from stream.campaign.training import ModelSpec, TrainingSpec
from tests.trainer.examples.dataset_harness import part_of
from tests.trainer.search.search_harness import (
    CAMPAIGN,
    FEATURES,
    OUTPUTS,
    TRAIN,
    VALIDATION,
    Run,
    bowl,
    campaign,
    part,
)
from trainer.errors import TrainingError
from trainer.fitting.fit import fit
from trainer.fitting.network_config import network_config
from trainer.search.found import Found
from trainer.search.outcome import importance
from trainer.search.search import search
from trainer.search.trial import Task, compared_loss, judging_weight, run

pytestmark = pytest.mark.slow

# ---------------------------------------------------------------- what comes out


@pytest.fixture(scope="module")
def searched() -> Found:
    """A real search; the file's own settings are bad, and outside of what is searched."""
    file = campaign(networks=("linear", "mlp"), trials=4, units=(16,), optimizers=("adam",))
    training = msgspec.structs.replace(file.training, learning_rate=1e-5, shrinkage="fixed")
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
    loss = compared_loss(network.logits(fitted.model), config, VALIDATION, VALIDATION.weight)
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
        ("response", 'shrinkage = "fixed"'),
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
    # What was calibrated once is so again, up to the little that pulls a scale to 1.
    assert min(abs(value - loss) for loss in epochs.values()) < 2e-4


def _bent(scale: float, bias: float) -> tuple[Any, NetworkConfig]:
    """A network whose logits are those of another, bent."""
    config = network_config(ModelSpec(network="linear"), TrainingSpec(), FEATURES, OUTPUTS)
    model = network.logits(fit(config, TrainingSpec(), TRAIN, TRAIN, 1).model)
    for name in ("base", "delta"):
        kernel, constant = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel * scale, constant * scale + bias / 2])
    return model, config


def test_models_that_say_the_same_after_calibration_are_equal() -> None:
    losses = [
        compared_loss(model, config, VALIDATION, VALIDATION.weight)
        for model, config in (_bent(1.0, 0.0), _bent(0.2, 1.0), _bent(3.0, -2.0))
    ]
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-3)


def test_calibration_is_judged_on_other_customers() -> None:
    """A model of chance: calibrated on what judges it, it would always look better than the rate."""
    config = NetworkConfig(network="linear", head="response", inputs=FEATURES, outputs=OUTPUTS)
    gains = []
    for seed in range(40):
        outcome = np.random.default_rng(seed).random(60) < 0.4
        few = part_of(part(60, seed).values[0:60], np.zeros(60), outcome)
        loss = compared_loss(network.logits(network.build(config, seed)), config, few, few.weight)
        rate = outcome.mean()
        gains.append(-(rate * np.log(rate) + (1 - rate) * np.log(1 - rate)) - loss)
    assert np.mean(gains) < 0


def test_what_is_no_number_is_not_compared() -> None:
    model, config = _bent(np.nan, 0.0)
    with pytest.raises(TrainingError, match="NaN"):
        compared_loss(model, config, VALIDATION, VALIDATION.weight)


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
