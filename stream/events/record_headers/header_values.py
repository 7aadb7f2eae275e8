"""Values of records of which headers are looked at as well: read as if they stood in the value.

Rules of this file
1. This is the outermost reader: whatever a value says, it says nothing of headers.
2. A header is text, as attributes of CloudEvents are. What is no UTF-8 is left to the judge, as bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numba

from stream.campaign.field_path import header_name, is_header
from stream.columns import Bools, Bytes, Int64s, Spans
from stream.compiled.borrow import borrow
from stream.events.cloudevents.attributes import is_text, text_or_bytes
from stream.events.cloudevents.envelopes import ValueFormat, Values, own_scan, with_headers
from stream.events.paths import Trie
from stream.events.present import HeadedRecord
from stream.events.scan import STRING, Kinds, Scan
from stream.kafka.headers import last_contents, read_headers

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@dataclass(frozen=True, slots=True)
class _HeadedValues:
    """Values of n records.

    Attributes:
        found: Where the wanted ones stand, those of headers with them.
        inner: The same without these.
        headers: As in `RecordChunk.headers`.
        names: Of the headers that are wanted.
    """

    found: Scan
    inner: Values
    headers: Spans
    names: frozenset[str]

    def root(self, i: int, value: bytes) -> HeadedRecord:
        """As `Values.root`."""
        said = dict(read_headers(self.headers[i]))
        wanted = {
            name: text_or_bytes(content)
            for name, content in said.items()
            if name in self.names and content is not None
        }
        return HeadedRecord(self.inner.root(i, value), wanted)


def beside_headers(values: ValueFormat, node_of: Mapping[str, int]) -> ValueFormat:
    """What reads the headers that some paths name as well; the format itself where none does.

    Args:
        values: How values are written.
        node_of: Node of each path in the trie of all reads.
    """
    nodes = {path: node for path, node in node_of.items() if is_header(path)}
    return HeaderValues(values, nodes) if nodes else values


class HeaderValues:
    """Reads the values of records and, beside them, some headers; threads may share it.

    Args:
        values: How values are written.
        nodes: Paths of the headers, and the node of each in the trie of all reads.
    """

    def __init__(self, values: ValueFormat, nodes: Mapping[str, int]) -> None:
        self._values = values
        names = {header_name(path): node for path, node in nodes.items()}
        self._nodes = {name.encode(): node for name, node in names.items()}
        self._names = frozenset(names)

    def read(
        self, value: Spans, eligible: Bools, trie: Trie, headers: Spans | None = None
    ) -> Values:
        """As `ValueFormat.read`."""
        inner = self._values.read(value, eligible, trie, headers)
        if headers is None or not (some := headers.size > 0).any():
            return inner
        found = own_scan(inner.found)
        data, shift = with_headers(found, value, headers, some)
        for name, node in self._nodes.items():
            at = last_contents(headers, name)
            note_header(at.data, at.start, at.size, node, shift, found.ok, found.kind, found.span)
        noted = Scan(data, found.ok, found.kind, found.span, found.is_json)
        return _HeadedValues(noted, inner, headers, self._names)


@_jit
def note_header(
    data: Bytes, starts: Int64s, sizes: Int64s, node: int, shift: int, ok: Bools, kind: Kinds,
    span: Int64s,
) -> None:  # fmt: skip
    """Puts a header of n records where a scan of JSON would put a member of the root.

    Args:
        data: The buffer of the contents.
        starts: First byte of each content. Shape (n,), int64.
        sizes: Its length, -1 where there is none. Shape (n,), int64.
        node: The node.
        shift: Where the buffer of the contents begins in the buffer of the spans.
        ok: Becomes false where a content is no text. Shape (n,), bool.
        kind: Filled at the node. Shape (n, nodes), uint8.
        span: Filled at the node. Shape (n, nodes, 2), int64.
    """
    data, kind, span = borrow(data), borrow(kind), borrow(span)
    for i in range(len(starts)):
        if sizes[i] >= 0:
            kind[i, node] = STRING
            span[i, node, 0] = starts[i] + shift
            span[i, node, 1] = sizes[i]
            if not is_text(data, starts[i], starts[i] + sizes[i]):
                ok[i] = False
