"""The shell: the only part that knows Faust, aiokafka, the clock and the environment.

Read `processor.py` first (what happens to a chunk), then `publisher.py` (in which order it becomes
durable), then `faust_app/factory.py` (how both plug into Faust).
"""

import os

# Faust has streams and conductors twice, in Python and compiled, and chooses when it is imported. What
# may be committed the ledger says in either case; but one of them is enough to read and to test.
os.environ.setdefault("NO_CYTHON", "1")
