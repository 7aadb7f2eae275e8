"""From records to lines: the batches that records hold, taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream.campaign.field_path import steps
from stream.campaign.file import EventMapping
from stream.columns import Bools, Int64s, RecordChunk, Spans
from stream.events.batches.array_place import array_place
from stream.events.batches.element_kernels import find_arrays, find_elements, lay_over
from stream.events.batches.event_lines import WHOLE, Arrays, Lines, RecordRoots
from stream.events.consent.vocabulary import NOT_SAID, UNREADABLE, WITHDRAWN, stricter
from stream.events.fields import FieldReader
from stream.events.json_object import FRAME_BYTES, json_object
from stream.events.paths import DATA, Paths, batch_paths
from stream.events.present import Refused, is_envelope, value_at, value_of
from stream.events.scan import Scan, scan

_BYTES_PER_EVENT = 128  # a guess, of which nothing depends but how often room is made


class Unfolding:
    """Takes the batches of one campaign apart.

    Args:
        mapping: Where they stand, `mapping.batch`.
        reader: Of the same mapping.
        own: Paths that are looked for in elements alone: those of the event id, since the id of a record
            is that of none of its events.
    """

    def __init__(self, mapping: EventMapping, reader: FieldReader, own: Paths) -> None:
        self._reader = reader
        self._most = mapping.batch_events_max
        self._unwraps = mapping.cloudevents
        self._frame_bytes = FRAME_BYTES if mapping.framed else 0
        bare, enveloped = batch_paths(mapping)
        self._paths = (*bare, *enveloped)
        node_of = reader.node_of
        self._nodes = np.array([node_of[path] for path in self._paths], np.int64)
        self._first = np.array([0, len(bare), len(self._paths)], np.int64)
        self._is_below = np.array(
            [mapping.cloudevents and c >= len(bare) and steps(path)[0] == DATA
             for c, path in enumerate(self._paths)]
        )  # fmt: skip
        self._own_paths = frozenset(own)
        self._own = np.zeros(len(reader.trie.nodes), np.bool_)
        self._own[[node_of[path] for path in own]] = True
        self._source = np.full(len(reader.trie.nodes), -1, np.int64)
        for path, node in node_of.items():
            below = node_of.get(f"{DATA}.{path}")
            if below is not None:
                self._source[below] = node

    def lines(self, found: Scan, chunk: RecordChunk, eligible: Bools, roots: RecordRoots) -> Lines:
        """The lines of a chunk.

        Args:
            found: A scan of its n records.
            chunk: The records.
            eligible: Those that were to be scanned. Shape (n,), bool.
            roots: The same as objects, for what the scan gave up on.
        """
        arrays, place = np.empty((2, len(chunk)), np.int64)
        find_arrays(
            found.kind, found.span, found.ok, self._reader.envelope, self._nodes, self._first,
            arrays, place,
        )  # fmt: skip
        stop = chunk.value.start + chunk.value.size
        # What a CloudEvent has in base64 stands somewhere else: nobody could send a part of it again.
        arrays[(arrays < chunk.value.start) | (arrays >= stop)] = -1
        for i in np.flatnonzero(eligible & ~found.ok).tolist():
            arrays[i], place[i] = self._plainly(chunk, i, roots)
        if (arrays < 0).all():
            return Lines.whole(found)
        count, end, start, size = self._elements(found, arrays, stop)
        has_events = (count > 0) & (count <= self._most)
        rows = np.where(has_events, count, 1)
        record = np.repeat(np.arange(len(chunk)), rows)
        is_element = has_events[record]
        index = np.arange(len(record)) - (np.cumsum(rows) - rows)[record]
        line_start, line_size = np.zeros((2, len(record)), np.int64)
        line_start[is_element], line_size[is_element] = start, size
        below = (arrays >= 0) & self._is_below[np.where(arrays >= 0, place, 0)]
        own = scan(
            Spans(found.data, line_start, line_size), is_element & found.ok[record],
            self._reader.trie,
        )  # fmt: skip
        ok, heard, is_quiet = self._heard(found, own, record, is_element, count < 0)
        lay_over(
            record, below, ~is_element, self._source, self._own, found.kind, found.span, ok,
            own.kind, own.span,
        )  # fmt: skip
        paths = [self._paths[c] if at >= 0 else "" for at, c in zip(arrays, place, strict=True)]
        return Lines(
            Scan(own.data, ok, own.kind, own.span), record,
            np.where(is_element, index, WHOLE).astype(np.int32), heard,
            Arrays(
                paths, self._own_paths, count, self._most, arrays, end, below, line_start, line_size, is_quiet
            ),
        )  # fmt: skip

    def _plainly(self, chunk: RecordChunk, i: int, roots: RecordRoots) -> tuple[int, int]:
        """Where the array of a record begins that the scan gave up on, -1 for none, and which it is."""
        text = (chunk.value[i] or b"")[self._frame_bytes :]
        try:
            which, value = self._which(roots(i)), json_object(text)
        except Refused:
            return -1, 0  # the judge says why
        if which < 0:
            return -1, 0
        path = steps(self._paths[which])
        # In binary mode the value of a record is the data of its CloudEvent.
        for own in (path, path[1:] if path[0] == DATA else ()):
            if own and isinstance(value_of(value, own), list):
                begin = int(chunk.value.start[i]) + self._frame_bytes
                return begin + array_place(text, own), which
        return -1, 0

    def _which(self, root: dict[str, Any]) -> int:
        """Which of the paths leads to the array of a record, -1 for none."""
        form = int(self._unwraps and is_envelope(root))
        for c in range(int(self._first[form]), int(self._first[form + 1])):
            if isinstance(value_at(root, self._paths[c]), list):
                return c
        return -1

    def element(self, root: dict[str, Any], index: int) -> Any:
        """An element of the batch in a record that has one."""
        return value_at(root, self._paths[self._which(root)])[index]

    def _elements(
        self, found: Scan, array_start: Int64s, stop: Int64s
    ) -> tuple[Int64s, Int64s, Int64s, Int64s]:
        """Of n records the count and end of their arrays, and the spans of all elements."""
        count, end = np.zeros((2, len(stop)), np.int64)
        start, size = np.empty((2, len(found.data) // _BYTES_PER_EVENT + 64), np.int64)
        done, used = find_elements(
            found.data, array_start, stop, self._most, 0, 0, count, end, start, size
        )
        while done < len(stop):
            start, size = (np.concatenate([a[:used], np.empty_like(a), a]) for a in (start, size))
            done, used = find_elements(
                found.data, array_start, stop, self._most, done, used, count, end, start, size
            )
        return count, end, start[:used], size[:used]

    def _heard(
        self, found: Scan, own: Scan, record: Int64s, is_element: Bools, is_plain: Bools
    ) -> tuple[Bools, npt.NDArray[np.int8], Bools]:
        """Which lines are clear, what they say of consent, and which records deny nothing for sure."""
        record_ok, own_ok = found.ok.copy(), own.ok.copy()
        around = self._reader.hear(found, record_ok)
        said = self._reader.hear(own, own_ok)
        said[:, ~own_ok], around[:, ~record_ok] = NOT_SAID, NOT_SAID
        denies = ((around == WITHDRAWN) | (around == UNREADABLE)).any(axis=0)
        ok = np.where(is_element, own_ok, is_plain[record]) & record_ok[record]
        return ok, stricter(said, around[:, record]), record_ok & ~denies
