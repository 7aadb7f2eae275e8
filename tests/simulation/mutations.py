"""Faults that are built into the worker on purpose: the simulation has to find each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from stream import merged_step, pipeline
from stream.worker import adoption, publisher
from stream.worker.checkpoints import Checkpoints
from stream.worker.faust_app import store, transport
from stream.worker.faust_app.ledger import Ledger
from stream.worker.order import replay, steps
from stream.worker.partition import blocks, decision_log, intake, restore


def _replace(owner: object, name: str, new: Callable[..., Any]) -> Callable[..., Any]:
    """Puts something in the place of what a module or a class has; gives what it had."""
    stock: Callable[..., Any] = getattr(owner, name)
    setattr(owner, name, new)
    return stock


def stale_restore() -> None:
    """A restore goes on where Faust remembers to have been, whatever became of the block."""

    async def build(self: Any, consumer: Any, tps: Any, destination: Any, title: str) -> None:
        remembered = {tp: destination.get(tp) for tp in tps}
        await stock(self, consumer, tps, destination, title)
        for tp in tps & self.active_tps:
            block = self._store(tp).blocks.get(tp.partition)
            if remembered[tp] is not None and not len(block.table):
                begin = min(remembered[tp] + 1, block.restore.end)
                block.restore = restore.Restore(block.restore.first, begin, block.restore.end)
                destination[tp] = begin - 1

    stock = _replace(store.Recovery, "_build_offsets", build)
    _replace(restore.Restore, "check", lambda *_: None)


def commit_before_marker() -> None:
    """Chunks are done before the marker that covers them is acknowledged."""

    async def write(self: Any, block: Any, work: Any, copied: Any) -> Any:
        for message in copied.messages:
            self._shell.done(message)
        return await stock(self, block, work, copied)

    stock = _replace(Checkpoints, "_write", write)


def no_row_guard() -> None:
    """A row does not know which events it has seen."""

    def apply(plan: Any, state: Any, rows: Any, batch: Any, topic: int, *more: Any) -> Any:
        state.view(np.int64)[rows, plan.offset_words.start + topic] = 0
        return stock(plan, state, rows, batch, topic, *more)

    stock = _replace(pipeline, "apply", apply)


def split_off_by_one() -> None:
    """What was taken is cut off, and one record more."""
    stock = _replace(intake, "split", lambda chunk, offset: stock(chunk, offset + 1))


def seek_after_revocation() -> None:
    """A seek that Faust began for one generation goes on when its partitions were given up."""
    _replace(transport.Consumer, "_is_over", lambda self, _: not self.flow_active)


def commit_what_was_taken() -> None:
    """A chunk counts as done as soon as it is taken."""

    def add(self: Any, tp: Any, next_offset: int, message: Any) -> None:
        stock(self, tp, next_offset, message)
        self.done(tp, message)

    stock = _replace(Ledger, "add", add)


def order_ignored() -> None:
    """Topics are taken as they come, though an earlier worker announced an order."""

    _replace(replay.Replay, "done", cast(Any, property(lambda _: True)))


def caught_up_as_it_comes() -> None:
    """What was there when a partition began is taken topic after topic."""
    _replace(merged_step, "merged", lambda topic, _: np.argsort(topic, kind="stable"))


def stretch_unannounced() -> None:
    """Nobody who takes over learns up to where the topics were being merged."""
    _replace(steps.Announcer, "owed", lambda _: False)
    stock = _replace(
        steps.Announcer,
        "stretches",
        lambda self, covered: [
            one for one in stock(self, covered) if steps._is_covered(one, covered)
        ],
    )


def never_read_on() -> None:
    """A topic that waits at the broker until the others have come up is forgotten there."""
    _replace(replay.Replay, "has_room", lambda *_: False)


def marker_before_rows() -> None:
    """The marker is sent before the rows that it covers."""

    async def write(self: Any, topic: str, batches: Any, last: Any) -> Any:
        written = await stock(self, topic, [], last)
        for batch in batches:
            await (await self._send_changelog(topic, batch))
        return written

    stock = _replace(publisher.Lane, "write", write)


def ring_forgotten() -> None:
    """A restore gives rows that do not know the ids of their events."""

    def begin(self: Any, *arguments: Any) -> Any:
        block = stock(self, *arguments)
        block.table.state[:, -257:] = 0.0
        return block

    stock = _replace(blocks.Blocks, "begin", begin)


def nothing_adopted() -> None:
    """Whoever takes over decides about everything that no marker covers, published or not."""
    stock = adoption.Adoption._read

    async def read(self: Any, *arguments: Any) -> Any:
        none, first = await stock(self, *arguments)
        none._found.clear()
        return none, first

    _replace(adoption.Adoption, "_read", read)


def adopted_once() -> None:
    """A checkpoint forgets what was published before, though its events are still to come."""

    def covered(self: Any, _position: Any) -> int:
        self.begin = self.end
        return int(self.end)

    _replace(decision_log.DecisionLog, "covered", covered)


MUTATIONS: dict[str, Callable[[], None]] = {
    mutation.__name__: mutation
    for mutation in (
        stale_restore, commit_before_marker, no_row_guard, split_off_by_one, seek_after_revocation,
        commit_what_was_taken, order_ignored, caught_up_as_it_comes, stretch_unannounced, never_read_on,
        marker_before_rows, ring_forgotten, nothing_adopted, adopted_once,
    )
}  # fmt: skip
