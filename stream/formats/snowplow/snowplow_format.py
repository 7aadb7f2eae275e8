"""Values that Snowplow's Enrich wrote: columns between tabs, and the JSON in some of them.

A column is text, the way it stands there; an empty one is missing. What stands in a column of JSON is
read as all JSON is, and a path goes on into it: `unstruct_event.data.data.sku`.

Rules of this file
1. A record passes only if it has as many columns as Enrich writes, in UTF-8, and JSON where it is
   looked into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.columns import Bools, Int64s, Spans
from stream.events.json_object import json_object
from stream.events.paths import END, ROOT, UNWANTED, Trie, trie_below
from stream.events.present import Refused
from stream.events.scan import OBJECT, Scan, append_bytes, scan
from stream.formats.snowplow.snowplow_columns import COLUMNS, JSON_COLUMNS
from stream.formats.snowplow.snowplow_kernel import NO_UTF8, read_columns
from stream.formats.tables import Wanted


@dataclass(frozen=True, slots=True)
class SnowplowValues:
    """Values of n records.

    Attributes:
        found: Where the wanted columns stand.
        columns: How many each record has, NO_UTF8 for what is no text. Shape (n,), int64.
        looked_into: The columns of JSON with wanted paths.
    """

    found: Scan
    columns: Int64s
    looked_into: tuple[str, ...]

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        """As `stream.events.cloudevents.envelopes.Values.root`."""
        if self.columns[i] == NO_UTF8:
            raise Refused("bad_snowplow", "expected Snowplow's columns in UTF-8, got other bytes")
        if self.columns[i] != len(COLUMNS):
            raise Refused(
                "bad_snowplow",
                f"expected the {len(COLUMNS)} columns of Snowplow's enriched events, with tabs between "
                f"them, got {self.columns[i]}",
            )
        texts = zip(COLUMNS, value.split(b"\t"), strict=True)
        return {name: self._value(name, text) for name, text in texts if text}

    def _value(self, name: str, text: bytes) -> Any:
        if name not in self.looked_into:
            return text.decode()
        try:
            return json_object(text)
        except Refused as exc:
            raise Refused("bad_snowplow", f"in column {name}: {exc}") from exc


class SnowplowFormat:
    """Reads enriched events; threads may share it."""

    def read(
        self,
        value: Spans,
        eligible: Bools,
        trie: Trie,
        headers: Spans | None = None,
    ) -> SnowplowValues:
        """As `stream.events.cloudevents.envelopes.ValueFormat.read`."""
        places, looked_into = _places(trie)
        n = len(value)
        ok, columns = eligible.copy(), np.zeros(n, np.int64)
        kind = np.zeros((n, len(trie.nodes)), np.uint8)
        span = np.empty((n, len(trie.nodes), 2), np.int64)
        json_span = np.zeros((n, len(looked_into), 2), np.int64)
        data = append_bytes(value.data, b"")
        read_columns(data, value.start, value.size, places, ok, kind, span, json_span, columns)
        kind[:, ROOT] = OBJECT
        tails = b""
        for k, (_, node) in enumerate(looked_into):
            of_column = Spans(data, json_span[:, k, 0].copy(), json_span[:, k, 1].copy())
            has_any = ok & (of_column.size > 0)
            inside = scan(of_column, has_any, trie_below(trie, node))
            ok &= inside.ok | ~has_any
            below = slice(node + 1, int(trie.nodes[node, END]))
            kind[:, node], span[:, node] = inside.kind[:, ROOT], inside.span[:, ROOT]
            kind[:, below], span[:, below] = inside.kind[:, below], inside.span[:, below]
            if len(inside.data) > len(data):
                span[:, below, 0] += len(tails) * (span[:, below, 0] >= len(data))
                tails += inside.data[len(data) :].tobytes()
        found = Scan(append_bytes(data, tails), ok, kind, span)
        return SnowplowValues(found, columns, tuple(name for name, _ in looked_into))


def _places(trie: Trie) -> tuple[Int64s, tuple[tuple[str, int], ...]]:
    """What `read_columns` takes, and name and node of each column of JSON that is looked into."""
    wanted = Wanted(trie)
    places = np.full(len(COLUMNS), UNWANTED, np.int64)
    looked_into: list[tuple[str, int]] = []
    for column, name in enumerate(COLUMNS):
        node = wanted.child(ROOT, [name])
        if node != UNWANTED and name in JSON_COLUMNS:
            places[column] = UNWANTED - 1 - len(looked_into)
            looked_into.append((name, node))
        else:
            places[column] = node
    return places, tuple(looked_into)
