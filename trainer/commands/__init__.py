"""Commands on models, one file each: what there is, which one decides, and the service that trains them.

Read `options/registry.py` first: how a command finds its registry. TensorFlow is loaded by those that fit or judge
a model, when they come to it.
"""
