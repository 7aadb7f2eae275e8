"""Decisions as JSON, one message from Python objects: the slow twin of the encoder."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from stream.campaign.file import Campaign
from stream.columns import EventBatch
from stream.decisions.encoder import DATA_SCHEMA, EVENT_TYPE
from stream.policy.decision import CERTAIN, DecisionBatch, Dropped, Reason
from stream.policy.stages import stage_of

VERSIONS: dict[str, Any] = {
    "partition": 3, "model_version": "2026-11-23T02-00-00Z", "contract_digest": "9f2c41d07ab3e655",
}  # fmt: skip


def number(value: float) -> str:
    return format(value, ".6f") if math.isfinite(value) else "null"


def iso(epoch_ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(epoch_ms))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Verbatim(str):
    """JSON that stands already."""

    __slots__ = ()


def dumps(value: Any) -> str:
    if isinstance(value, Verbatim):
        return value
    if isinstance(value, dict):
        return "{" + ",".join(f"{dumps(k)}:{dumps(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def plain_chance(service: Campaign, d: DecisionBatch, i: int) -> dict[str, Any]:
    """What decisions say when chance has a part in them."""
    if not d.chances.shape[1]:
        return {}
    names = [*(s.id for s in service.strategies), "nothing"]
    exact = Fraction(int(d.chances[i, d.strategy[i]]), CERTAIN) * 10**10
    tenths = math.floor(exact + Fraction(1, 2))
    return {
        "action_probability": Verbatim(f"{tenths // 10**10}.{tenths % 10**10:010d}"),
        "explored": bool(d.explored[i]),
        "group": "holdout" if d.held_out[i] else "treatment",
        "holdouts": [h.id for b, h in enumerate(service.holdouts) if d.held_out[i] >> b & 1],
        "ghost": None if d.ghost[i] < 0 else names[d.ghost[i]],
        "probabilities": {
            name: int(chance) for name, chance in zip(names, d.chances[i], strict=True) if chance
        },
    }


def plain_drops(service: Campaign, d: DecisionBatch, i: int) -> list[dict[str, str]]:
    return [
        {"strategy": s.id, "code": Dropped(code).name}
        | ({"stage": stage_of(Dropped(code))} if d.chances.shape[1] else {})
        for s, code in zip(service.strategies, d.dropped[i], strict=True)
        if code != Dropped.CHOSEN
    ]


def plain_cloudevent(service: Campaign, batch: EventBatch, row: int, d: DecisionBatch, i: int,
                     decided_ms: int) -> str:  # fmt: skip
    customer = (batch.customer[row] or b"").decode()
    event_id = batch.event_id[row]
    reference = f"shop-events-3-{batch.offset[row]}"
    spec = service.strategies[d.strategy[i]] if d.strategy[i] < 3 else None
    chance = plain_chance(service, d, i)
    return dumps({
        "specversion": "1.0",
        "id": f"{reference}-2026-11",
        "source": "/opportune/shop",
        "type": EVENT_TYPE,
        "subject": customer,
        "partitionkey": customer,
        "time": iso(decided_ms),
        "expirytime": iso(batch.time_ms[row] + 3_600_000),
        "causationid": reference if event_id is None else event_id.decode(),
        "datacontenttype": "application/json",
        "dataschema": DATA_SCHEMA,
        "data": {
            "external_id": customer,
            "decision": "act" if spec else "nothing",
            "action": {
                "strategy": spec.id if spec else "nothing",
                "channel": (spec.channel or None) if spec else None,
                "campaign_id": (spec.campaign_id or None) if spec else None,
                "properties": spec.properties if spec else {},
            },
            "score": Verbatim(number(d.score[i])),
            "expected_value": Verbatim(number(d.expected_value[i])),
            "probability": Verbatim(number(d.probability[i])),
            "probability_without": Verbatim(number(d.probability_without[i])),
            "action_probability": Verbatim(number(d.action_probability[i])),
            "explored": False,
            "group": "treatment",
            **chance,
            "reasons": [Reason(d.reason[i]).name],
            "dropped": plain_drops(service, d, i),
            "event": {
                "topic": "shop-events", "partition": 3, "offset": int(batch.offset[row]),
                "time": iso(batch.time_ms[row]),
            },
            "model": VERSIONS["model_version"],
            "policy": "2026-11",
            "feature_contract": VERSIONS["contract_digest"],
        },
    })  # fmt: skip


def plain_flat(service: Campaign, batch: EventBatch, row: int, d: DecisionBatch, i: int,
               decided_ms: int) -> str:  # fmt: skip
    event_id = batch.event_id[row]
    name = None if event_id is None else event_id.decode()
    return dumps({
        "decision_id": f"shop-events-3-{batch.offset[row]}-2026-11" if name is None else name,
        "customer_id": (batch.customer[row] or b"").decode(),
        "event_id": name,
        "strategy": [*(s.id for s in service.strategies), "nothing"][d.strategy[i]],
        "score": Verbatim(number(d.score[i])),
        "model": VERSIONS["model_version"],
        "decided_at": decided_ms,
        **plain_chance(service, d, i),
    })  # fmt: skip
