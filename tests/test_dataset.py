"""Datasets: the examples of a plain loop, parts that do not leak, statistics of the training part."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.contract import Normalization
from stream.campaign import Campaign, parse
from stream.columns import RecordChunk
from stream.features import FeaturePlan, compile_features
from stream.normalization import LOG1P, NONE, SIGNLOG
from tests.shop_history import (
    CAMPAIGN,
    DAY_MS,
    START_MS,
    TOPICS,
    Event,
    chunk_of,
    chunks,
    decisions_about,
    histories,
    shards_of,
    shop,
)
from trainer.dataset import Dataset, Period, build
from trainer.errors import TrainingError
from trainer.examples import FileValues, ValuesWriter
from trainer.normalization import CLIP, Moments, fit_normalization, transformed
from trainer.part import Part
from trainer.split import split
from trainer.weights import WEIGHT_MAX, inverse_propensity

WINDOW_DAYS = 10
COLUMNS = ("rows", "strategy", "outcome", "time_ms", "customer", "propensity")


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return parse(CAMPAIGN)


@pytest.fixture(scope="module")
def plan(campaign: Campaign) -> FeaturePlan:
    return compile_features(campaign)


def changed(campaign: Campaign, head: str = "response", **training: Any) -> Campaign:
    return msgspec.structs.replace(
        campaign,
        model=msgspec.structs.replace(campaign.model, head=head),
        training=msgspec.structs.replace(campaign.training, **training),
    )


def built(
    campaign: Campaign, records: Iterable[RecordChunk], folder: str | Path = "/nowhere"
) -> Dataset:
    plan = compile_features(campaign)
    return build(campaign, plan, shards_of(records, campaign, plan, folder), Path(folder), seed=1)


def values_of(data: Dataset) -> np.ndarray:
    return data.values[0 : len(data.values)][data.rows]


# --- which examples --------------------------------------------------------------------------


# In plain loops over sorted events.
def slow_examples(events: list[Event]) -> set[tuple[object, ...]]:
    events = sorted(events, key=lambda event: event.time_ms)
    end = events[-1].time_ms
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
        if before:
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
    assert choice.counts == replace(response.counts, untreated=0)


def decision_history(
    campaign: Campaign, strategy: list[int], propensity: list[float]
) -> list[RecordChunk]:
    """One order each of some customers, decided about, and a redemption of every second of them."""
    n = len(strategy)
    orders = [Event(0, f"c{i}", START_MS + i * DAY_MS).json() for i in range(n)]
    redeemed = [Event(2, f"c{i}", START_MS + (i + 1) * DAY_MS) for i in range(0, n, 2)]
    end = Event(2, "end", START_MS + 900 * DAY_MS)
    topic = chunk_of("orders", 0, 0, orders)
    published = decisions_about(campaign, topic, range(n), strategy, propensity)
    return [topic, chunk_of("decisions", 0, 0, published), *chunks([*redeemed, end])]


def test_decisions_are_learned_from(campaign: Campaign) -> None:
    learns = changed(campaign, learn_from="decisions")
    data = built(learns, decision_history(learns, [0, 1, 2, 2], [0.5, 0.25, 1.0, 0.125]))
    found = sorted(
        zip(
            ((data.time_ms - START_MS) // DAY_MS).tolist(),
            data.strategy.tolist(),
            data.propensity.tolist(),
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


# --- where they are kept ---------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 5), max_size=8),
    room=st.integers(0, 20),
    ends=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_values_are_the_same_in_memory_and_in_a_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], room: int, ends: tuple[int, int]
) -> None:
    path = tmp_path_factory.mktemp("values") / "features"
    writer = ValuesWriter(path, 3, room * 24)
    random = np.random.default_rng(len(sizes))
    blocks = [random.normal(size=(size, 3)) for size in sizes]
    for block in blocks:
        writer.append(block)
    expected = np.concatenate([np.empty((0, 3)), *blocks])
    expected_in_file = len(expected) > room
    values = writer.finish()
    assert isinstance(values, FileValues) == expected_in_file == path.exists()
    assert len(values) == len(writer) == len(expected)
    assert values[ends[0] : ends[1]].tobytes() == expected[ends[0] : ends[1]].tobytes()
    assert values[: ends[1]].shape == expected[: ends[1]].shape


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.integers(0, 30), max_size=20).map(sorted),
    block_rows=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_blocks_have_every_example_once(
    monkeypatch: pytest.MonkeyPatch, rows: list[int], block_rows: int, seed: int
) -> None:
    monkeypatch.setattr("trainer.part.BLOCK_BYTES", block_rows * 24)
    stored = np.arange(93.0).reshape(31, 3)
    part = replace(part_of(stored), rows=np.array(rows, np.int64))
    assert part.block_rows == block_rows
    raw = list(part.raw_blocks())
    assert [i for where, _ in raw for i in range(where.start, where.stop)] == list(range(len(rows)))
    assert np.concatenate([stored[:0], *(x for _, x in raw)]).tolist() == stored[rows].tolist()
    shuffled = list(part.shuffled_blocks(seed))
    index = [int(i) for which, _ in shuffled for i in which]
    assert sorted(index) == list(range(len(rows)))
    x = np.concatenate([stored[:0], *(x for _, x in shuffled)])
    assert x.tolist() == stored[rows][index].tolist()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"expected to keep features on disk.*memory_mb"):
        ValuesWriter(tmp_path / "absent" / "f", 1, 0).append(np.ones((1, 1)))


# --- parts -----------------------------------------------------------------------------------


SHARES = st.sampled_from([0.0, 0.05, 0.2, 0.5])


@given(days=st.lists(st.floats(0, 300), min_size=1, max_size=50), validation=SHARES, test=SHARES)
def test_no_label_reaches_into_a_later_part(
    days: list[float], validation: float, test: float
) -> None:
    time_ms = np.array([round(day * DAY_MS) for day in days])
    gap_ms = WINDOW_DAYS * DAY_MS
    try:
        parts = split(time_ms, validation, test, gap_ms)
    except TrainingError:
        return
    masks = [parts.train, parts.validation, parts.test]
    assert (np.sum(masks, axis=0) <= 1).all()
    assert parts.train.any()
    assert parts.validation.sum() >= validation * len(days)
    assert parts.test.sum() >= test * len(days)
    assert parts.validation.any() == (validation > 0)
    assert parts.test.any() == (test > 0)
    filled = [time_ms[mask] for mask in masks if mask.any()]
    for earlier, later in itertools.pairwise(filled):
        assert earlier.max() + gap_ms < later.min()
    if validation == test == 0:
        assert parts.train.all()


def test_parts_are_as_large_as_asked_for_and_gaps_cost_training() -> None:
    time_ms = np.random.default_rng(1).permutation(np.arange(1000)) * DAY_MS
    parts = split(time_ms, 0.3, 0.2, 10 * DAY_MS)
    assert sorted(time_ms[parts.test] // DAY_MS) == list(range(800, 1000))
    assert sorted(time_ms[parts.validation] // DAY_MS) == list(range(490, 790))
    assert sorted(time_ms[parts.train] // DAY_MS) == list(range(480))


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.2), (0.0, 0.2), (0.2, 0.0), (0.6, 0.6)])
def test_a_short_history_is_refused_with_what_to_change(validation: float, test: float) -> None:
    with pytest.raises(TrainingError, match=r"got 5 examples of 4.0 days.*attribution_window"):
        split(np.arange(5) * DAY_MS, validation, test, 10 * DAY_MS)
    with pytest.raises(TrainingError, match="got 0 examples"):
        split(np.empty(0, np.int64), validation, test, 10 * DAY_MS)


def test_parts_of_a_dataset(campaign: Campaign, plan: FeaturePlan) -> None:
    data = built(campaign, chunks(shop(80, seed=2)))
    identity = Normalization.identity(len(plan.names))
    parts = data.split()
    for name in ("train", "validation", "test"):
        part = data.part(name, identity)
        mask = getattr(parts, name)
        assert part.time_ms.tolist() == data.time_ms[mask].tolist()
        assert part.customer.tolist() == data.customer[mask].tolist()
        assert part.weight.tolist() == [1.0] * len(part)
        raw = np.concatenate([values for _, values in part.raw_blocks()])
        assert raw.tobytes() == values_of(data)[mask].tobytes()
    period = data.part(Period(START_MS + 20 * DAY_MS, START_MS + 30 * DAY_MS), identity)
    days = (data.time_ms - START_MS) / DAY_MS
    assert len(period) == int(((days >= 20) & (days < 30)).sum()) > 0


def test_weights_are_inverse_propensities_on_the_scale_of_the_training_part(
    campaign: Campaign, plan: FeaturePlan
) -> None:
    random = np.random.default_rng(4)
    propensity = random.choice([0.01, 0.1, 0.25, 1.0], 300).tolist()
    learns = changed(campaign, learn_from="decisions", propensity_weights=True)
    data = built(learns, decision_history(learns, [0] * 300, propensity))
    identity = Normalization.identity(len(plan.names))
    train, test = data.part("train", identity), data.part("test", identity)
    capped = {0.01: 10.0, 0.1: 10.0, 0.25: 4.0, 1.0: 1.0}
    parts = data.split()
    raw = np.array([capped[p] for p in data.propensity.tolist()])
    assert train.weight.mean() == pytest.approx(1.0)
    assert train.weight.tolist() == pytest.approx(raw[parts.train] / raw[parts.train].mean())
    assert test.weight.tolist() == pytest.approx(raw[parts.test] / raw[parts.train].mean())
    assert inverse_propensity(np.array([1e-9]), np.zeros(1, np.bool_)).tolist() == [WEIGHT_MAX]


@pytest.mark.parametrize("wrong", [0.0, None, 1.5, -0.1])
def test_weights_need_propensities(campaign: Campaign, wrong: float | None) -> None:
    events = [
        Event(0, "ann", START_MS),
        Event(1, "ann", START_MS + 1, strategy="mail", propensity=0.5),
        Event(1, "ann", START_MS + 2, strategy="mail", propensity=wrong),
        Event(0, "bob", START_MS + 90 * DAY_MS),
    ]
    path = "properties.propensity"
    weighted = changed(campaign, propensity_property=path, propensity_weights=True)
    with pytest.raises(TrainingError, match=rf'{path} of every "Strategy Sent", got .* 1 of 2'):
        built(weighted, chunks(events))
    built(changed(campaign, propensity_property=path), chunks(events))
    nowhere = changed(campaign, propensity_weights=True)
    with pytest.raises(TrainingError, match=r"training\.propensity_property of every"):
        built(nowhere, chunks(events))


# --- what is fitted --------------------------------------------------------------------------


def part_of(values: np.ndarray, transforms: list[int] | None = None) -> Part:
    n, features = values.shape
    zeros = np.zeros(n, np.int64)
    return Part(
        values, np.array(transforms or [NONE] * features),
        Normalization.identity(features), np.arange(n), zeros, np.zeros(n, np.bool_), zeros, zeros,
        np.ones(n),
    )  # fmt: skip


BLOCKS = st.lists(st.integers(0, 40), min_size=1, max_size=6)


@given(sizes=BLOCKS, seed=st.integers(0, 99))
def test_moments_do_not_depend_on_how_rows_are_cut(sizes: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(1e6, 1.0, (sum(sizes), 3))
    values[random.random(values.shape) < 0.2] = np.nan
    values[random.random(values.shape) < 0.1] = -np.inf
    whole = Moments.of(values)
    cuts = np.split(values, np.cumsum(sizes)[:-1])
    left = Moments.none(3)
    for block in cuts:
        left = left.merge(Moments.of(block))
    right = Moments.none(3)
    for block in reversed(cuts):
        right = Moments.of(block).merge(right)
    known = np.where(np.isfinite(values), values, np.nan)
    for got in (whole, left, right):
        for column in range(3):
            kept = known[~np.isnan(known[:, column]), column]
            assert got.count[column] == len(kept)
            if len(kept):
                assert got.mean[column] == pytest.approx(kept.mean(), rel=1e-14)
                expected = ((kept - kept.mean()) ** 2).sum()
                assert got.squares[column] == pytest.approx(expected, rel=1e-9, abs=1e-8)


def test_a_large_mean_does_not_swallow_the_spread() -> None:
    """A sum of squares loses it: 1e12 with a spread of 1 has no digit left in float32."""
    values = np.random.default_rng(0).normal(1e6, 1.0, (200_000, 1)).astype(np.float32)
    naive = np.mean(values**2) - np.mean(values) ** 2
    assert not 0.9 < naive < 1.1
    found = fit_normalization(part_of(values.astype(np.float64)))
    assert found.std[0] == pytest.approx(values.astype(np.float64).std(), rel=1e-9)
    assert found.std[0] == pytest.approx(1.0, rel=0.01)


def test_normalization_knows_the_known_values_of_its_rows_alone(
    campaign: Campaign, plan: FeaturePlan
) -> None:
    random = np.random.default_rng(1)
    values = random.gamma(1.0, 30.0, (500, len(plan.names)))
    last = plan.names.index("revenue_last")
    values[::3, last] = np.nan
    values[:, 0] = 5.0
    part = part_of(values, plan.transform_codes.tolist())
    normalization = fit_normalization(part)
    x = np.concatenate([x for _, x in replace(part, normalization=normalization).blocks()])
    known = ~np.isnan(values[:, last])
    assert np.abs(x.mean(axis=0)).max() < 1e-5
    assert np.abs(x[known][:, last].std() - 1) < 1e-5
    assert (x[~known][:, last] == 0).all()
    assert normalization.std[0] == 1.0  # a feature that never moved keeps its scale
    assert np.abs(x[:, 0]).max() < 1e-9
    assert normalization.clip == CLIP
    far = replace(part, normalization=normalization, values=values * 1e30)
    assert max(np.abs(x).max() for _, x in far.blocks()) == CLIP


def test_a_constant_keeps_its_scale_wherever_it_is() -> None:
    values = np.full((70_001, 4), [0.0, 1e-3, 1e9 / 3, -1e13 / 7])
    values[:, 1] += np.arange(70_001) % 2 * 1e-3  # not constant
    std = fit_normalization(part_of(values)).std
    assert std.tolist() == [1.0, pytest.approx(5e-4, rel=1e-3), 1.0, 1.0]


def test_values_are_transformed_as_the_worker_does() -> None:
    values = np.array(
        [[-2.0, -3.0, np.nan], [0.5, 0.0, 7.0], [np.nan, 5.0, -1.0], [-1.0, 1.0, 0.0]]
    )
    got = transformed(values, np.array([LOG1P, SIGNLOG, NONE]))
    expected = [
        [np.nan, -np.log(4), np.nan], [np.log(1.5), 0, 7], [np.nan, np.log(6), -1],
        [-np.inf, np.log(2), 0],
    ]  # fmt: skip
    np.testing.assert_allclose(got, expected, rtol=1e-15)
    # Once more by the worker's call, in float32 and of the plan's constants.
    part = part_of(values, [LOG1P, SIGNLOG, NONE])
    ((_, x),) = part.blocks()
    known = np.isfinite(got)
    assert x[known].tolist() == got[known].astype(np.float32).tolist()


# --- leakage ---------------------------------------------------------------------------------


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
