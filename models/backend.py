"""Keras on TensorFlow, imported after the settings that only count before the import.

Rules of this file
1. Whoever needs Keras or TensorFlow imports them from here, so that no import comes too early.
2. `setdefault` is for what an operator may want to choose: a trainer may use a GPU or more threads.
   What decides about the numbers themselves is set, not offered.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # 2 still reports that there is no GPU
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# One model call is far too small to share between threads; processes scale by partitions instead.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import tensorflow as tf

__all__ = ["keras", "tf"]
