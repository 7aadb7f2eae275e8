"""Numbers as pieces: what lets a weighted sum bend.

A feature becomes itself and, for each of its bins, how far through the bin it is: 0 before, 1 after, and
linear between (piecewise linear encoding: Gorishniy, Rubachev and Babenko 2022, "On Embeddings for
Numerical Features in Tabular Deep Learning", arXiv:2203.05556, section 3.2). A weighted sum of these is any
line with corners at the edges of the bins.

Rules of this file
1. The edges are weights like any other: they are in the bundle, and nothing trains them.
2. A bin without width, as a feature of few values has, is always 0.
"""

from __future__ import annotations

from typing import Any

from models.backend import keras

ENCODING = "encoding"
"""Name of the layer, and of its weights in a bundle."""


class Encoding(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type information
    """Inputs (n, F) to (n, F * (1 + bins)): the F inputs, then the bins of the first, and so on.

    Args:
        bins: Of each feature.
    """

    def __init__(self, bins: int, **options: Any) -> None:
        super().__init__(**options)
        self.bins = bins

    def build(self, shape: tuple[int | None, int]) -> None:
        """The edges, rising: shape (F, bins + 1). Before they are set no bin has width."""
        self.edges = self.add_weight(
            shape=(shape[1], self.bins + 1), initializer="zeros", trainable=False, name="edges"
        )

    def call(self, inputs: Any) -> Any:
        """Float32 as the inputs."""
        ops = keras.ops
        low = self.edges[:, :-1]
        width = self.edges[:, 1:] - low
        through = (inputs[:, :, None] - low) / ops.where(width > 0, width, 1.0)
        pieces = ops.where(width > 0, ops.clip(through, 0.0, 1.0), 0.0)
        return ops.concatenate(
            [inputs, ops.reshape(pieces, (-1, inputs.shape[1] * self.bins))], axis=1
        )

    def compute_output_shape(self, shape: tuple[int | None, int]) -> tuple[int | None, int]:
        """Shape (n, F * (1 + bins))."""
        return shape[0], shape[1] * (1 + self.bins)
