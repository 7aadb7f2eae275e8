"""Records of engines and event hubs with the mapping that docs/events.md gives for each of them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.campaign.file import EventMapping
from stream.events.decoder import EventDecoder
from tests.stream.events.events_harness import NOW_MS, chunk_of

DOCS = Path(__file__).parents[3] / "docs/events.md"
AT_S = NOW_MS // 1000 - 60
AT_TEXT = "2025-10-09 08:52:20 +00:00"

SENT: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]]]] = {
    "Customer.io": (
        {"event_id": "01E4", "object_type": "email", "metric": "unsubscribed", "timestamp": AT_S,
         "data": {"identifiers": {"id": "u-1", "email": "a@b.test"}, "customer_id": "u-1"}},
        [(b"u-1", "unsubscribed", b"01E4", -1)],
    ),
    "Iterable": (
        {"email": "a@b.test", "userId": "u-1", "eventName": "emailUnSubscribe",
         "dataFields": {"createdAt": AT_TEXT, "messageId": "m-1", "campaignId": 7}},
        [(b"u-1", "emailUnSubscribe", None, -1)],
    ),
    "Braze Currents": (
        {"events": [
            {"event_type": "users.messages.email.Unsubscribe", "id": "b-1", "time": AT_S,
             "user": {"user_id": "5f", "external_user_id": "u-1"}, "properties": {"timezone": "UTC"}},
            {"event_type": "users.behaviors.Purchase", "id": "b-2", "time": AT_S, "user": {"user_id": "5f"}},
        ]},
        [(b"u-1", "users.messages.email.Unsubscribe", b"b-1", -1), (b"5f", "users.behaviors.Purchase", b"b-2", -1)],
    ),
    "mParticle": (
        {"mpid": "77", "user_identities": {"customer_id": "u-1"},
         "consent_state": {"gdpr": {"marketing": {"consented": False}}},
         "events": [{"event_type": "custom_event", "data": {
             "event_name": "Order Completed", "event_id": 12, "timestamp_unixtime_ms": 1000 * AT_S}}]},
        [(b"u-1", "Order Completed", None, 0)],
    ),
}  # fmt: skip


def mapping_of(sender: str) -> EventMapping:
    """What the page says."""
    (block,) = re.findall(
        rf"```toml\n(\[events\] +# {re.escape(sender)}.*?)```", DOCS.read_text(), re.DOTALL
    )
    return msgspec.convert(tomllib.loads(block)["events"], EventMapping)


@pytest.mark.parametrize("sender", SENT)
def test_what_senders_write_is_read_by_their_mapping(sender: str) -> None:
    record, expected = SENT[sender]
    types = [kind for _, kind, *_ in expected]
    decoder = EventDecoder(mapping_of(sender), types, [], [])
    decoded = decoder.decode(chunk_of([json.dumps(record).encode()], NOW_MS), NOW_MS)
    batch = decoded.batch
    assert not decoded.rejects
    assert not decoded.flaws.by_path()
    assert batch.time_ms.tolist() == [1000 * AT_S] * len(expected)
    assert [
        (batch.customer[k], types[batch.type_code[k]], batch.event_id[k], int(batch.consent[0, k]))
        for k in range(len(batch))
    ] == expected
