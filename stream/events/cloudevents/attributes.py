"""Attributes of CloudEvents in binary mode: which records have them, and where each stands.

The Kafka binding of CloudEvents 1.0: an attribute is a header `ce_NAME`, the type of the data is the
header `content-type`, the value is the data. With a content type of CloudEvents itself the whole event
is in the value (structured mode), whatever headers stand beside it.

Rules of this file
1. `attributes_of` is the plain counterpart of the kernels: both say the same.
2. An attribute is text. What is no UTF-8 is left to the judge, as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s, Spans
from stream.compiled.borrow import borrow
from stream.events.json_tokens import character_end
from stream.events.paths import DATA, DATA_BASE64, ROOT, SPECVERSION, Trie, child, node_at_root
from stream.events.scan import NULL, STRING, Kinds, append_bytes
from stream.kafka.headers import Header, header_count, is_name, next_header

PREFIX = "ce_"
CONTENT_TYPE = "content-type"
CONTENT_TYPE_ATTRIBUTE = "datacontenttype"
_MEDIA_TYPE = "application/cloudevents"
BATCH_MEDIA_TYPE = "application/cloudevents-batch"
_NO_ATTRIBUTES = frozenset({DATA, DATA_BASE64})
_PREFIX_BYTES = len(PREFIX)

_SPECVERSION_HEADER = np.frombuffer(f"{PREFIX}{SPECVERSION}".encode(), np.uint8)
_CONTENT_TYPE_HEADER = np.frombuffer(CONTENT_TYPE.encode(), np.uint8)
_PREFIX_HEADER = np.frombuffer(PREFIX.encode(), np.uint8)
_MEDIA_TYPE_BYTES = np.frombuffer(_MEDIA_TYPE.encode(), np.uint8)
_A, _Z, _CASE = *b"AZ", 0x20

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


def find_binary(headers: Spans, eligible: Bools) -> Bools:
    """Which records are CloudEvents in binary mode.

    Args:
        headers: Of n records, as in `RecordChunk.headers`.
        eligible: The records to look at. Shape (n,), bool.
    """
    binary = np.zeros(len(headers), np.bool_)
    _find_binary(append_bytes(headers.data, b""), headers.start, headers.size, eligible, binary)
    return binary


@_jit
def _find_binary(
    data: Bytes, starts: Int64s, sizes: Int64s, eligible: Bools, binary: Bools
) -> None:
    """Fills the last one."""
    data = borrow(data)
    for i in range(len(starts)):
        if not eligible[i] or sizes[i] <= 0:
            continue
        stop = starts[i] + sizes[i]
        version, version_size, media, media_size = 0, -1, 0, -1
        count, at = header_count(data, starts[i], stop)
        k = 0
        while k < count and at >= 0:
            name, name_size, at, size = next_header(data, at, stop)
            k += 1
            if at < 0:
                break
            if is_name(data, name, name_size, _SPECVERSION_HEADER):
                version, version_size = at, size
            elif is_name(data, name, name_size, _CONTENT_TYPE_HEADER):
                media, media_size = at, size
            at += max(size, 0)
        binary[i] = (
            version_size >= 0
            and is_text(data, version, version + version_size)
            and not _is_media_type(data, media, media_size)
        )


@_jit
def is_text(data: Bytes, at: int, stop: int) -> bool:
    """Whether data[at:stop] is valid UTF-8."""
    while at >= 0 and at < stop:
        at = at + 1 if data[at] < 0x80 else character_end(data, at, stop)
    return bool(at == stop)


@_jit
def _is_media_type(data: Bytes, at: int, size: int) -> bool:
    """Whether a content type is one of CloudEvents, in any case."""
    if size < len(_MEDIA_TYPE_BYTES):
        return False
    for k in range(len(_MEDIA_TYPE_BYTES)):
        byte = data[at + k]
        if (byte | _CASE if byte >= _A and byte <= _Z else byte) != _MEDIA_TYPE_BYTES[k]:
            return False
    return True


def note_attributes(
    headers: Spans, binary: Bools, trie: Trie, shift: int, ok: Bools, kind: Kinds, span: Int64s
) -> None:
    """Puts the wanted attributes where a scan of JSON would put members of the root.

    Args:
        headers: Of n records, as in `RecordChunk.headers`.
        binary: The records to look at. Shape (n,), bool.
        trie: The wanted paths.
        shift: Where the buffer of the headers begins in the buffer of the spans.
        ok: Becomes false where an attribute is no text. Shape (n,), bool.
        kind: Filled. Shape (n, nodes), uint8.
        span: Filled. Shape (n, nodes, 2), int64.
    """
    media_type = node_at_root(trie, CONTENT_TYPE_ATTRIBUTE)
    barred = np.array([node_at_root(trie, name) for name in sorted(_NO_ATTRIBUTES)], np.int64)
    _note(
        append_bytes(headers.data, b""), headers.start, headers.size, binary,
        trie.slots, trie.nodes, trie.keys, media_type, barred, shift, ok, kind, span,
    )  # fmt: skip


@_jit
def _note(
    data: Bytes, starts: Int64s, sizes: Int64s, binary: Bools, slots: Int64s, nodes: Int64s,
    keys: Bytes, media_type: int, barred: Int64s, shift: int, ok: Bools, kind: Kinds, span: Int64s,
) -> None:  # fmt: skip
    """See `note_attributes`; `barred` are nodes that no attribute is."""
    data, slots, nodes, keys = borrow(data), borrow(slots), borrow(nodes), borrow(keys)
    kind, span = borrow(kind), borrow(span)
    for i in range(len(starts)):
        if not binary[i]:
            continue
        stop = starts[i] + sizes[i]
        count, at = header_count(data, starts[i], stop)
        k = 0
        while k < count and at >= 0:
            name, name_size, at, size = next_header(data, at, stop)
            k += 1
            if at < 0:
                break
            node = -1
            if name_size >= _PREFIX_BYTES and is_name(data, name, _PREFIX_BYTES, _PREFIX_HEADER):
                rest = name_size - _PREFIX_BYTES
                node = int(child(slots, nodes, keys, ROOT, data, name + _PREFIX_BYTES, rest))
            elif is_name(data, name, name_size, _CONTENT_TYPE_HEADER):
                node = media_type
            if node >= 0 and node != barred[0] and node != barred[1]:
                kind[i, node] = STRING if size >= 0 else NULL
                span[i, node, 0] = at + shift
                span[i, node, 1] = max(size, 0)
                if size > 0 and not is_text(data, at, at + size):
                    ok[i] = False
            at += max(size, 0)


def is_binary_mode(headers: Sequence[Header]) -> bool:
    """Whether a record with these headers is a CloudEvent in binary mode; as `find_binary`, plainly."""
    last = dict(headers)
    version, media_type = last.get(f"{PREFIX}{SPECVERSION}"), last.get(CONTENT_TYPE) or b""
    is_whole = media_type.lower().startswith(_MEDIA_TYPE.encode())
    return version is not None and isinstance(text_or_bytes(version), str) and not is_whole


def attributes_of(headers: Sequence[Header]) -> dict[str, Any]:
    """The attributes that headers say, null where the header is; those that are no text are bytes."""
    found: dict[str, Any] = {}
    for header, content in headers:
        name = CONTENT_TYPE_ATTRIBUTE if header == CONTENT_TYPE else header.removeprefix(PREFIX)
        if name != header and name not in _NO_ATTRIBUTES:
            found[name] = content if content is None else text_or_bytes(content)
    return found


def text_or_bytes(content: bytes) -> str | bytes:
    """The text that bytes are, else the bytes."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content
