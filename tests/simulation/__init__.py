"""A seeded simulation: the worker's real code against a broker, a group and a clock that are played.

One seed is one history: events come, workers join, are paused, cut off, killed and started again,
and everything is compared with a recomputation. The same seed gives the same history.
"""
