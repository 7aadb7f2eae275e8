"""What is kept of an event until it is replayed."""

from __future__ import annotations

import numpy as np

from stream.columns import EventBatch, Int64s, Spans
from stream.features.plan import FeaturePlan
from trainer.replay.actions import Records


def event_dtype(plan: FeaturePlan) -> np.dtype[np.void]:
    """The columns of `EventBatch` that features are made of, the place of an event, and what it empties."""
    empties = [("emptied", "<i4")] if plan.layout.emptied_by else []
    return np.dtype(
        [("offset", "<i8"), ("time_ms", "<i8"), ("seen_ms", "<i8"), ("event_hash", "<u8"),
         ("row", "<i4"), ("type_code", "<i2"), *empties,
         ("topic", "i1"), ("number", "<f8", (len(plan.number_paths),)),
         ("category", "<u8", (plan.category_rows,))]
    )  # fmt: skip


def kept_events(
    batch: EventBatch, index: Int64s, topic: int, dtype: np.dtype[np.void]
) -> tuple[Spans, Records]:
    """Some events of a topic as records without row and place, and the customer of each."""
    records = np.empty(len(index), dtype)
    records["topic"] = topic
    for name in ("offset", "time_ms", "event_hash", "type_code"):
        records[name] = getattr(batch, name)[index]
    records["number"] = batch.number.T[index]
    records["category"] = batch.category.T[index]
    return batch.customer.take(index), records


def column(records: Records, name: str) -> Int64s:
    """A column of records. Shape (n,), int64."""
    return np.ascontiguousarray(records[name], np.int64)
