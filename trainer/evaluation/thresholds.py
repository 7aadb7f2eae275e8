"""From which score on a conversion counts as predicted.

Conversions are few, so that hardly any score passes 0.5: accuracy would be high and recall 0. The
threshold of a strategy is the one with the highest F1 on examples that come before those that are
judged. A choice needs none: the largest output is what it predicts.
"""

from __future__ import annotations

import numpy as np

from stream.columns import Bools, Float32s, Float64s
from trainer.evaluation.judged import Judged, Scored
from trainer.evaluation.ranking import Question

FALLBACK = 0.5
"""Threshold when the validation examples have no conversion at all."""


def scored(validation: Judged, on_validation: Float32s, on_test: Float32s) -> Scored:
    """The scores of a model on the test examples, with thresholds that have never seen them.

    Args:
        validation: Examples before the test.
        on_validation: Scores of the model there. Shape (m, K), float32.
        on_test: Scores of the model on the test examples. Shape (n, K), float32.
    """
    return Scored(on_test, choose_thresholds(validation, on_validation))


def choose_thresholds(validation: Judged, scores: Float32s) -> Float64s | None:
    """The thresholds with the highest F1, of equals the highest; None for a choice.

    A strategy without a conversion in these examples gets the threshold of all together.

    Args:
        validation: Examples that the model was not fitted on and is not judged on.
        scores: Its outputs there. Shape (n, K), float32.

    Returns:
        Shape (K,), float64.
    """
    if validation.head == "choice":
        return None
    used = scores[np.arange(len(scores)), validation.strategy].astype(np.float64)
    question = Question(
        np.zeros(len(used), np.int32), validation.weight, validation.outcome, used,
        np.zeros(len(used), np.bool_), np.argsort(-used, kind="stable"),
    )  # fmt: skip
    pooled = _best(question, None)
    best = [_best(question, validation.strategy == k) for k in range(len(validation.names))]
    default = FALLBACK if pooled is None else pooled
    return np.array([default if threshold is None else threshold for threshold in best])


def _best(question: Question, mask: Bools | None) -> float | None:
    ranking = question.ranking(mask)
    predicted, hit = ranking.steps()
    if len(hit) == 0 or hit[-1] == 0:
        return None
    f1 = 2 * hit / (predicted + hit[-1])
    return float(ranking.thresholds()[f1.argmax()])
