"""What of a network is computed and not trained: the edges of its encoding, and its head by evidence.

Rules of this file
1. The head is fitted on the examples that the network learned from. Those that validate are left to judge.
2. A part of the examples is enough where all of them would not fit: they are taken evenly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models import network
from models.layers.encoding import ENCODING
from models.manifest import NetworkConfig
from stream.campaign.training import TrainingSpec
from stream.columns import Float32s, Float64s, Int64s
from trainer.examples.part import Part
from trainer.fitting.losses import is_proper
from trainer.fitting.shrinkage import Seen, fit_head

HELD_BYTES = 512 << 20
"""Most that the examples take, as the head sees them."""
_WIDTH_MAX = 1024
"""Most columns of a head by evidence: each pass inverts a matrix of them for each strategy."""
_EDGE_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Solved:
    """How a head was found by evidence.

    Attributes:
        passes: Over the examples.
        shown: Weights that the examples determine, in effect, of each output; of the base last.
    """

    passes: int
    shown: tuple[float, ...]


def set_edges(model: Any, config: NetworkConfig, train: Part) -> None:
    """Cuts every input into bins of as many examples each; equal values make fewer bins."""
    if config.bins:
        x = np.concatenate([x for _, x in _some(train, _EDGE_ROWS).blocks()])
        edges = np.quantile(x, np.linspace(0.0, 1.0, config.bins + 1), axis=0).T
        model.get_layer(ENCODING).set_weights([edges.astype(np.float32)])


def is_solved(model: Any, config: NetworkConfig, training: TrainingSpec, train: Part) -> bool:
    """Whether the head is found by evidence: of a response whose loss is that of its probabilities."""
    return (
        config.head == "response"
        and 0 < int(train.outcome.sum()) < len(train)
        and training.shrinkage == "evidence"
        and is_proper(config, training)
        and network.seen(model).output_shape[-1] <= _WIDTH_MAX
    )


def solve(model: Any, config: NetworkConfig, train: Part) -> Solved:
    """Fits base and delta of a network, whatever they were."""
    part, x = seen(model, train)
    head = fit_head(
        Seen(x, _groups(config, x.shape[1]), part.strategy, part.outcome, part.weight, part.customer),
        config.outputs,
    )  # fmt: skip
    model.get_layer("base").set_weights([head.base[:-1, np.newaxis], head.base[-1:]])
    model.get_layer("delta").set_weights([head.delta[:-1], head.delta[-1]])
    return Solved(head.passes, tuple(head.shown.tolist()))


def seen(model: Any, train: Part) -> tuple[Part, Float32s]:
    """Examples, all that fit, and what the head sees of them: shape (m, p), float32."""
    eyes = network.seen(model)
    width = eyes.output_shape[-1]
    part = _some(train, max(HELD_BYTES // (4 * width), 1))
    out = np.empty((len(part), width), np.float32)
    for where, x in part.blocks():
        out[where] = np.asarray(eyes(x, training=False))
    return part, out


def logits_of(model: Any, x: Float32s, strategy: Int64s) -> Float64s:
    """Of the strategies that were used, from what the head sees. Shape (m,), float64."""
    logit = np.empty(len(x))
    (base, constant), (delta, constants) = (
        model.get_layer(name).get_weights() for name in ("base", "delta")
    )
    for k in range(delta.shape[1]):
        rows = strategy == k
        logit[rows] = x[rows] @ (base[:, 0] + delta[:, k]) + constant[0] + constants[k]
    return logit


def _groups(config: NetworkConfig, width: int) -> Int64s:
    """The feature of each column; what a trunk makes of all of them is one more."""
    if not config.bins:
        linear = config.network == "linear"
        return np.arange(width) if linear else np.zeros(width, np.int64)
    features = np.arange(config.inputs)
    own = np.concatenate([features, np.repeat(features, config.bins)])
    return np.append(own, np.full(width - len(own), config.inputs)).astype(np.int64)


def _some(part: Part, rows: int) -> Part:
    every = -(-len(part) // rows)
    return part.take(np.arange(0, len(part), every)) if every > 1 else part
