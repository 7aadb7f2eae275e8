"""Scores of feature vectors with the loaded model.

Rules of this file
1. The scores of a row depend on that row and the model alone, to the last bit: not on the rows
   beside it, its place, how events were cut into chunks, threads, or the process. A replay after a
   crash publishes the same bytes. (On one type of CPU: another may round differently.)
2. That holds because the network is compiled by XLA for one shape, a tile of `TILE_ROWS` rows, and
   always runs on a whole tile. TensorFlow's own matrix product and XLA's both change the last bits
   of a row when the number of rows changes.
3. One network shape is compiled once a process and the weights are an argument: a new model of the
   same shape is ready in milliseconds and leaves nothing behind. (XLA keeps what it compiled, 0.7 MB
   a model.) They are one vector because every argument costs some 10 us a call.
4. A user's own network is held to the same rules: it is loaded only when the campaign file names
   its builder, and served only when a row scores the same in another place.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from models import network
from models.backend import tf
from models.builder import told
from models.bundle import Bundle
from models.errors import BundleError
from models.manifest import NetworkConfig
from stream.columns import Float32s

TILE_ROWS = 512
_TIMED_RUNS = 10


class Scorer:
    """One model, ready to score. Safe to use from several threads.

    Attributes:
        version: Of the bundle.
        strategies: What the K columns are, in order.
        untrained: Those that there were too few examples of.
        head: choice or response, see `models.network`.
        normalization: What the feature kernel has to apply to get the inputs.
        contract_digest: Of the features that the model eats.
        features: F.
    """

    def __init__(self, bundle: Bundle, builder: str = "") -> None:
        """Builds, checks the weights, compiles if this network shape is new, and runs once.

        Args:
            bundle: What to score with.
            builder: `model.builder` of the campaign file, the only code that a bundle may name.

        Raises:
            BundleError: The weights are not those of the network; or it is a custom network whose
                builder is not allowed, fails, or makes what XLA cannot compile.
        """
        manifest = bundle.manifest
        self.version = manifest.version
        self.strategies = manifest.strategies
        self.untrained = manifest.untrained
        self.head = manifest.network.head
        self.normalization = bundle.normalization
        self.contract_digest = manifest.contract_digest
        self.features = manifest.network.inputs
        self._golden = bundle.golden
        try:
            model, self._forward = _compiled(manifest.network, builder)
            arrays = network.arrange(model, bundle.weights)
            self._weights = tf.constant(np.concatenate([array.ravel() for array in arrays]))
            self.score(np.zeros((1, self.features), np.float32))
        except Exception as exc:
            if manifest.network.network != "custom" or isinstance(exc, BundleError):
                raise
            raise BundleError(  # a user's layers may raise anything
                f"{self.version}: expected layers that XLA compiles, got {told(exc)}"
            ) from exc

    def score(self, x: Float32s) -> Float32s:
        """Scores of n feature vectors.

        Args:
            x: Normalized features, C order. Shape (n, F), float32; n may be 0.

        Returns:
            Scores in [0, 1]. Shape (n, K), float32. A row of x with NaN gives a row of NaN.

        Raises:
            ValueError: x has another shape, type or order.
        """
        if x.dtype != np.float32 or x.shape[1:] != (self.features,) or not x.flags.c_contiguous:
            raise ValueError(
                f"expected C-ordered float32 of shape (n, {self.features}), "
                f"got {x.dtype} of shape {x.shape}"
            )
        out = np.empty((len(x), len(self.strategies)), np.float32)
        for start in range(0, len(x), TILE_ROWS):
            rows = min(TILE_ROWS, len(x) - start)
            tile = x[start : start + rows]
            if rows < TILE_ROWS:
                tile = np.zeros((TILE_ROWS, self.features), np.float32)
                tile[:rows] = x[start:]
            scores = self._forward(tf.constant(tile), self._weights)
            out[start : start + rows] = scores.numpy()[:rows]
        return out

    def check_golden(self, tolerance: float = 1e-5) -> None:
        """Compares the golden batch with what this process computes.

        Raises:
            BundleError: A score is further than `tolerance` from the one in the bundle, or depends
                on the place of its row.
        """
        inputs = np.ascontiguousarray(self._golden.inputs)
        got = self.score(inputs)
        worst = np.abs(got - self._golden.outputs).max(initial=0.0)
        if not worst <= tolerance:  # NaN is no match
            raise BundleError(
                f"{self.version}: expected the scores of the golden batch within {tolerance}, "
                f"got a difference of {worst}"
            )
        if self.score(inputs[::-1].copy())[::-1].tobytes() != got.tobytes():
            raise BundleError(
                f"{self.version}: expected the scores of a row to depend on that row alone, got "
                "others when the golden batch was reversed; a layer looks across rows or draws "
                "random numbers when it scores"
            )


def score_ms(scorer: Scorer) -> float:
    """Milliseconds that scoring `TILE_ROWS` rows takes; other numbers of rows take multiples.

    The best of some runs, so that what else the machine does is left out.
    """
    x = np.zeros((TILE_ROWS, scorer.features), np.float32)
    best_s = math.inf
    for _ in range(_TIMED_RUNS):
        started_s = time.perf_counter()
        scorer.score(x)
        best_s = min(best_s, time.perf_counter() - started_s)
    return 1000.0 * best_s


@functools.lru_cache(maxsize=8)
def _compiled(config: NetworkConfig, builder: str) -> tuple[Any, Callable[..., Any]]:
    """The Keras model that names the weights, and its forward pass over one tile."""
    model = network.build(config, builder=builder)
    shapes = [tuple(variable.shape) for variable in model.weights]
    sizes = [math.prod(shape) for shape in shapes]

    def forward(x: Any, weights: Any) -> Any:
        parts = zip(tf.split(weights, sizes), shapes, strict=True)
        arrays = [tf.reshape(part, shape) for part, shape in parts]
        return network.apply(model, arrays, x)

    compiled = tf.function(forward, jit_compile=True, autograph=False).get_concrete_function(
        tf.TensorSpec((TILE_ROWS, config.inputs), tf.float32),
        tf.TensorSpec((sum(sizes),), tf.float32),
    )
    return model, cast("Callable[..., Any]", compiled)
