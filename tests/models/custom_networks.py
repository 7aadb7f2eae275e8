"""Builders of custom networks, good and bad, that tests name as `tests.models.custom_networks:<function>`."""

from __future__ import annotations

from typing import Any

from models.backend import keras, tf
from models.manifest import NetworkConfig


def normalized(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    """State that is not trained, random numbers in training, and no layer with a name."""
    layers = keras.layers
    hidden = layers.Dense(8, activation="relu", kernel_regularizer=keras.regularizers.L2(config.l2))
    trunk = layers.Dropout(0.2)(layers.BatchNormalization()(hidden(inputs)))
    return keras.Sequential([layers.Dense(6, activation="tanh"), layers.Dense(4)])(trunk)


def raises(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    raise RuntimeError("no weights\n  today")


def narrow(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    return keras.ops.sum(inputs, axis=1)


def half(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    return keras.layers.Dense(4, dtype="float16")(inputs)


def counting(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    class Counter(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type information
        def build(self, shape: Any) -> None:
            self.seen = self.add_weight(shape=(), dtype="int32", trainable=False, name="seen")

        def call(self, x: Any) -> Any:
            return x

    return Counter()(inputs)


def foreign(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    return keras.Input((4,))


def mixes_rows(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    return inputs - keras.ops.cumsum(inputs, axis=0)


def dices(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    class Noise(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type information
        def build(self, shape: Any) -> None:
            self.random = keras.random.SeedGenerator(seed)

        def call(self, x: Any) -> Any:
            return x + keras.random.normal(keras.ops.shape(x), seed=self.random)

    return Noise()(inputs)


def python_in_the_graph(inputs: Any, config: NetworkConfig, seed: int) -> Any:
    class Slow(keras.layers.Layer):  # type: ignore[misc]  # Keras has no type information
        def call(self, x: Any) -> Any:
            return tf.ensure_shape(tf.numpy_function(lambda a: a, [x], tf.float32), x.shape)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    return Slow()(inputs)


class NotABuilder:
    """Something that is there and cannot be called."""


no_function = NotABuilder()
