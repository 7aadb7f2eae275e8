"""Datasets: the examples of a plain loop, and nothing of what comes later in them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contract import Normalization
from stream.campaign.file import Campaign
from stream.features.plan import compile_features
from tests.trainer.examples.dataset_harness import (
    WINDOW_DAYS,
    built,
    changed,
    decision_history,
    values_of,
)
from tests.trainer.shop_history import (
    DAY_MS,
    START_MS,
    TOPICS,
    Event,
    chunk_of,
    chunks,
    histories,
    shards_of,
    shop,
)
from trainer.errors import TrainingError
from trainer.examples.building import build
from trainer.examples.dataset import Dataset, Period
from trainer.examples.moments import fit_normalization
from trainer.examples.values import FileValues

COLUMNS = (
    "rows",
    "strategy",
    "outcome",
    "time_ms",
    "customer",
)


# In plain loops over sorted events.
def slow_examples(events: list[Event]) -> set[tuple[object, ...]]:
    events = sorted(events, key=lambda event: event.time_ms)
    # Outcomes are known as far as their topic goes.
    end = max((e.time_ms for e in events if e.kind == 2), default=events[-1].time_ms)
    window = WINDOW_DAYS * DAY_MS
    found = set()
    for sent in events:
        if sent.kind != 1 or sent.strategy == "fax" or sent.time_ms + window > end:
            continue
        before = [
            event
            for event in events
            if event.kind == 0 and event.customer == sent.customer and event.time_ms < sent.time_ms
        ]
        if before and sent.time_ms - before[-1].time_ms <= window:
            converted = any(
                event.kind == 2
                and event.customer == sent.customer
                and sent.time_ms < event.time_ms <= sent.time_ms + window
                for event in events
            )
            values = slow_features(events, before[-1])
            found.add((sent.strategy, sent.time_ms, converted, *values))
    return found


def slow_features(events: list[Event], decision: Event) -> tuple[float, ...]:
    """Counts, revenue, recency of a send, orders in 7 days, last revenue: as of the decision."""
    now = decision.time_ms
    known = [e for e in events if e.customer == decision.customer and e.time_ms <= now]
    orders = [e for e in known if e.kind == 0]
    counts = [
        sum(0.5 ** ((now - e.time_ms) / (5 * DAY_MS)) for e in known if e.kind == kind)
        for kind in range(3)
    ]
    revenue = sum(e.revenue * 0.5 ** ((now - e.time_ms) / (20 * DAY_MS)) for e in orders)
    sends = [e.time_ms for e in known if e.kind == 1]
    recency_s = min((now - max(sends)) / 1000, 90 * 86_400) if sends else 90 * 86_400
    in_week = sum(e.time_ms // DAY_MS >= now // DAY_MS - 7 for e in orders)
    numbers = (*counts, revenue, recency_s, in_week, orders[-1].revenue, 0.0)
    return tuple(round(float(number), 6) for number in numbers)


@settings(max_examples=40)
@given(events=histories(late=False), partitions=st.integers(1, 3))
def test_examples_are_those_of_a_plain_loop(
    campaign: Campaign, events: list[Event], partitions: int
) -> None:
    expected = slow_examples(events)
    records = chunks(events, partitions)
    if not expected:
        with pytest.raises(TrainingError, match="Strategy Sent"):
            built(campaign, records)
        return
    data = built(campaign, records)
    got = {
        (
            ("mail", "call")[strategy],
            time_ms,
            outcome,
            *(round(float(value), 6) for value in values[:-4]),
        )
        for strategy, time_ms, outcome, values in zip(
            data.strategy.tolist(),
            data.time_ms.tolist(),
            data.outcome.tolist(),
            values_of(data),
            strict=True,
        )
        if strategy < 2
    }
    assert got == expected
    assert data.counts.joined == len(expected)
    assert (np.diff(data.rows) >= 0).all()
    assert data.events == len(events)
    assert (data.start_ms, data.end_ms) == (events[0].time_ms, events[-1].time_ms)


@pytest.mark.parametrize("order", list(itertools.permutations(TOPICS)))
def test_neither_memory_nor_the_order_of_reading_changes_anything(
    campaign: Campaign, tmp_path: Path, order: tuple[str, ...]
) -> None:
    records = chunks(shop(40, seed=7), partitions=2)  # some of them share a shard
    one = built(campaign, records)
    records = sorted(records, key=lambda chunk: order.index(chunk.topic))
    other = built(changed(campaign, memory_mb=0), records, tmp_path)
    assert isinstance(other.values, FileValues)
    assert values_of(one).tobytes() == values_of(other).tobytes()
    for name in COLUMNS:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    for name in ("propensity", "held_out", "possible"):
        assert getattr(one.logged, name).tobytes() == getattr(other.logged, name).tobytes(), name
    assert one.counts == other.counts


def test_the_seed_chooses_among_decision_points_without_contact(campaign: Campaign) -> None:
    records = chunks(shop(60, seed=3))
    campaign = changed(campaign, untreated_per_treated=0.5)
    plan = compile_features(campaign)
    shards = shards_of(records, campaign, plan)
    progress: list[tuple[int, int]] = []
    one, same, other = (
        build(campaign, plan, shards, Path("/nowhere"), seed, lambda *at: progress.append(at))
        for seed in (1, 1, 2)
    )
    assert one.time_ms.tolist() == same.time_ms.tolist() != other.time_ms.tolist()
    assert progress[-1] == (len(shards.shards()),) * 2
    treated = int((one.strategy < 2).sum())
    assert abs(int((one.strategy == 2).sum()) - 0.5 * treated) < 16  # rounded in each shard
    none = built(changed(campaign, untreated_per_treated=0.0), records)
    assert set(none.strategy.tolist()) == {0, 1}


def test_customers_are_numbered_and_decision_points_are_shared(campaign: Campaign) -> None:
    sent = [Event(1, "ann", START_MS + day * DAY_MS, strategy="mail") for day in (2, 4)]
    events = [Event(0, "ann", START_MS), *sent, Event(0, "bob", START_MS + 90 * DAY_MS)]
    data = built(campaign, chunks(events))
    assert data.strategy.tolist() == [0, 0]
    assert data.rows.tolist() == [0, 0]
    assert len(data.values) == 1
    assert len(set(data.customer.tolist())) == 1
    events = [
        Event(kind, f"c{i}", START_MS + kind, strategy="mail") for i in range(40) for kind in (0, 1)
    ]
    end = Event(0, "c0", START_MS + 90 * DAY_MS)
    data = built(changed(campaign, untreated_per_treated=0.0), chunks([*events, end], 2))
    assert sorted(data.customer.tolist()) == list(range(40))
    assert data.customers == 40


def test_a_choice_is_learned_from_contacts_with_the_outcome(campaign: Campaign) -> None:
    records = chunks(shop(60, seed=3))
    response, choice = (built(changed(campaign, head), records) for head in ("response", "choice"))
    assert choice.outcome.all()
    kept = response.outcome & (response.strategy < 2)
    assert sorted(choice.time_ms.tolist()) == sorted(response.time_ms[kept].tolist())
    assert choice.counts == replace(
        response.counts, untreated=0, untreated_points=0, contacted_later=0, unmatched=0
    )


def test_decisions_are_learned_from(campaign: Campaign) -> None:
    learns = changed(campaign, learn_from="decisions")
    data = built(learns, decision_history(learns, [0, 1, 2, 2], [0.5, 0.25, 1.0, 0.125]))
    found = sorted(
        zip(
            ((data.time_ms - START_MS) // DAY_MS).tolist(),
            data.strategy.tolist(),
            data.logged.propensity.tolist(),
            data.outcome.tolist(),
            strict=True,
        )
    )
    assert found == [
        (0, 0, 0.5, True),
        (1, 1, 0.25, False),
        (2, 2, 1.0, True),
        (3, 2, 0.125, False),
    ]
    assert data.counts.actions == data.counts.joined == 4
    choice = built(
        changed(campaign, "choice", learn_from="decisions"),
        decision_history(learns, [0, 1, 2, 2], [1.0] * 4),
    )
    assert choice.strategy.tolist() == [0]
    with pytest.raises(TrainingError, match=r"decisions in decisions .* got 0, of them 0"):
        built(learns, chunks(shop(3, seed=1)))


def test_no_event_is_no_dataset(campaign: Campaign) -> None:
    with pytest.raises(
        TrainingError, match=r"orders, sends, redemptions, got none; 2 records were"
    ):
        built(campaign, [chunk_of("orders", 0, 0, [b"no event", b"neither"])])


def poisoned(events: list[Event], from_ms: int, seed: int) -> list[Event]:
    """Everything from a time on made absurd, and in another order."""
    random = np.random.default_rng(seed)
    before = [event for event in events if event.time_ms < from_ms]
    after = [event for event in events if event.time_ms >= from_ms]
    return before + [
        replace(
            after[int(i)], time_ms=after[int(i)].time_ms + int(random.integers(0, DAY_MS)),
            revenue=1e9, customer=f"c{int(random.integers(0, 50))}",
        )
        for i in random.permutation(len(after))
    ]  # fmt: skip


@settings(max_examples=5)
@given(seed=st.integers(0, 1000))
def test_nothing_after_the_windows_of_the_training_part_reaches_it(
    campaign: Campaign, seed: int
) -> None:
    """Not its rows, not its labels, not its statistics. The sample without contact depends on how
    many there are in all, so it is left out; its labels are those of test_labels.
    """
    alone = changed(campaign, untreated_per_treated=0.0)
    events = shop(25, seed=seed)
    data = built(alone, chunks(events))
    train = data.split().train
    over_ms = int(data.time_ms[train].max()) + WINDOW_DAYS * DAY_MS + 1
    again = built(alone, chunks(poisoned(events, over_ms, seed)))
    same = again.time_ms <= data.time_ms[train].max()
    assert rows_of(again, same) == rows_of(data, train)
    identity = Normalization.identity(len(data.transforms))
    before, after = (
        fit_normalization(one.part(Period(0, over_ms - WINDOW_DAYS * DAY_MS), identity))
        for one in (data, again)
    )
    assert after.mean == pytest.approx(before.mean, rel=1e-12)
    assert after.std == pytest.approx(before.std, rel=1e-12)
    assert before.mean.tolist() == data.fit_normalization().mean.tolist()


def rows_of(data: Dataset, rows: np.ndarray) -> list[tuple[object, ...]]:
    features = values_of(data)[rows]
    return sorted(
        zip(
            data.time_ms[rows].tolist(), data.strategy[rows].tolist(),
            data.outcome[rows].tolist(), [row.tobytes() for row in features], strict=True,
        )
    )  # fmt: skip
