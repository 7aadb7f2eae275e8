"""Keras on TensorFlow, imported after the settings that only count before the import.

Rules of this file
1. Whoever needs Keras or TensorFlow imports them from here, so that no import comes too early.
2. `setdefault` is for what an operator may want to choose: a trainer may use a GPU or more threads.
   What decides about the numbers themselves is set, not offered.
3. Keras does without what it imports for others if it is installed (`_FOR_OTHERS`): that is a third of
   the time of a start and 150 MB. Whoever needs one of these imports it as ever.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from threading import get_ident
from types import ModuleType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # 2 still reports that there is no GPU
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# One model call is far too small to share between threads; processes scale by partitions instead.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

_FOR_OTHERS = ("matplotlib", "pandas", "sklearn")
"""Pictures of images, tables as inputs, and wrappers for scikit-learn: for other users of Keras."""


class _NotInstalled(MetaPathFinder):
    """Finds none of the modules `_FOR_OTHERS`, for the thread that made it alone."""

    def __init__(self) -> None:
        self._thread = get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in _FOR_OTHERS and get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is left out while Keras is imported", name=name)
        return None


@contextmanager
def _left_out() -> Iterator[None]:
    """While it lasts, what is `_FOR_OTHERS` is not installed, unless it was imported before."""
    finder = _NotInstalled()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


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


with _left_out(), _without_native_stderr():
    import keras
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # it warns whoever compiles many networks, as a search does

__all__ = ["keras", "tf"]
