"""Our networks and scikit-learn's models on the same features of the same customers.

Rules of this file
1. Customers are dealt by a seed: 60 % to learn from, 20 % to choose by, 20 % to judge on. When to
   stop, the settings of the trees and the threshold are chosen without the last.
2. All models see what our network sees: features transformed and normalized by the worker's kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import msgspec
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_curve,
    recall_score,
    roc_auc_score,
)

from benchmarks.cdnow.customers import Customers
from models.contract import Normalization
from stream.columns import Bools, Float32s, Float64s
from trainer.examples.chance import Logged
from trainer.examples.moments import fit_normalization
from trainer.examples.part import Part
from trainer.fitting.fit import fit
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import predict

METRICS = ("roc_auc", "pr_auc", "log_loss", "recall", "f1")
_LEARN, _CHOOSE = 0.6, 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Deal:
    """The customers as one seed deals them.

    Attributes:
        customers: All of them.
        train: To learn from.
        validation: To choose by.
        test: To judge on.
        seed: Dealt them, and seeds what is random in the models.
    """

    customers: Customers
    train: Part
    validation: Part
    test: Part
    seed: int


def deal(customers: Customers, seed: int) -> Deal:
    """Deals the customers."""
    n = len(customers)
    turn = np.random.default_rng(seed).permutation(n)
    cuts = [int(_LEARN * n), int((_LEARN + _CHOOSE) * n)]
    train, validation, test = (np.sort(part) for part in np.split(turn, cuts))
    features = len(customers.plan.names)
    whole = Part(
        values=customers.features,
        transforms=customers.plan.transform_codes,
        normalization=Normalization.identity(features),
        rows=np.arange(n),
        strategy=np.full(n, len(customers.campaign.strategies)),  # nothing was done to anyone
        outcome=customers.bought_again,
        time_ms=np.zeros(n, np.int64),
        customer=np.arange(n),
        weight=np.ones(n),
        logged=Logged.unsaid(n),
    )
    whole = replace(whole, normalization=fit_normalization(whole.take(train)))
    return Deal(customers, whole.take(train), whole.take(validation), whole.take(test), seed)


def play(deal: Deal) -> dict[str, dict[str, float]]:
    """Every model on these customers: metrics on the test part, by model and metric."""
    figures = {}
    for name, model in MODELS.items():
        chosen_on, judged_on = model(deal)
        threshold = best_threshold(deal.validation.outcome, chosen_on)
        figures[name] = _metrics(deal.test.outcome, judged_on, threshold)
    return figures


def best_threshold(outcome: Bools, score: Float64s) -> float:
    """The score from which on customers are called, with the largest F1."""
    precision, recall, thresholds = precision_recall_curve(outcome, score)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[f1[:-1].argmax()])  # the last point calls nobody


def _metrics(outcome: Bools, score: Float64s, threshold: float) -> dict[str, float]:
    called = score >= threshold
    return {
        "roc_auc": float(roc_auc_score(outcome, score)),
        "pr_auc": float(average_precision_score(outcome, score)),
        "log_loss": float(log_loss(outcome, score)),
        "recall": float(recall_score(outcome, called)),
        "f1": float(f1_score(outcome, called)),
    }


_Scores = tuple[Float64s, Float64s]
"""Probabilities of the validation and of the test customers."""


def _network(deal: Deal, kind: Literal["mlp", "dcn"]) -> _Scores:
    campaign = deal.customers.campaign
    nothing = len(campaign.strategies)
    spec = msgspec.structs.replace(campaign.model, network=kind)
    config = network_config(spec, campaign.training, deal.train.features, nothing + 1)
    fitted = fit(config, campaign.training, deal.train, deal.validation, deal.seed)
    validation, test = (
        predict(fitted.model, part)[:, nothing].astype(np.float64)
        for part in (deal.validation, deal.test)
    )
    return validation, test


def _tuned_trees(deal: Deal) -> _Scores:
    """The best on the validation customers of a small grid."""
    tried = [
        _scikit(
            deal,
            HistGradientBoostingClassifier(
                learning_rate=learning_rate,
                max_leaf_nodes=leaves,
                min_samples_leaf=50,
                random_state=deal.seed,
            ),
        )
        for learning_rate, leaves in product((0.03, 0.06), (4, 8))
    ]
    return max(tried, key=lambda scores: roc_auc_score(deal.validation.outcome, scores[0]))


def _scikit(deal: Deal, model: LogisticRegression | HistGradientBoostingClassifier) -> _Scores:
    model.fit(inputs(deal.train), deal.train.outcome)
    validation, test = (
        model.predict_proba(inputs(part))[:, 1] for part in (deal.validation, deal.test)
    )
    return validation, test


def inputs(part: Part) -> Float32s:
    """What the network sees. Shape (n, F), float32."""
    return np.concatenate([x for _, x in part.blocks()])


MODELS: dict[str, Callable[[Deal], _Scores]] = {
    "Opportune, dcn": lambda deal: _network(deal, "dcn"),
    "Opportune, mlp": lambda deal: _network(deal, "mlp"),
    "logistic regression": lambda deal: _scikit(deal, LogisticRegression(max_iter=1000)),
    "boosted trees": lambda deal: _scikit(
        deal, HistGradientBoostingClassifier(random_state=deal.seed)
    ),
    "boosted trees, tuned": _tuned_trees,
}
OURS = tuple(name for name in MODELS if name.startswith("Opportune"))
