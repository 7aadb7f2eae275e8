"""Decisions and contact rows recomputed under rules about contacts, at the moments of what was published.

What such a decision is depends on when it was made and on those before. Both are known: the first
decision about an event says its time and its model, and it is the one that counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Message

from stream.campaign.file import Campaign
from stream.contacts.contact_layout import OFFSET_BYTES, lay_out_contacts
from stream.contacts.contact_records import HEADER_BYTES, encode_contact_rows
from stream.contacts.contact_table import ContactTable
from stream.state.table import CustomerTable

_NO_CUSTOMER = b"\xff"


class Moment(NamedTuple):
    """When something was decided, epoch milliseconds, and by which model."""

    time_ms: int
    model: str


class Piece(NamedTuple):
    """Records that were decided at one moment, or none of them."""

    moment: Moment
    messages: list[Message]


def moments_of(decisions: Sequence[Message]) -> dict[tuple[str, int], Moment]:
    """By topic and offset of the event, when it was decided first."""
    found: dict[tuple[str, int], Moment] = {}
    for message in decisions:
        told = msgspec.json.decode(message.value() or b"")
        event, time = told["data"]["event"], datetime.fromisoformat(told["time"])
        moment = Moment(round(time.timestamp() * 1000), told["data"]["model"])
        found.setdefault((event["topic"], event["offset"]), moment)
    return found


def pieces(
    topic: str,
    messages: Sequence[Message],
    moments: Mapping[tuple[str, int], Moment],
    begin: Moment,
) -> Iterator[Piece]:
    """The records of a topic, cut where the moment changes; those that nothing was decided about stay."""
    piece = Piece(begin, [])
    for message in messages:
        moment = moments.get((topic, message.offset() or 0), piece.moment)
        if moment != piece.moment:
            if piece.messages:
                yield piece
            piece = Piece(moment, [])
        piece.messages.append(message)
    if piece.messages:
        yield piece


def recomputed_rows(customers: CustomerTable, contacts: ContactTable) -> dict[bytes, bytes]:
    """The contact rows by customer, as their changelog has them."""
    contacts.fit(customers.rows)
    rows = np.flatnonzero(contacts.next_offset.any(axis=1))
    if not len(rows):
        return {}
    values = encode_contact_rows(contacts, rows)
    return {customers.key(row): values[i] or b"" for i, row in enumerate(rows.tolist())}


def written_rows(campaign: Campaign, log: Sequence[Message]) -> dict[bytes, bytes]:
    """What a restore finds in the contact changelog: of two rows the one that has seen more."""
    topics = len(lay_out_contacts(campaign).topics)
    seen = slice(HEADER_BYTES, HEADER_BYTES + OFFSET_BYTES * topics)
    rows: dict[bytes, bytes] = {}
    for message in log:
        key, value = message.key() or b"", message.value()
        if key.startswith(_NO_CUSTOMER):
            continue
        if value is None:
            rows.pop(key, None)
            continue
        before = rows.get(key)
        offsets = np.frombuffer(value[seen], np.int64)
        if before is None or not (offsets < np.frombuffer(before[seen], np.int64)).any():
            rows[key] = value
    return rows
