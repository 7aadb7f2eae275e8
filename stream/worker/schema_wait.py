"""A chunk waits until the schemas that its values name are known, so that no computation blocks.

It waits before anything of it is taken: checkpoints go on meanwhile, and partitions can be given up.
"""

from __future__ import annotations

import asyncio

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk
from stream.formats.framing import schema_keys
from stream.formats.port import SchemaKey
from stream.schemas.registry import registry_of
from stream.schemas.registry_client import RegistryDown


class SchemaWait:
    """Waits for the registry of a campaign, if it has one.

    Args:
        mapping: Where the events stand.

    Attributes:
        registry: What the decoder asks, None when no topic has schemas there.
        is_waiting: Whether the registry does not answer.
    """

    def __init__(self, mapping: EventMapping) -> None:
        self.registry = registry_of(mapping)
        self.is_waiting = False
        self._mapping = mapping

    async def ready(self, chunk: RecordChunk) -> None:
        """Returns when every schema of a chunk was asked for and the registry has answered."""
        of_registry = self._mapping.registry_formats
        if self.registry is None or self._mapping.format_of(chunk.topic) not in of_registry:
            return
        size = chunk.value.size
        eligible = (size >= 0) & (size <= self._mapping.value_bytes_max)
        for schema_id in schema_keys(chunk.value, eligible, chunk.headers):
            if not self.registry.is_fresh(schema_id):
                await self._load(schema_id)

    async def _load(self, schema_id: SchemaKey) -> None:
        assert self.registry is not None
        waiting = self.registry.waiting()
        try:
            while True:
                try:
                    await asyncio.to_thread(self.registry.load, schema_id)
                except RegistryDown as exc:
                    self.is_waiting = True
                    await asyncio.sleep(waiting.failed(str(exc)))
                else:
                    break
        finally:
            self.is_waiting = False
        waiting.over()
