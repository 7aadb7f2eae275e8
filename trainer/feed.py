"""Examples as TensorFlow reads them: batches from blocks that need not fit into memory.

Rules of this file
1. One pool of blocks is in memory at a time, whatever the size of a part.
2. The order of an epoch follows from the seed and the number of the epoch.
3. Batches are cut in TensorFlow: Python is asked once a pool, not once a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from models.backend import keras, tf
from stream.columns import Float32s, Int32s, Int64s
from trainer.part import Part

Blocks = Callable[[], Iterator[tuple[slice | Int64s, Float32s]]]


class Feed(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no type information
    """The batches to learn from; as a callback it is told which epoch begins."""

    def __init__(
        self, part: Part, target: Int32s, weight: Float32s, batch_size: int, seed: int
    ) -> None:
        """Nothing is read before the first epoch.

        Args:
            part: The n examples.
            target: What happened, see `trainer.losses.targets`. Shape (n,), int32.
            weight: How much each counts. Shape (n,), float32.
            batch_size: Examples of a batch; the last of an epoch may be smaller.
            seed: Of the order.
        """
        super().__init__()
        self._part, self._seed, self._epoch = part, seed, 0
        self.batches = _batches(self._blocks, part.features, target, weight, batch_size)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Called by Keras before it asks for the batches of the epoch, from 0 on."""
        self._epoch = epoch

    def _blocks(self) -> Iterator[tuple[Int64s, Float32s]]:
        (seed,) = np.random.SeedSequence([self._seed, self._epoch]).generate_state(1)
        return self._part.shuffled_blocks(int(seed))


def in_order(part: Part, target: Int32s, weight: Float32s, batch_size: int) -> Any:
    """Batches as they stand in the part, as a `tf.data.Dataset`; arguments as of `Feed`."""
    return _batches(part.blocks, part.features, target, weight, batch_size)


def _batches(
    blocks: Blocks, features: int, target: Int32s, weight: Float32s, batch_size: int
) -> Any:
    def pools() -> Iterator[tuple[Float32s, Int32s, Float32s]]:
        for which, x in blocks():
            yield x, target[which], weight[which]

    pooled = tf.data.Dataset.from_generator(
        pools,
        output_signature=(
            tf.TensorSpec((None, features), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.float32),
        ),
    )
    # Keras warns of an end that it was not told of.
    ending = tf.data.experimental.assert_cardinality(-(-len(target) // batch_size))
    return pooled.rebatch(batch_size).apply(ending).prefetch(2)
