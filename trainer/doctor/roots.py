"""The events that a record seems to hold, as what paths begin at: with its headers, and each element of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stream.campaign.field_path import is_header
from stream.campaign.file import EventMapping
from stream.events.cloudevents.attributes import attributes_of, is_binary_mode, text_or_bytes
from stream.events.paths import DATA, batch_paths
from stream.events.present import HeadedRecord, Layers, Root, is_envelope, value_at
from stream.kafka.headers import Header


def roots_of(
    mapping: EventMapping, value: dict[str, Any] | None, headers: Sequence[Header]
) -> list[Root]:
    """The events of a record, read as they would be if nothing were wrong with them.

    Args:
        mapping: Where they stand in the record.
        value: Its value as an object, None when it is none.
        headers: Its headers.
    """
    if value is None:
        return []
    said = {name: text_or_bytes(content) for name, content in headers if content is not None}
    whole = value
    if mapping.cloudevents and is_binary_mode(headers):
        whole = {**attributes_of(headers), DATA: value}
    record = HeadedRecord(whole, said)
    is_enveloped = mapping.cloudevents and is_envelope(record)
    for path in batch_paths(mapping)[is_enveloped]:
        elements = value_at(record, path)
        if isinstance(elements, list):
            own = frozenset((*mapping.event_id, *(f"{DATA}.{one}" for one in mapping.event_id)))
            is_below = is_enveloped and path.startswith(f"{DATA}.")
            return [Layers(e, record, is_below, own) for e in elements if isinstance(e, dict)]
    return [record]


def at(root: Root, path: str) -> Any:
    """What stands at a path of an event, bare or within the `data` of a CloudEvent; None for nothing."""
    inside = (f"{DATA}.{path}",) if is_envelope(root) and not is_header(path) else ()
    found = (value_at(root, one) for one in (*inside, path))
    return next((value for value in found if value is not None and value != ""), None)


def body_of(root: Root) -> Mapping[str, Any]:
    """What of an event is its own: of an element no more than the element."""
    return root.element if isinstance(root, Layers) else root
