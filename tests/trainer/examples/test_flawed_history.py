"""A history with values that cannot be read: the orders stay, and whoever trains is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream.campaign.file import Campaign
from stream.columns import RecordChunk, Spans
from tests.trainer.examples.dataset_harness import built
from tests.trainer.shop_history import START_MS, chunks, shop
from trainer.errors import TrainingError


def rewritten(records: list[RecordChunk], old: bytes, new: bytes) -> list[RecordChunk]:
    """The same records with other values."""
    return [
        replace(
            chunk,
            value=Spans.of([(chunk.value[i] or b"").replace(old, new) for i in range(len(chunk))]),
        )
        for chunk in records
    ]


def test_an_order_whose_money_cannot_be_read_is_an_order(
    campaign: Campaign, caplog: pytest.LogCaptureFixture
) -> None:
    records = chunks(shop(60, seed=3))
    whole = built(campaign, records)
    assert whole.notices == ()
    flawed = built(campaign, rewritten(records, b'"revenue": 200.0', b'"revenue": "$200"'))
    assert (flawed.events, flawed.customers) == (whole.events, whole.customers)
    assert np.array_equal(flawed.outcome, whole.outcome)
    assert np.array_equal(flawed.time_ms, whole.time_ms)
    (notice,) = flawed.notices
    assert notice.endswith(
        "values of properties.revenue could not be read and are missing: "
        "expected a number at properties.revenue, got '$200'"
    )
    assert notice in caplog.messages


def test_a_property_that_never_came_and_clocks_that_were_ahead_are_told(
    campaign: Campaign,
) -> None:
    records = rewritten(chunks(shop(150, seed=3)), b'"category"', b'"categroy"')
    (notice,) = built(campaign, records).notices
    assert notice.startswith("properties.category never came in ")
    early = [replace(chunk, timestamp_ms=np.full(len(chunk), START_MS)) for chunk in records]
    with pytest.raises(TrainingError, match=r"\. [0-9,]+ events said a time after that of their "):
        built(campaign, early)
