"""The settings that a search varies: from `[search]` to parameters of Optuna and back to specs.

Rules of this file
1. What is not in `[search]` stays as the campaign file has it.
2. A parameter is asked for only where it means something: a linear network has no hidden layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from models.network_kinds import KINDS
from stream.campaign.file import Campaign
from stream.campaign.training import ModelSpec, SearchSpec, TrainingSpec
from stream.errors import CampaignError

Value = str | int | float | tuple[int, ...]
_PAIRS = ("layers", "cross_layers", "dropout", "learning_rate", "l2", "delta_l2")
_OF_MODEL = ("network", "dropout", "cross_layers")
_OF_TRAINING = ("optimizer", "learning_rate", "loss", "class_weights", "l2", "delta_l2")
_PENALTIES = ("l2", "delta_l2")
_OWN = "own"  # attribute of the trial that is the campaign file itself
_HIDDEN = frozenset(name for name, kind in KINDS.items() if "hidden" in kind.needs)
_CROSSED = frozenset(name for name, kind in KINDS.items() if "cross_layers" in kind.needs)


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched, around the specs of the campaign file.

    Attributes:
        model: The campaign file's own network.
        training: Its own training.
        distributions: Range of each parameter, by name.
    """

    model: ModelSpec
    training: TrainingSpec
    distributions: Mapping[str, BaseDistribution]

    @classmethod
    def of(cls, campaign: Campaign) -> Space:
        """The space of a campaign.

        Raises:
            CampaignError: A pair of `[search]` does not rise.
        """
        spec = campaign.search
        for name in _PAIRS:
            least, most = getattr(spec, name)
            if least > most:
                raise CampaignError(
                    f"at search.{name}: expected the least and then the most, got [{least}, {most}]"
                )
        ranges = _distributions(spec)
        if campaign.model.head == "choice":
            del ranges["class_weights"]  # they say what is asked, see `trial.judging_weight`
            del ranges["delta_l2"]
        return cls(campaign.model, campaign.training, ranges)

    def enqueue_own(self, study: optuna.Study) -> None:
        """Makes the campaign file's own settings the next trial."""
        study.enqueue_trial(self._own_params(), user_attrs={_OWN: True})

    def ask(self, trial: optuna.Trial) -> tuple[ModelSpec, TrainingSpec]:
        """Asks for the parameters of a trial; returns its specs."""
        if _OWN in trial.user_attrs:
            for name in self._own_params():
                _ask(trial, name, self.distributions[name])
        else:
            self._ask_all(trial)
        return self.specs(trial)

    def specs(self, trial: optuna.Trial | FrozenTrial) -> tuple[ModelSpec, TrainingSpec]:
        """The specs of a trial that was asked for."""
        if _OWN in trial.user_attrs:
            return self.model, self.training
        params = trial.params
        of_model = {name: params[name] for name in _OF_MODEL if name in params}
        if "layers" in params:
            of_model["hidden"] = tuple(params[f"units_{i}"] for i in range(params["layers"]))
        of_training = {name: params[name] for name in _OF_TRAINING if name in params}
        return (
            msgspec.structs.replace(self.model, **of_model),
            msgspec.structs.replace(self.training, **of_training),
        )

    def _ask_all(self, trial: optuna.Trial) -> None:
        def ask(name: str) -> Any:
            return _ask(trial, name, self.distributions[name])

        network = ask("network")
        if network in _HIDDEN:
            for i in range(ask("layers")):
                ask(f"units_{i}")
            ask("dropout")
        if network in _CROSSED:
            ask("cross_layers")
        for name in _OF_TRAINING:
            if name in self.distributions:
                ask(name)

    def _own_params(self) -> dict[str, Any]:
        """The campaign file's own settings, those that lie in the space."""
        model, training = self.model, self.training
        params: dict[str, Any] = {
            "network": model.network,
            "optimizer": training.optimizer,
            "learning_rate": training.learning_rate,
            "loss": training.loss,
            "class_weights": _class_weights(model, training),
            "l2": training.l2,
            "delta_l2": training.delta_l2,
        }
        if model.network in _HIDDEN:
            units = {f"units_{i}": units for i, units in enumerate(model.hidden)}
            params |= {"layers": len(model.hidden), "dropout": model.dropout, **units}
        if model.network in _CROSSED:
            params["cross_layers"] = model.cross_layers
        ranges = self.distributions
        return {k: v for k, v in params.items() if k in ranges and _holds(ranges[k], v)}


def settings(model: ModelSpec, training: TrainingSpec) -> dict[str, Value]:
    """What a search varies, under the names of the campaign file."""
    shown: dict[str, Value] = {"model.network": model.network}
    if model.network in _HIDDEN:
        shown |= {"model.hidden": model.hidden, "model.dropout": model.dropout}
    if model.network in _CROSSED:
        shown["model.cross_layers"] = model.cross_layers
    return shown | {
        "training.optimizer": training.optimizer,
        "training.learning_rate": training.learning_rate,
        "training.loss": training.loss,
        "training.class_weights": _class_weights(model, training),
        **{f"training.{k}": v for k in _PENALTIES if (v := getattr(training, k)) is not None},
    }


def _class_weights(model: ModelSpec, training: TrainingSpec) -> str:
    """What counts when the campaign file does not say."""
    return training.class_weights or ("balanced" if model.head == "choice" else "none")


def _distributions(spec: SearchSpec) -> dict[str, BaseDistribution]:
    units = CategoricalDistribution(spec.units)
    return {
        "network": CategoricalDistribution(spec.networks),
        "layers": IntDistribution(*spec.layers),
        **{f"units_{i}": units for i in range(spec.layers[1])},
        "dropout": FloatDistribution(*spec.dropout),
        "cross_layers": IntDistribution(*spec.cross_layers),
        "optimizer": CategoricalDistribution(spec.optimizers),
        "learning_rate": FloatDistribution(*spec.learning_rate, log=True),
        "loss": CategoricalDistribution(spec.losses),
        "class_weights": CategoricalDistribution(spec.class_weights),
        "l2": FloatDistribution(*spec.l2, log=True),
        "delta_l2": FloatDistribution(*spec.delta_l2, log=True),
    }


def _ask(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return value is not None and bool(distribution.low <= value <= distribution.high)
