"""Ends a worker that does nothing while there is work: a supervisor can start a better one."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import time
from typing import Any

from stream.log import log_event
from stream.worker.operate.watched import Watched, lags_by_partition

EXIT_STUCK = 70
"""Exit code when the watchdog ends the worker (EX_SOFTWARE of sysexits.h)."""


async def end_if_stuck(worker: Watched) -> None:
    """Looks at the progress until the worker stops.

    The first time it writes the stacks of all threads, the second time it exits.
    """
    limit_s = worker.campaign.worker.stuck_after_s
    seen: Any = None
    since_s = time.monotonic()
    warned = False
    while not worker.should_stop:
        await asyncio.sleep(limit_s / 20)
        # What is durable, not what was computed: without checkpoints that is no progress.
        covered = {p: dict(block.progress.covered) for p, block in worker.processor.blocks}
        lag = sum(lags_by_partition(worker).values()) + worker.processor.pending()
        progress = (covered, worker.consumer_generation_id, worker.processor.blocks.rows)
        if progress != seen or lag == 0 or worker.processor.schemas.is_waiting:
            seen, since_s, warned = progress, time.monotonic(), False
            continue
        stuck_s = time.monotonic() - since_s
        if stuck_s < limit_s:
            continue
        log_event("stuck", level=50, for_s=round(stuck_s), lag=lag, last=warned)
        faulthandler.dump_traceback(sys.stderr)
        if warned:
            os._exit(EXIT_STUCK)
        warned, since_s = True, time.monotonic()
