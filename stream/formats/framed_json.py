"""JSON behind the frame of a schema registry's JSON Schema serializer; the schema is not looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.campaign.file import EventMapping
from stream.columns import Bools, Spans
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.paths import EventPaths, Trie
from stream.events.present import Refused
from stream.events.reasons import Judge
from stream.events.scan import Scan, scan
from stream.formats.framing import ID_END, NOT_FRAMED, Frames, find_frames


@dataclass(frozen=True, slots=True)
class _FramedJsonValues:
    found: Scan
    frames: Frames
    judge: Judge

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        if self.frames.group[i] == NOT_FRAMED:
            raise Refused(
                "not_framed",
                "expected a zero byte and the id of a schema before the JSON, since events.framed "
                f"says so, got {value[: ID_END + 1].hex(' ') or 'nothing'}",
            )
        return self.judge.object_of(value[ID_END:])


class FramedJson:
    """Reads JSON behind frames; threads may share it.

    Args:
        mapping: Of the campaign.
    """

    def __init__(self, mapping: EventMapping) -> None:
        hearing = Hearing(ConsentPlaces(mapping, ()))
        self._judge = Judge(mapping, EventPaths.of(mapping, (), ()), (), hearing)

    def read(self, value: Spans, eligible: Bools, trie: Trie) -> _FramedJsonValues:
        """As `stream.events.decoder.ValueFormat.read`."""
        frames = find_frames(value, eligible, indexed=False)
        framed = frames.group != NOT_FRAMED
        behind = Spans(
            value.data, value.start + frames.size, np.where(framed, value.size - ID_END, value.size)
        )
        return _FramedJsonValues(scan(behind, framed, trie), frames, self._judge)
