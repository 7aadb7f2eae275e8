"""Batch side: history in, a model out, with the features that the worker computes.

Rules of this package
1. It may import `stream` and `models`; neither imports it.
2. Every feature comes from the kernel of the worker, by `stream.features.plan.apply_raw`.
"""
