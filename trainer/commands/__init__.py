"""Commands of the trainer: fit and judge models, choose one, keep history, show a demo.

Read `options/registry.py` first: how a command finds its registry. TensorFlow is loaded by those that fit or judge
a model, when they come to it.
"""
