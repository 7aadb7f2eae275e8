"""Examples as TensorFlow reads them: batches from blocks that need not fit into memory.

Rules of this file
1. One pool of blocks is in memory at a time, whatever the size of a part.
2. The order of an epoch follows from the seed and the number of the epoch.
3. Batches are cut in TensorFlow: Python is asked once a pool, not once a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from models.backend import keras, tf
from stream.columns import Float32s, Int32s, Int64s
from trainer.examples.part import Part


class Feed(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no type information
    """Examples as batches, while it is open; as a callback it is told which epoch begins.

    Attributes:
        batches: A `tf.data.Dataset` of (features, target, weight).
    """

    def __init__(
        self, part: Part, target: Int32s, weight: Float32s, batch_size: int, seed: int | None
    ) -> None:
        """Nothing is read before the first epoch.

        Args:
            part: The n examples.
            target: What happened, see `trainer.fitting.losses.targets`. Shape (n,), int32.
            weight: How much each counts. Shape (n,), float32.
            batch_size: Examples of a batch; the last of an epoch may be smaller.
            seed: Of the order; None leaves the examples as they stand.
        """
        super().__init__()
        self._source = _Source(part, target, weight, seed)
        self.batches = _batches(self._source, part.features, len(target), batch_size)

    def set_model(self, model: Any) -> None:
        """Keeps no model."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Called by Keras before it asks for the batches of the epoch, from 0 on."""
        self._source.epoch = epoch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Lets go of the examples."""
        self._source.held = None


class _Source:
    """What batches are made of. TensorFlow never forgets a generator, so this can be emptied."""

    def __init__(self, part: Part, target: Int32s, weight: Float32s, seed: int | None) -> None:
        self.held: tuple[Part, Int32s, Float32s] | None = (part, target, weight)
        self.seed = seed
        self.epoch = 0

    def pools(self) -> Iterator[tuple[Float32s, Int32s, Float32s]]:
        """Features, targets and weights, a pool at a time."""
        assert self.held is not None, "the feed is open"
        part, target, weight = self.held
        for which, x in self._blocks(part):
            yield x, target[which], weight[which]

    def _blocks(self, part: Part) -> Iterator[tuple[slice | Int64s, Float32s]]:
        if self.seed is None:
            return part.blocks()
        (seed,) = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)
        return part.shuffled_blocks(int(seed))


def _batches(source: _Source, features: int, rows: int, batch_size: int) -> Any:
    pooled = tf.data.Dataset.from_generator(
        source.pools,
        output_signature=(
            tf.TensorSpec((None, features), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.float32),
        ),
    )
    # Keras warns of an end that it was not told of.
    ending = tf.data.experimental.assert_cardinality(-(-rows // batch_size))
    return pooled.rebatch(batch_size).apply(ending).prefetch(2)
