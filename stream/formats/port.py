"""What decoders ask of a schema registry; the fetching is the shell's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

SchemaKey: TypeAlias = int | str
"""What a registry knows a schema by: its id, or its GUID in the usual form."""


class SchemaUnusable(ValueError):
    """A schema that the registry has, and that records cannot be read by; the message says why."""


@dataclass(frozen=True, slots=True)
class WriterSchema:
    """A schema that values were written by, as a registry has it.

    Attributes:
        kind: AVRO, PROTOBUF or JSON.
        text: The schema: JSON, or base64 of a `FileDescriptorProto`.
        references: Name and text of the schemas that it uses, each behind those that it uses itself.
    """

    kind: str
    text: str
    references: tuple[tuple[str, str], ...] = ()


class SchemaPort(Protocol):
    """A schema registry."""

    def schema(self, schema_id: SchemaKey) -> WriterSchema | None:
        """The schema of an id or GUID, None when the registry does not know it.

        It is waited for as long as the registry does not answer.
        """


class Unasked:
    """Stands where nothing is decoded, such as in a check of the campaign file."""

    def schema(self, schema_id: SchemaKey) -> WriterSchema | None:
        """Never called."""
        raise AssertionError(f"nobody gave the registry that has schema {schema_id}")
