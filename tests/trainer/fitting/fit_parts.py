"""Parts made of chance, and fits of them, for tests of the trainer."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.campaign.training import ModelSpec, TrainingSpec
from tests.trainer.examples.dataset_harness import part_of
from trainer.examples.part import Part
from trainer.fitting.fit import Fitted, fit
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import predict

FEATURES, STRATEGIES = 4, 3
LINEAR = ModelSpec(network="linear", bins=0)


def customers(n: int, seed: int = 0, effect: float = 1.0, base: float = -1.0) -> Part:
    """Outcomes by chance: the first feature moves them, the second by strategy."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, FEATURES))
    strategy = random.integers(0, STRATEGIES, n)
    logit = base + x[:, 0] + effect * (strategy - 1) * x[:, 1]
    return part_of(x, strategy, random.random(n) < 1 / (1 + np.exp(-logit)))


def chosen(n: int, seed: int = 0) -> Part:
    """Right strategies that the first feature tells, the first three times as often as the last."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, FEATURES))
    logits = np.outer(x[:, 0], [1.0, 0.0, -1.0]) + np.log([3.0, 2.0, 1.0])
    strategy = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return part_of(x, strategy, np.ones(n))


def run(
    model: ModelSpec, training: TrainingSpec, train: Part, *more: Any, **options: Any
) -> Fitted:
    """Fits the network of `model`; `more` are a validation part and a seed."""
    validation, seed = more or (train.take(np.arange(0)), 1)
    config = network_config(model, training, train.features, STRATEGIES)
    return fit(config, training, train, validation, seed, **options)


def log_loss(model: Any, part: Part) -> float:
    """Of a response, by the scores that it serves."""
    p = predict(model, part)[np.arange(len(part)), part.strategy].astype(np.float64)
    right = np.where(part.outcome, p, 1 - p)
    return float(-(part.weight * np.log(right)).sum() / part.weight.sum())
