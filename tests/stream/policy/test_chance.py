"""Draws and hold-outs: what they are made of, how often what is taken, and that nothing else matters."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stream.campaign.file import Campaign, FeatureSpec, StrategySpec
from stream.campaign.funnel_sections import ExplorationSpec, HoldoutSpec
from stream.campaign.topics_section import AnewSpec, Topics
from stream.columns import EventBatch, Int64s, RecordChunk, Spans
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline
from stream.policy.chances import round_shares
from stream.policy.choice import Policy
from stream.policy.decision import CERTAIN, NOTHING
from stream.policy.draws import Chance
from stream.policy.holdout import compile_holdouts, held_out
from stream.scoring.no_model import NoModel
from stream.state.table import CustomerTable
from tests.stream.compiled.test_keyed_hash import siphash
from tests.stream.policy.test_funnel import campaign_of

DECISIONS = 1_000_000
P_MIN = 0.001
NOW_MS = 1_770_000_000_000


def service(**sections: Any) -> Campaign:
    strategies = [StrategySpec(id=name, value=2.0, cost=0.1) for name in ("a", "b", "c")]
    return campaign_of(strategies, **sections)


def events(offsets: Int64s, customers: Spans) -> EventBatch:
    n = len(offsets)
    none = Spans.of([None] * n)
    return EventBatch(
        np.arange(n), offsets, offsets, offsets, customers, none, np.zeros(n, np.uint64),
        np.zeros(n, np.int16), np.empty((0, n)), np.empty((0, n), np.uint64),
        np.ones((1, n), np.int8), np.zeros(n, np.bool_), np.full(n, -1, np.int32), np.ones(n, np.bool_),
    )  # fmt: skip


def draws(campaign: Campaign, topic: str, partition: int, offsets: Int64s) -> Int64s:
    batch = events(offsets, Spans.of([b"c"]).take(np.zeros(len(offsets), np.int64)))
    raw = np.empty((len(offsets), 0))
    return Chance(campaign, topic).ask(partition, batch, np.arange(len(offsets)), raw).draw


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["epsilon", "softmax", "inverse_gap"])
def test_each_is_taken_as_often_as_its_probability_says(method: Any, seed: int) -> None:
    campaign = service(exploration=ExplorationSpec(method=method, salt=str(seed)))
    policy = Policy(campaign, "response", ["a", "b", "c", NOTHING])
    kinds = np.array(
        [[0.3, 0.2, 0.25, 0.1], [0.1, 0.1, 0.4, 0.3], [0.2, 0.9, 0.9, 0.0]], np.float32
    )
    which = np.arange(DECISIONS) % len(kinds)
    batch = events(np.arange(DECISIONS), Spans.of([b"c"]).take(np.zeros(DECISIONS, np.int64)))
    asked = Chance(campaign, "e").ask(0, batch, batch.record, np.empty((DECISIONS, 0)))
    decisions = policy.choose(
        kinds[which], np.ones((DECISIONS, 3), np.bool_), np.ones((1, DECISIONS), np.int8),
        np.zeros((0, DECISIONS), np.bool_), asked,
    )  # fmt: skip
    assert (decisions.chances.sum(axis=1) == CERTAIN).all()
    for kind in range(len(kinds)):
        taken = decisions.strategy[which == kind]
        expected = decisions.chances[kind] / CERTAIN * len(taken)
        got = np.bincount(taken, minlength=4)
        assert stats.chisquare(got[expected > 0], expected[expected > 0]).pvalue > P_MIN
        assert not got[expected == 0].any()


def test_draws_of_neighbours_have_nothing_to_do_with_each_other() -> None:
    campaign = service(exploration=ExplorationSpec(method="epsilon"))
    first = draws(campaign, "e", 0, np.arange(200_000)) >> 28
    for other in (
        np.roll(first, 1),
        draws(campaign, "e", 1, np.arange(200_000)) >> 28,
        draws(campaign, "other", 0, np.arange(200_000)) >> 28,
    ):
        table = np.bincount(first * 16 + other, minlength=256).reshape(16, 16)
        assert stats.chi2_contingency(table).pvalue > P_MIN


def test_a_draw_is_the_hash_of_all_that_names_the_event() -> None:
    """Each of topic, epoch, partition, offset, version and salt matters; nothing else does."""
    base = service(exploration=ExplorationSpec(method="epsilon"))
    anew = Topics(events=("e",), anew=(AnewSpec(topic="e", epoch=1),))
    policy = msgspec.structs.replace(base.policy, version="2")
    salted = ExplorationSpec(method="epsilon", salt="s")
    of = [
        draws(base, "e", 0, np.array([5])), draws(base, "f", 0, np.array([5])),
        draws(base, "e", 1, np.array([5])), draws(base, "e", 0, np.array([6])),
        draws(msgspec.structs.replace(base, topics=anew), "e", 0, np.array([5])),
        draws(msgspec.structs.replace(base, policy=policy), "e", 0, np.array([5])),
        draws(msgspec.structs.replace(base, exploration=salted), "e", 0, np.array([5])),
    ]  # fmt: skip
    assert len({int(draw[0]) for draw in of}) == len(of)
    assert draws(base, "e", 0, np.array([4, 5, 6]))[1] == of[0][0]


def test_a_draw_stays_what_it_was_for_ever() -> None:
    """Published decisions rest on it: another one would be another decision about the same event."""
    base = service(exploration=ExplorationSpec(method="epsilon", salt="zoë"))
    said = "4:1:1:1:4:" + "draw" + "e" + "0" + "1" + "zoë"
    secret = hashlib.blake2b(said.encode(), digest_size=16).digest()
    place = b"".join(word.to_bytes(8, "little") for word in (3, 4711, 0))
    draw = int(draws(base, "e", 3, np.array([4711]))[0])
    assert draw == siphash(secret, place, 1, 3) >> 32 == 1310858544


CUSTOMERS = Spans.of([b"customer-%d" % i for i in range(200_000)])


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.99])
def test_a_hold_out_has_its_share_of_the_customers(share: float) -> None:
    spec = HoldoutSpec(id="h", share=share)
    held = int((held_out(compile_holdouts(service(holdouts=(spec,))), CUSTOMERS) != 0).sum())
    assert stats.binomtest(held, len(CUSTOMERS), share).pvalue > P_MIN


def test_hold_outs_of_one_salt_are_nested_and_of_two_independent() -> None:
    specs = (
        HoldoutSpec(id="small", share=0.1, salt="s"), HoldoutSpec(id="large", share=0.3, salt="s"),
        HoldoutSpec(id="other", share=0.2), HoldoutSpec(id="rotated", share=0.1, salt="s2"),
    )  # fmt: skip
    bits = held_out(compile_holdouts(service(holdouts=specs)), CUSTOMERS)
    small, large, other, rotated = ((bits >> h & 1).astype(bool) for h in range(4))
    assert not (small & ~large).any()
    for one, two in ((small, other), (large, other), (small, rotated)):
        table = np.bincount(one * 2 + two, minlength=4).reshape(2, 2)
        assert stats.chi2_contingency(table).pvalue > P_MIN


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda s: sum(s) > 1e-6))
def test_shares_are_rounded_to_whole_numbers_that_sum_exactly(weights: list[float]) -> None:
    share = np.array(weights) / sum(weights)
    exact = share * CERTAIN
    chance = np.empty(len(share), np.int64)
    round_shares(share.copy(), chance)
    assert chance.sum() == CERTAIN
    assert (np.abs(chance - exact) <= 1).all()
    assert (chance[exact == 0] == 0).all()


def test_decisions_do_not_depend_on_how_events_are_cut_into_chunks() -> None:
    campaign = service(
        exploration=ExplorationSpec(method="epsilon", without_model=0.8),
        holdouts=(HoldoutSpec(id="every", share=0.3),),
    )
    campaign = msgspec.structs.replace(
        campaign, features=(FeatureSpec(op="count", half_lives=("1d",)),)
    )
    plan = compile_features(campaign)
    scorer = NoModel(plan.contract)
    deployment = Deployment(scorer, Policy.without_model(campaign))
    values = [json.dumps({"userId": f"u{i % 40}", "type": "view"}).encode() for i in range(300)]
    seen = []
    for size in (300, 7, 1):
        pipeline, table, got = Pipeline(campaign, plan), CustomerTable(plan.row_words), []
        for at in range(0, 300, size):
            part = Spans.of(values[at : at + size])
            n = len(part)
            chunk = RecordChunk(
                "e", 0, np.arange(at, at + n), np.full(n, NOW_MS), part, part, at + n
            )
            decoded, refused = pipeline.read(chunk, silent_until=0, now_ms=NOW_MS)
            rows = table.rows_for(decoded.batch.customer)
            applied = pipeline.apply("e", decoded.batch, rows, table, deployment)
            question = pipeline.ask(deployment, chunk, decoded, applied, 0)
            answer = pipeline.deciding.answer(deployment.policy, question)
            decided, _ = pipeline.decided(chunk, decoded, applied, question, answer, 0, refused)
            got.append(decided.decisions)
        columns = {
            name: np.concatenate([getattr(one, name) for one in got])
            for name in (
                "strategy",
                "chances",
                "explored",
                "held_out",
                "ghost",
                "reason",
                "dropped",
            )
        }
        seen.append({name: column.tobytes() for name, column in columns.items()})
        assert len(set(columns["strategy"].tolist())) == 4
    assert seen[0] == seen[1] == seen[2]
