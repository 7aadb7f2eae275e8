"""The condition `identified`: an e-mail goes to nobody whom only a device is known of."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk, Spans
from stream.errors import CampaignError
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline, Step
from stream.policy.choice import Policy
from stream.policy.eligibility import only_identified
from stream.state.table import CustomerTable
from tests.stream.worker.processor_harness import deployment

NOW_MS = 1_760_000_000_000


def campaign(mail: str, push: str) -> Campaign:
    return parse(f"""
        app = "t"
        topics = {{ events = ["events"], decisions = "out", dead_letter = "dead" }}
        features = [{{ op = "count", events = ["Order Completed"], half_lives = ["1d"] }}]
        strategies = [{{ id = "mail", eligible = {mail} }}, {{ id = "push", eligible = {push} }}]
        policy = {{ do_nothing = false }}
        model = {{ head = "choice", network = "linear" }}
    """)


def decide(of: Campaign, *events: Mapping[str, object]) -> Step:
    plan = compile_features(of)
    values = Spans.of([json.dumps({"type": "view", **event}).encode() for event in events])
    n = len(events)
    chunk = RecordChunk("events", 0, np.arange(n), np.full(n, NOW_MS), values, values, n)
    scorer = deployment().scorer
    return Pipeline(of, plan).step(
        chunk, CustomerTable(plan.row_words),
        Deployment(scorer, Policy(of, scorer.head, scorer.strategies)),
        silent_until=0, now_ms=NOW_MS,
    )  # fmt: skip


def test_a_cart_of_an_anonymous_visitor_gets_no_mail() -> None:
    known, unknown = {"userId": "u-1"}, {"userId": "null", "anonymousId": "device-1"}
    only_mail = campaign('["identified"]', '["order_completed_count_1d > 9"]')
    assert decide(only_mail, known, unknown, known).strategies.tolist() == [2, 0, 1]
    both = campaign('[" identified ", "order_completed_count_1d > 9"]', '["identified"]')
    assert decide(both, known, unknown).strategies.tolist() == [0, 1, 1]
    nobody_asks = campaign('["order_completed_count_1d < 9"]', '["order_completed_count_1d > 9"]')
    assert decide(nobody_asks, known, unknown).strategies.tolist() == [2, 0, 0]


def test_each_strategy_asks_for_itself() -> None:
    allowed = np.array([[True, True], [True, True], [False, True]])
    got = only_identified(allowed, np.array([True, False, True]), np.array([True, False]))
    assert got.tolist() == [[True, True], [False, True], [False, True]]


def test_a_slip_in_the_word_is_refused() -> None:
    with pytest.raises(CampaignError, match=r'such as "purchase_count_30d >= 1".*or identified'):
        compile_features(campaign('["identifed"]', "[]"))
