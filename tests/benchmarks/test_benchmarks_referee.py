"""A referee that decides as the definition of the job does, and finds every fault."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.reference.contestants import CAMPAIGN
from benchmarks.reference.input import EVENT_TYPES, generate
from benchmarks.reference.read import Decisions, Events
from benchmarks.reference.verify import compare, decide
from models.contract import Normalization
from stream.campaign import file as campaign_file
from stream.codecs import event_decoder
from stream.columns import RecordChunk, Spans
from stream.features.plan import apply, compile_features
from stream.state.table import CustomerTable
from tests.benchmarks.benchmarks_harness import EVENTS, EXPECTED, MODEL, as_read, decisions_of


def decide_slowly(events: Events) -> Iterator[tuple[list[float], int, float]]:
    """The definition of the job, one number at a time: of each event features, strategy and score."""
    half_lives_s, cap_s = [3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0], 90 * 86400.0
    states: dict[str, dict[str, Any]] = {}
    for i, customer in enumerate(events.customer):
        now = float(events.time_s[i])
        state = states.setdefault(
            customer, {"clock": now, "count": {}, "spend": [0.0] * 4, "last": {}}
        )
        kind = EVENT_TYPES[events.kind[i]]
        decay = [0.5 ** (max(now - state["clock"], 0) / half_life) for half_life in half_lives_s]
        for name in EVENT_TYPES:
            old = state["count"].get(name, [0.0] * 4)
            state["count"][name] = [c * d + (name == kind) for c, d in zip(old, decay, strict=True)]
        spent = events.value[i] if kind == "purchase" else 0.0
        state["spend"] = [s * d + spent for s, d in zip(state["spend"], decay, strict=True)]
        state["clock"] = max(now, state["clock"])
        state["last"][kind] = now
        x = [math.log1p(c) for name in EVENT_TYPES for c in state["count"][name]]
        x += [math.log1p(s) for s in state["spend"]]
        for name in EVENT_TYPES:
            since = now - state["last"][name] if name in state["last"] else cap_s
            x.append(math.log1p(min(since, cap_s)))
        hour = 2 * math.pi * (now / 3600 % 24) / 24
        x += [math.sin(hour), math.cos(hour)]
        z = [(v - m) / s for v, m, s in zip(x, MODEL.mean, MODEL.std, strict=True)]
        hidden = [max(0.0, float(np.dot(z, MODEL.w1[:, j]) + MODEL.b1[j])) for j in range(32)]
        logits = [float(np.dot(hidden, MODEL.w2[:, j]) + MODEL.b2[j]) for j in range(10)]
        best = logits.index(max(logits))
        yield x, best, 1 / sum(math.exp(one - logits[best]) for one in logits)


def test_the_referee_decides_as_the_definition_does() -> None:
    events = as_read(generate(1_500, 60))
    expected = decide(events, MODEL)
    _, strategies, scores = zip(*decide_slowly(events), strict=True)
    assert expected.strategy.tolist() == [*strategies]
    np.testing.assert_allclose(expected.score, scores, rtol=0, atol=1e-12)
    assert len({*strategies}) >= 5, "the job tells strategies apart"


@pytest.mark.slow
def test_the_kernel_computes_the_features_of_the_definition() -> None:
    made, campaign = generate(1_500, 60), campaign_file.load(CAMPAIGN)
    plan, table = compile_features(campaign), CustomerTable(1)
    keys, values = zip(*made.records(), strict=True)
    offset, time_ms = np.arange(len(made)), made.timestamp_ms
    chunk = RecordChunk("e", 0, offset, time_ms, Spans.of(keys), Spans.of(values), len(made))
    batch = event_decoder(campaign, plan).decode(chunk, int(time_ms[-1])).batch
    rows = table.rows_for(batch.customer)
    state = np.zeros((table.rows, plan.row_words))
    applied = apply(plan, state, rows, batch, 0, Normalization.identity(36))
    assert applied.counters.tolist() == [0, 0, 0, 0, 0, 0, 0]
    expected, strategies, _ = zip(*decide_slowly(as_read(made, partitions=1)), strict=True)
    np.testing.assert_allclose(applied.features, expected, rtol=1e-6, atol=1e-6)
    chosen = MODEL.forward(MODEL.normalize(applied.features.astype(np.float64))).argmax(axis=1)
    assert (chosen == strategies).mean() >= 0.999


def test_right_decisions_are_clean() -> None:
    verdict = compare(EVENTS, EXPECTED, decisions_of())
    assert verdict.clean
    assert (verdict.agree, verdict.decisions, verdict.events) == (1.0, 2_000, 2_000)
    assert 0 < verdict.max_score_error < 1e-6


def with_first(array: np.ndarray, count: int, new: Any) -> np.ndarray:
    changed = array.copy()
    changed[:count] = new
    return changed


FAULTS: dict[str, tuple[Callable[[], Decisions], dict[str, Any]]] = {
    "missing": (lambda: decisions_of(list(range(1, 2_000))), {"missing": 1}),
    "duplicate": (lambda: decisions_of([*range(2_000), 7, 7]), {"duplicates": 2}),
    "unknown": (
        lambda: decisions_of([*range(2_000), 0], event=[*EVENTS.id, "nobody's"]),
        {"unknown": 1, "duplicates": 0},
    ),
    "wrong partition": (
        lambda: decisions_of(partition=with_first(EVENTS.partition, 3, 9)),
        {"wrong_partition": 3},
    ),
    "wrong customer": (
        lambda: decisions_of(customer=["somebody else", *EVENTS.customer[1:]]),
        {"wrong_customer": 1},
    ),
    "wrong strategies": (
        lambda: decisions_of(strategy=with_first(EXPECTED.strategy, 3, -1)),
        {"agree": 1 - 3 / 2_000},
    ),
    "wrong score": (
        lambda: decisions_of(score=with_first(EXPECTED.score, 1, EXPECTED.score[0] + 2e-4)),
        {"max_score_error": pytest.approx(2e-4)},
    ),
    "none": (lambda: decisions_of([]), {"missing": 2_000, "agree": 0.0}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_referee_finds_a_planted(fault: str) -> None:
    faulty, found = FAULTS[fault]
    verdict = compare(EVENTS, EXPECTED, faulty())
    assert not verdict.clean
    assert {name: getattr(verdict, name) for name in found} == found
    others = {"missing", "duplicates", "unknown", "wrong_partition", "wrong_customer"} - set(found)
    assert not any(getattr(verdict, name) for name in others)


def test_one_level_decision_in_a_thousand_may_differ() -> None:
    strategy = with_first(EXPECTED.strategy, 2, -1)
    assert compare(EVENTS, EXPECTED, decisions_of(strategy=strategy)).clean


def test_the_last_of_several_decisions_about_an_event_counts() -> None:
    twice = decisions_of([0, *range(2_000)])
    first_wrong = replace(twice, strategy=with_first(twice.strategy, 1, -1))
    assert compare(EVENTS, EXPECTED, first_wrong).agree == 1.0
    last_wrong = replace(twice, strategy=twice.strategy.copy())
    last_wrong.strategy[1] = -1
    assert compare(EVENTS, EXPECTED, last_wrong).agree == 1 - 1 / 2_000
