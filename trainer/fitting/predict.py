"""What a network says of examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.contract import Float32s
from trainer.examples.part import Part

_ROWS_PER_CALL = 8192
_EDGE = 1e-7  # a probability that float32 rounds to 0 costs 16 nats and not infinity


def predict(model: Any, part: Part) -> Float32s:
    """Scores of the examples of a part. Shape (n, K), float32."""
    out = np.empty((len(part), model.output_shape[-1]), np.float32)
    for where, x in part.blocks():
        out[where] = scores(model, x)
    return out


def scores(model: Any, x: Float32s) -> Float32s:
    """Scores of n normalized feature vectors, (n, F) float32. Shape (n, K), float32."""
    parts = [
        np.asarray(model(x[start : start + _ROWS_PER_CALL], training=False))
        for start in range(0, len(x), _ROWS_PER_CALL)
    ]
    return np.concatenate([np.empty((0, model.output_shape[-1]), np.float32), *parts])


def mean_loss(model: Any, part: Part) -> float:
    """Cross-entropy of a response on the examples of a part, weighted, nats."""
    score = predict(model, part)[np.arange(len(part)), part.strategy].astype(np.float64)
    right = np.clip(np.where(part.outcome, score, 1.0 - score), _EDGE, 1.0)
    return float(np.average(-np.log(right), weights=part.weight))
