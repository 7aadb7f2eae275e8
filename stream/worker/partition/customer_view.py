"""The customers of a worker as a mapping, for people who look at the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stream.worker.partition.blocks import Blocks


class CustomerView(Mapping[str, Mapping[str, Any]]):
    """The blocks as a read-only mapping from customer id to named state, for people.

    Args:
        blocks: The blocks of this worker.
        describe: Names the words of one row.
    """

    def __init__(self, blocks: Blocks, describe: Callable[[Any], Mapping[str, Any]]) -> None:
        self._blocks = blocks
        self._describe = describe

    def __getitem__(self, customer_id: str | bytes) -> Mapping[str, Any]:
        key = customer_id if isinstance(customer_id, bytes) else customer_id.encode()
        for _, block in self._blocks:
            row = block.table.find(key)
            if row >= 0:
                return self._describe(block.table.state[row].copy())
        raise KeyError(customer_id)

    def __iter__(self) -> Iterator[str]:
        for _, block in self._blocks:
            for key in block.table.keys():  # noqa: SIM118  # a table iterates over nothing
                yield key.decode()

    def __len__(self) -> int:
        return self._blocks.rows
