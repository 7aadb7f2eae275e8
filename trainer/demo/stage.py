"""What goes on while the worker runs: it catches up, then decides live."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from stream.errors import OperatorError
from trainer.demo.journey import PURCHASES, TOPICS, Journey
from trainer.demo.process import Child
from trainer.demo.sender import Feed
from trainer.demo.view import Snapshot, View
from trainer.demo.watch import Tally, Watch

_TICK_S = 0.02
_SHOW_S = 0.25
_RATE_WINDOW_S = 3.0
_SILENCE_S = 120.0
_DAY_MS = 86_400_000


class Rate:
    """Steps per second over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, now_s: float, count: int) -> float:
        """Takes a running total and returns its rate."""
        self._seen.append((now_s, count))
        while now_s - self._seen[0][0] > _RATE_WINDOW_S:
            self._seen.popleft()
        then_s, before = self._seen[0]
        return (count - before) / (now_s - then_s) if now_s > then_s else 0.0


class Stage:
    """The running demo.

    Args:
        journey: All events.
        feed: Sends them.
        watch: Reads the decisions.
        worker: Makes the decisions.
        view: Shows them.
    """

    def __init__(
        self, journey: Journey, feed: Feed, watch: Watch, worker: Child, view: View
    ) -> None:
        self._journey = journey
        self._feed = feed
        self._watch = watch
        self._worker = worker
        self._view = view
        purchases = journey.topic == TOPICS.index(PURCHASES)
        self._history_due = int(purchases[: watch.live_from].sum())
        self._live_due = int(purchases[watch.live_from :].sum())

    async def catch_up(self) -> None:
        """Waits until the worker has decided all of history."""
        history = self._watch.history

        async def tick() -> bool:
            return history.decided >= self._history_due

        fastest = await self._follow("Catching up", history, self._history_due, tick, latency=False)
        self._view.step(
            f"Caught up: {history.decided:,} decisions about history, up to {fastest:,.0f} a second"
        )

    async def stream(self, days_per_s: float) -> None:
        """Sends the rest of the year at a pace, and waits for the decisions about it."""
        live = self._watch.live
        began_s, last = time.monotonic(), len(self._journey)
        start_ms = int(self._journey.time_ms[self._watch.live_from])

        async def tick() -> bool:
            days = (time.monotonic() - began_s) * days_per_s
            await self._feed.send(self._feed.until(start_ms + int(days * _DAY_MS)))
            return self._feed.sent == last and live.decided >= self._live_due

        await self._follow("Live", live, self._live_due, tick, latency=True)
        self._view.step(
            f"Decided live: {live.decided:,} purchases in {time.monotonic() - began_s:.0f} s, event "
            f"to decision p50 {live.latency_ms(0.5) or 0:.0f} ms, p99 {live.latency_ms(0.99) or 0:.0f} ms"
        )

    async def _follow(
        self,
        title: str,
        tally: Tally,
        due: int,
        tick: Callable[[], Awaitable[bool]],
        *,
        latency: bool,
    ) -> float:
        """Ticks until all is done, and shows it; returns the most decisions in a second.

        How long an event waited before the worker was there is no latency of it.
        """
        events, decisions = Rate(), Rate()
        shown_s = heard_s = time.monotonic()
        heard = fastest = 0.0
        with self._view.live():
            while not await tick():
                self._watch.expect_running()
                self._worker.expect_running()
                await asyncio.sleep(_TICK_S)
                now_s = time.monotonic()
                moved = self._feed.sent + tally.decided
                if moved != heard:
                    heard, heard_s = moved, now_s
                elif now_s - heard_s > _SILENCE_S:
                    raise OperatorError(
                        f"expected {due:,} decisions, got {tally.decided:,} and then none for "
                        f"{_SILENCE_S:g} s{self._worker.last_lines()}"
                    )
                events_s = events.at(now_s, self._feed.sent)
                decisions_s = decisions.at(now_s, tally.decided)
                fastest = max(fastest, decisions_s)
                if now_s - shown_s >= _SHOW_S:
                    shown_s = now_s
                    self._view.show(
                        Snapshot(
                            title=title,
                            date=self._date(tally),
                            done=tally.decided,
                            total=due,
                            events_s=events_s,
                            decisions_s=decisions_s,
                            latency=latency,
                            tally=tally,
                        )
                    )
        return fastest

    def _date(self, tally: Tally) -> str:
        """Date of the newest decision."""
        if not tally.recent:
            return "the worker starts"
        time_ms = int(self._journey.time_ms[tally.recent[-1].event])
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")
