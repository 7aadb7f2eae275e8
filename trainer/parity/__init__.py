"""Parity: are the features that workers decided on those that a replay of the events gives?

`opportune parity`. Every decision carries the vector that was scored. Here the events are replayed
through the same kernel, the vectors are normalized with the constants of the model that decided, and
both are compared bit by bit: what serving saw is what training sees, or the report says where not.
"""
