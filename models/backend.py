"""Keras on TensorFlow, imported after the settings that only count before the import.

Rules of this file
1. Whoever needs Keras or TensorFlow imports them from here, so that no import comes too early.
2. `setdefault` is for what an operator may want to choose: a trainer may use a GPU or more threads.
   What decides about the numbers themselves is set, not offered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # 2 still reports that there is no GPU
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# One model call is far too small to share between threads; processes scale by partitions instead.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"


@contextmanager
def _without_native_stderr() -> Iterator[None]:
    """Keeps what C++ writes during the import off the terminal; Python errors still raise.

    TensorFlow reports the lack of a GPU before its own log level counts.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


with _without_native_stderr():
    import keras
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # it warns whoever compiles many networks, as a search does

__all__ = ["keras", "tf"]
