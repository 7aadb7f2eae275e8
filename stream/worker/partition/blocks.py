"""The state that a worker holds: one block per partition.

Who owns a block, where it is in its life, when it must be thrown away. No Faust.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stream.state.table import CustomerTable
from stream.worker.partition.block import Block
from stream.worker.partition.lifecycle import State, after
from stream.worker.partition.restore import Restore


class Blocks:
    """The blocks of this worker, by partition number."""

    def __init__(self, words: int) -> None:
        self._words = words
        self._blocks: dict[int, Block] = {}

    def restore(self, partition: int, first: int, end: int) -> str | None:
        """Begins the restore of a partition: its block goes on where it was kept, or empty.

        Args:
            partition: Which.
            first: First offset of its changelog that is left.
            end: Offset after the last record of it.

        Returns:
            Why what was kept cannot be used; None when it is used, or when nothing was kept.
        """
        block = self._blocks.get(partition)
        after(self.state(partition), "restore")
        unused: str | None = None
        if block is not None and block.table.rows:
            anchor = block.progress.anchor
            if anchor is None or not block.is_settled:
                unused = "it is not what a marker says"
            elif first <= anchor.offset < end:
                block.restore = Restore.after(anchor, first, end)
                block.state = after(block.state, "restore")
                return None
            else:
                unused = f"it is as of offset {anchor.offset}, and there are {first} to {end}"
        self.restore_all(partition, first, end)
        return unused

    def begin(
        self,
        partition: int,
        changelog: str,
        committed: Mapping[str, int | None],
        ends: Mapping[str, int],
    ) -> Block:
        """Begins a partition whose restore is through: from now on it is whole.

        Args:
            partition: Which.
            changelog: Its changelog partition, for messages.
            committed: See `Block.begin`.
            ends: See `Block.begin`.

        Raises:
            IllegalMove: There was no restore.
            NotRestored: It is not through.
            StateError: What came is not a whole table.
        """
        state = after(self.state(partition), "begin")
        block = self._blocks[partition]
        block.become_whole(changelog)
        block.begin(committed, ends)
        block.state = state
        return block

    def restore_all(self, partition: int, first: int, end: int) -> Block:
        """Begins the restore of a partition with an empty block: see `restore`."""
        block = Block(CustomerTable(self._words), after(self.state(partition), "restore"))
        block.restore = Restore(first, first, end)
        self._blocks[partition] = block
        return block

    def load(self, partition: int, block: Block) -> None:
        """Takes over a block that was kept elsewhere."""
        block.state = after(self.state(partition), "load")
        self._blocks[partition] = block

    def state(self, partition: int) -> State:
        """Where a partition is in its life."""
        block = self._blocks.get(partition)
        return State.ABSENT if block is None else block.state

    def drain(self) -> list[int]:
        """Active partitions take nothing any more; tells which."""
        draining = [p for p, block in self if block.state is State.ACTIVE]
        for partition in draining:
            block = self._blocks[partition]
            block.state = after(block.state, "drain")
            block.expected.clear()
        return draining

    def keep(self) -> None:
        """What was drained is durable."""
        for _, block in self:
            if block.state is State.DRAINING:
                block.state = after(block.state, "keep")

    def get(self, partition: int) -> Block | None:
        """The block of a partition if there is one."""
        return self._blocks.get(partition)

    def drop(self, partition: int) -> None:
        """Throws a block away: it is not ours any more, or ahead of what was published."""
        state = after(self.state(partition), "drop")
        if block := self._blocks.pop(partition, None):
            block.state = state

    def keep_only(self, partitions: set[int]) -> None:
        """Drops the blocks of all other partitions."""
        for partition in set(self._blocks) - partitions:
            self.drop(partition)

    @property
    def are_contested(self) -> bool:
        """Whether one is: see `claims`."""
        return any(block.is_contested for block in self._blocks.values())

    @property
    def rows(self) -> int:
        """Customers in all blocks."""
        return sum(len(block.table) for block in self._blocks.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return sum(block.table.nbytes for block in self._blocks.values())

    def __iter__(self) -> Iterator[tuple[int, Block]]:
        return iter(sorted(self._blocks.items()))
