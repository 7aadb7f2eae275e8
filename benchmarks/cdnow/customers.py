"""The customers of CDNOW: their first 39 weeks as features, whether they bought in the next 39.

The purchases become events, and these go through the decoder and the feature kernel of the worker.

Rules of this file
1. What a feature sees ends with the calibration period; what it is to predict begins after it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from stream.campaign.file import Campaign, load
from stream.codecs import event_decoder
from stream.columns import Bools, Float64s, RecordChunk, Spans
from stream.features.plan import FeaturePlan, apply_raw, compile_features
from stream.state.table import CustomerTable

CAMPAIGN = Path(__file__).parent / "opportune.toml"
CALIBRATION_END = date(1997, 9, 30)
"""Of 39 weeks; the other 39 end with the data, on 1998-06-30."""
_ENDED = f"{CALIBRATION_END}T23:59:59Z"


@dataclass(frozen=True, slots=True, eq=False)
class Customers:
    """n customers at the end of the calibration period.

    Attributes:
        campaign: The campaign file.
        plan: Its compiled features.
        ids: Their ids, rising.
        features: Neither transformed nor normalized. Shape (n, F), float64.
        bought_again: Whether they bought later. Shape (n,), bool.
    """

    campaign: Campaign
    plan: FeaturePlan
    ids: tuple[str, ...]
    features: Float64s
    bought_again: Bools

    def __len__(self) -> int:
        return len(self.ids)


def read_purchases(path: Path) -> pd.DataFrame:
    """The purchases of a CDNOW file: customer_id, date, number_of_cds, dollar_value."""
    return pd.read_csv(path, dtype={"customer_id": str}, parse_dates=["date"])


def customers(purchases: pd.DataFrame) -> Customers:
    """What is known of each customer, and what came of it."""
    campaign = load(CAMPAIGN)
    plan = compile_features(campaign)
    ids = tuple(sorted(purchases.customer_id.unique()))
    known = purchases.date <= pd.Timestamp(CALIBRATION_END)
    chunk = _chunk(campaign, purchases[known].sort_values("date", kind="stable"), ids)
    later = set(purchases.customer_id[~known])
    return Customers(
        campaign=campaign,
        plan=plan,
        ids=ids,
        features=_features(campaign, plan, chunk)[-len(ids) :],
        bought_again=np.array([customer in later for customer in ids]),
    )


def _chunk(campaign: Campaign, known: pd.DataFrame, ids: tuple[str, ...]) -> RecordChunk:
    """Every purchase, and then of each customer the event that asks for a decision."""
    columns = zip(
        known.customer_id, known.date.dt.strftime("%Y-%m-%dT00:00:00Z"),
        known.dollar_value.tolist(), known.number_of_cds.tolist(), strict=True,
    )  # fmt: skip
    records = [
        _record(customer, "Order Completed", time, {"revenue": revenue, "cds": cds})
        for customer, time, revenue, cds in columns
    ]
    records += [_record(customer, campaign.decisions.on[0], _ENDED, {}) for customer in ids]
    keys, values = zip(*records, strict=True)
    n = len(records)
    received_ms = int(pd.Timestamp(_ENDED).timestamp() * 1000)
    return RecordChunk(
        topic=campaign.topics.events[0],
        partition=0,
        offset=np.arange(n),
        timestamp_ms=np.full(n, received_ms),
        key=Spans.of(keys),
        value=Spans.of(values),
        next_offset=n,
    )


def _record(
    customer: str, event: str, time: str, properties: dict[str, float]
) -> tuple[bytes, bytes]:
    """Key and value."""
    track = {"type": "track", "event": event, "userId": customer, "timestamp": time}
    return customer.encode(), json.dumps({**track, "properties": properties}).encode()


def _features(campaign: Campaign, plan: FeaturePlan, chunk: RecordChunk) -> Float64s:
    """The features right after each event. Shape (events, F), float64."""
    decoded = event_decoder(campaign, plan).decode(chunk, int(chunk.timestamp_ms[-1]))
    batch, rejects = decoded.batch, decoded.rejects
    assert not rejects, rejects[0].reason
    table = CustomerTable(1)
    rows = table.rows_for(batch.customer)
    values = np.empty((len(batch), len(plan.names)))
    apply_raw(plan, np.zeros((table.rows, plan.row_words)), rows, batch, 0, values)
    return values
