"""A campaign to search, customers no weighted sum can tell apart, and fits that cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import optuna

from stream.campaign.file import Campaign, parse
from tests.trainer.examples.dataset_harness import part_of
from trainer.examples.part import Part
from trainer.search.found import Found, Tried
from trainer.search.trial import Task

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
    converted = random.random(n) < likely
    if choice:
        return part_of(values, used, np.ones(n))
    return part_of(values, np.arange(n) % OUTPUTS, converted)


TRAIN, VALIDATION = part(640, 1), part(320, 2)


def plain(found: Found) -> list[Tried]:
    """The trials without what a clock said."""
    return [msgspec.structs.replace(trial, seconds=0.0) for trial in found.trials]


Run = Callable[..., float]


def bowl(task: Task, trial: optuna.Trial, model: Any, training: Any) -> float:
    """Least at a learning rate of 0.001; three epochs."""
    loss = abs(np.log10(training.learning_rate) + 3.0)
    for epoch in (1, 2, 3):
        trial.report(loss + 1.0 / epoch, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(loss)
