"""The shell: the only part that knows Faust, aiokafka, the clock and the environment.

Read `processor.py` first (what happens to a chunk), then `publisher.py` (in which order it becomes
durable), then `app.py` (how both plug into Faust).
"""
