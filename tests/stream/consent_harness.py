"""A shop whose champion contacts everybody who may be contacted, from record bytes to decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from models.contract import Normalization
from stream.campaign.file import Campaign, load
from stream.columns import Float32s, RecordChunk, Spans
from stream.features.plan import compile_features
from stream.kafka.records import RecordReader
from stream.pipeline import Deployment, Pipeline, Step
from stream.policy.choice import Policy
from stream.scoring.scorer import Scorer
from stream.state.table import CustomerTable

NOW_MS = 1_760_000_000_000
_ids = map("m-{}".format, count())
SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
SEGMENT = Path(__file__).parents[2] / "examples" / "segment" / "opportune.toml"


def segment(**changes: Any) -> Campaign:
    """The example campaign, with some sections changed."""
    return msgspec.structs.replace(load(SEGMENT), **changes)


class Sure:
    """A model that takes every contact for a success."""

    version = "sure"

    def __init__(self, features: int, strategies: int) -> None:
        self.normalization = Normalization.identity(features)
        self._strategies = strategies

    def score(self, x: Float32s) -> Float32s:
        """Shape (n, strategies), float32."""
        return np.full((len(x), self._strategies), 0.9, np.float32)


class Shop:
    """A pipeline with its table; records come in one after the other.

    Args:
        campaign: The campaign.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.plan = compile_features(campaign)
        self.pipeline = Pipeline(campaign, self.plan)
        self.table = CustomerTable(self.plan.row_words)
        ids = [strategy.id for strategy in campaign.strategies]
        model = Sure(len(self.plan.names), len(ids))
        scorer = cast(Scorer, cast(Any, model))
        self._deployment = Deployment(scorer, Policy(campaign, "response", ids))
        self._next = 0

    def take(self, *events: Mapping[str, Any] | bytes, at_ms: int = NOW_MS) -> Step:
        """Takes records of one time as one chunk."""
        return self.take_at([(at_ms, event) for event in events])

    def take_at(self, records: Sequence[tuple[int, Mapping[str, Any] | bytes]]) -> Step:
        """Takes records, each with its time, as one chunk."""
        values = [e if isinstance(e, bytes) else json.dumps(e).encode() for _, e in records]
        n = len(values)
        offset = self._next + np.arange(n)
        self._next += n
        chunk = RecordChunk(
            self.campaign.topics.events[0], 0, offset, np.array([at_ms for at_ms, _ in records]),
            Spans.of([b"u-1"] * n), Spans.of(values), self._next,
        )  # fmt: skip
        return self.pipeline.step(
            chunk, self.table, self._deployment, silent_until=0, now_ms=records[-1][0]
        )

    def decide(self, *events: Mapping[str, Any] | bytes, at_ms: int = NOW_MS) -> list[Any]:
        """The decisions about these records, as they are published."""
        return decisions(self.take(*events, at_ms=at_ms))

    def row(self, customer: bytes = b"u-1") -> dict[str, Any]:
        """What is known of a customer."""
        (row,) = self.table.rows_for(Spans.of([customer])).tolist()
        return self.plan.describe(self.table.state[row])


def decisions(step: Step) -> list[Any]:
    """The decisions of a step."""
    found = []
    for batch in step.decisions:
        raw = bytes(batch.seal(-1, -1, -1))
        for chunk in RecordReader("decisions", 0, raw, 0, 1_000_000):
            found += [json.loads(chunk.value[i] or b"")["data"] for i in range(len(chunk))]
    return found


def added(time_ms: int = NOW_MS, user: str = "u-1", **fields: Any) -> dict[str, Any]:
    """Something is put into a cart, which asks for a decision."""
    return {
        "type": "track", "event": "Product Added", "userId": user, "messageId": next(_ids),
        "timestamp": time_ms, "properties": {"value": 20, "category": "shoes"}, **fields,
    }  # fmt: skip


def identify(said: Any = None, time_ms: Any = NOW_MS, user: str = "u-1", **fields: Any) -> Any:
    """A customer says something at the default path, or elsewhere."""
    traits = {} if said is None else {"traits": {"marketing_consent": said}}
    return {
        "type": "identify", "userId": user, "messageId": next(_ids), "timestamp": time_ms, **traits, **fields
    }  # fmt: skip


def contacted(*records: Any, campaign: Campaign | None = None) -> str:
    """What is decided when something is put into the cart after some records: act, or the reason."""
    shop = Shop(campaign or segment())
    for record in records:
        shop.take(record)
    return outcome(shop)


def outcome(shop: Shop, at_ms: int = NOW_MS) -> str:
    (decision,) = shop.decide(added(at_ms), at_ms=at_ms)
    return "act" if decision["decision"] == "act" else "".join(decision["reasons"])


def dropped(shop: Shop, at_ms: int = NOW_MS) -> dict[str, str]:
    (decision,) = shop.decide(added(at_ms), at_ms=at_ms)
    return {one["strategy"]: one["code"] for one in decision["dropped"]}


def categories(flags: Any) -> Any:
    return identify(context={"consent": {"categoryPreferences": flags}})


def lists(**said: Any) -> Any:
    return identify(context={"consentManagement": said})


def xdm(**channels: Any) -> Any:
    marketing = {channel: {"val": value} for channel, value in channels.items()}
    return identify(consents={"marketing": marketing})
