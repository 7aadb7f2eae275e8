"""Where the event of a decision in the flat form stands, and when the decision expires: in its headers.

    event_log   topic of the event, "topic~epoch" of one that was begun anew; the partition is the
                decision's own
    event       20 bytes, little-endian: offset (int64), index in a batch or -1 (int32), when the
                decision expires, epoch milliseconds (int64)

    policy      version of the policy that decided

and in both forms

    rules       digest of the rules that decided, see `stream.campaign.rules_digest`

Whoever takes a partition finds by them what was decided already; the CloudEvents form says all of it in its
value.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stream.campaign.file import Campaign
from stream.columns import Bytes, EventBatch, Int64s
from stream.kafka.headers import Header
from stream.record_order import ELEMENTS_MAX

EVENT_HEADER, LOG_HEADER, POLICY_HEADER = "event", "event_log", "policy"
RULES_HEADER = "rules"
_PLACE = struct.Struct("<qiq")
_COLUMNS = np.dtype([("offset", "<i8"), ("element", "<i4"), ("expires_ms", "<i8")])


class Place(NamedTuple):
    """An event of a partition, and until when a decision about it may be acted on."""

    offset: int
    element: int
    expires_ms: int


def log_name(campaign: Campaign, topic: str) -> str:
    """A topic in ids and headers: one that was begun anew counts its offsets again, and no id may come twice."""
    epochs = [spec.epoch for spec in campaign.topics.anew if spec.topic == topic]
    return f"{topic}~{epochs[0]}" if epochs else topic  # no topic has a tilde in its name


def log_headers(campaign: Campaign, topic: str) -> list[tuple[str, bytes]]:
    """The headers that all decisions about events of one topic have in the flat form."""
    log, policy = log_name(campaign, topic), campaign.policy.version
    return [(LOG_HEADER, log.encode()), (POLICY_HEADER, policy.encode())]


def write_places(batch: EventBatch, index: Int64s, expires_ms: Int64s) -> Bytes:
    """Content of the header `event` of the decisions about m events. Shape (m, 20), uint8."""
    rows = np.empty(len(index), _COLUMNS)
    rows["offset"], rows["element"] = batch.offset[index], batch.element[index]
    rows["expires_ms"] = expires_ms
    return rows.view(np.uint8).reshape(len(index), _COLUMNS.itemsize)


def read_place(headers: Sequence[Header]) -> tuple[str, Place | None]:
    """The topic and the place that headers say, "" and None where they do not."""
    said = dict(headers)
    log, place = said.get(LOG_HEADER), said.get(EVENT_HEADER)
    if log is None or place is None or len(place) != _PLACE.size:
        return "", None
    found = Place(*_PLACE.unpack(place))
    if found.offset < 0 or not -1 <= found.element <= ELEMENTS_MAX:
        return "", None
    return log.decode("utf-8", "replace"), found
