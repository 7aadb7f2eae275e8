"""What a plan holds: conditions as arrays, digests, the order of words, the contract."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from models.contract import FeatureContract
from stream.campaign.file import parse
from stream.errors import CampaignError
from stream.features import kernel
from stream.features.plan import compile_features
from stream.policy.conditions import COMPARISONS
from tests.stream.features.expansion_harness import COUNT, compiled, entry


def test_conditions_are_arrays_over_the_raw_features() -> None:
    plan = compiled(
        entry("tenure") + COUNT + entry("last", 'property = "v"'),
        '"v_last != -1.5e2", "purchase_count_30d>=1", " v_last < 3 "',
    )
    assert plan.raw_columns.tolist() == [1, 2]  # behind them: whether the last is missing
    assert plan.condition_strategy.tolist() == [1, 1, 1]
    assert plan.condition_column.tolist() == [1, 0, 1]
    assert [COMPARISONS[op] for op in plan.condition_op] == ["!=", ">=", "<"]
    assert plan.condition_number.tolist() == [-150.0, 1.0, 3.0]
    assert plan.raw_columns.dtype == plan.condition_op.dtype == np.int64


def test_no_condition_is_no_raw_feature() -> None:
    plan = compiled(COUNT)
    assert len(plan.raw_columns) == len(plan.condition_strategy) == 0
    assert plan.raw_columns.dtype == np.int64


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("purchase_count_3d >= 1", 'got "purchase_count_3d"; the closest are purchase_count_30d'),
        ("purchase_count_30d", "expected a feature, one of < <= > >= == != and a number"),
        ("purchase_count_30d >= many", "and a number, such as"),
        ("purchase_count_30d >= nan", "and a number, such as"),
        ("purchase_count_30d = 1", "and a number, such as"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused(condition: str, message: str) -> None:
    with pytest.raises(CampaignError, match=re.escape(message)) as caught:
        compiled(COUNT, f'"{condition}"')
    assert str(caught.value).startswith("at strategies[1].eligible[0]: ")


@pytest.mark.parametrize(
    ("features", "same_row", "same_contract"),
    [
        (COUNT, True, True),
        (COUNT + 'transform = "none"', True, False),
        (COUNT + 'name = "bought"', True, False),
        (COUNT + entry("time_of_day"), True, False),
        (COUNT.replace("30d", "29d"), False, False),
        (COUNT.replace("purchase", "buy"), False, False),
        (COUNT + entry("recency", 'events = ["purchase"]'), False, False),
    ],
)
def test_digests_change_with_what_they_stand_for(
    features: str, same_row: bool, same_contract: bool
) -> None:
    before, after = compiled(COUNT), compiled(features)
    assert (before.layout_digest == after.layout_digest) == same_row
    assert (before.contract.digest == after.contract.digest) == same_contract


def test_caps_change_the_contract_and_not_the_row() -> None:
    plans = [compiled(entry("recency", f'events = ["buy"]\ncap = "{cap}"')) for cap in ("1d", "2d")]
    assert plans[0].layout_digest == plans[1].layout_digest
    assert plans[0].definition != plans[1].definition


def test_topics_belong_to_the_row() -> None:
    text = f'app = "test"\nstrategies = [{{id = "s"}}]\ntopics.events = %s\n{COUNT}'
    plans = [
        compile_features(parse(text % topics))
        for topics in ('["a", "b"]', '["b", "a"]', '["a"]')
    ]  # fmt: skip
    assert len({plan.layout_digest for plan in plans}) == 3
    assert plans[2].layout.ring == plans[2].offset_words.stop + 1 + 1


def test_words_that_decay_together_are_neighbours() -> None:
    plan = compiled(
        entry("recency", 'events = ["a", "b"]')
        + entry("share", 'property = "c"\nhalf_lives = ["1d", "1h"]\nbuckets = 2')
        + entry("count", 'events = ["a", "b"]\nhalf_lives = ["1h", "24h"]')
    )
    start = plan.offset_words.stop + 1  # after the consent to the general purpose
    assert plan.tables.half_lives_ms.tolist() == [3_600_000, 86_400_000]
    assert plan.tables.decays_start.tolist() == [start, start + 4, start + 8]
    assert plan.layout.ring == start + 8 + 2


def test_the_contract_is_the_definition() -> None:
    plan = compiled(COUNT)
    assert plan.contract == FeatureContract(plan.names, plan.definition, kernel.VERSION)
    assert json.loads(plan.definition) == [
        {
            "op": "count",
            "names": ["purchase_count_30d"],
            "events": ["purchase"],
            "half_life_ms": 2_592_000_000,
            "transform": "log1p",
        }
    ]
