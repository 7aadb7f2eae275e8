"""A property that never comes is told, once enough events came that should have had it."""

from __future__ import annotations

import numpy as np
import pytest

from stream.campaign.file import parse
from stream.features.plan import compile_features
from stream.features.silence import EVENTS_MIN, Silence

CAMPAIGN = parse("""
    app = "t"
    topics = { events = ["e"], decisions = "d" }
    strategies = [{ id = "mail" }]
    features = [
      { op = "sum", events = ["buy"], property = "value", half_lives = ["1d"] },
      { op = "last", events = ["view", "buy"], property = "price" },
      { op = "share", property = "kind", half_lives = ["1d"], buckets = 2 },
    ]
""")
PLAN = compile_features(CAMPAIGN)


def silence(present: dict[str, int], **types: int) -> dict[str, int]:
    counts = Silence(CAMPAIGN, PLAN)
    paths = (*PLAN.number_paths, *PLAN.category_paths)
    came = np.array([*(present.get(path, 0) for path in paths), 0, 0])
    of_types = np.array([types.get(name, 0) for name in (*PLAN.event_types, "other")])
    counts.add(came * 0, of_types // 2)
    counts.add(came, of_types - of_types // 2)
    return counts.never()


@pytest.mark.parametrize(
    ("present", "types", "never"),
    [
        ({}, {"buy": 999, "other": 5}, {"kind": 1004}),
        ({}, {"buy": 1000}, {"value": 1000, "price": 1000, "kind": 1000}),
        ({}, {"view": 999, "buy": 1}, {"price": 1000, "kind": 1000}),
        ({"price": 1}, {"view": 5000}, {"kind": 5000}),
        ({"price": 1, "kind": 1, "value": 1}, {"buy": 5000}, {}),
    ],
)
def test_only_events_that_should_have_it_count(
    present: dict[str, int], types: dict[str, int], never: dict[str, int]
) -> None:
    assert EVENTS_MIN == 1000
    assert silence(present, **types) == never
