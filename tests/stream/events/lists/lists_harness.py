"""Decoders of a campaign that looks into lists, and events with such lists."""

from __future__ import annotations

from typing import Any

from stream.campaign.file import EventMapping
from stream.columns import CategoryColumn
from stream.compiled.category_hash import category_hash
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from tests.stream.events.events_harness import NOW_MS, TYPES, chunk_of

NUMBERS = (
    "properties.products[].price", "properties.products[]", "properties.value",
    "properties.products[].sizes[].n", "properties.products[].sizes[]", "items[].a.b",
)  # fmt: skip
SINGLE = ("properties.currency",)
LISTS = ("properties.products[].category", "properties.tags[]", "properties.products[].sizes[].c")
HATS, SHOES = category_hash(b"hats"), category_hash(b"shoes")
COLUMNS = tuple(
    column
    for path in LISTS
    for column in (
        CategoryColumn(path, "mask"),
        CategoryColumn(path, "counts", buckets=11, first_bucket=8),
        CategoryColumn(path, "counts", buckets=11),
        CategoryColumn(path, "chosen", values=(HATS, SHOES)),
    )
)


def decoder(**mapping: Any) -> EventDecoder:
    return EventDecoder(EventMapping(**mapping), TYPES, NUMBERS, SINGLE, columns=COLUMNS)


DECODER, STRICT, CLOSED = decoder(), decoder(strict=True), decoder(cloudevents=False)


def event(text: str) -> str:
    return f'{{"userId":"u","type":"view","timestamp":1760000000,{text}}}'


def decoded(*texts: str, by: EventDecoder = DECODER) -> Decoded:
    return by.decode(chunk_of([text.encode() for text in texts], NOW_MS), NOW_MS)
