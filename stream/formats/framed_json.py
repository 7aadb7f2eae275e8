"""JSON behind the frame of a schema registry's JSON Schema serializer; the schema is not looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream.columns import Bools, Spans
from stream.events.json_object import json_object
from stream.events.paths import Trie
from stream.events.present import Refused
from stream.events.scan import Scan, scan
from stream.formats.framing import ID_END, NOT_FRAMED, Frames, find_frames


@dataclass(frozen=True, slots=True)
class _FramedJsonValues:
    found: Scan
    frames: Frames

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        if self.frames.group[i] == NOT_FRAMED:
            raise Refused(
                "not_framed",
                "expected a zero byte and the id of a schema before the JSON, since events.framed "
                f"says so, got {value[: ID_END + 1].hex(' ') or 'nothing'}",
            )
        return json_object(value[int(self.frames.size[i]) :])


class FramedJson:
    """Reads JSON behind frames; threads may share it."""

    def read(
        self, value: Spans, eligible: Bools, trie: Trie, headers: Spans | None = None
    ) -> _FramedJsonValues:
        """As `stream.events.cloudevents.envelopes.ValueFormat.read`."""
        frames = find_frames(value, eligible, indexed=False, headers=headers)
        framed = frames.group != NOT_FRAMED
        behind = Spans(value.data, value.start + frames.size, value.size - frames.size)
        return _FramedJsonValues(scan(behind, framed, trie), frames)
