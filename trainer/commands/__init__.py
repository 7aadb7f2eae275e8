"""Commands on models: what there is, which one decides, and the service that trains them.

Read `opened.py` first: how a command finds its registry. None of them loads TensorFlow.
"""
