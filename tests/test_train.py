"""Training: examples as of their decision, labels that look only forward, one seed one model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contract import Normalization
from models.manifest import NetworkConfig
from stream.campaign import Campaign, parse
from stream.columns import RecordChunk, Spans
from stream.features import FeaturePlan, apply, compile_features
from trainer.dataset import Dataset, fit_normalization, inputs, join, split
from trainer.errors import TrainingError
from trainer.evaluate import auc, choice_metrics, response_metrics
from trainer.labels import History, treated, untreated
from trainer.replay import Timeline, Timelines, passes, replay

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
WINDOW_DAYS = 10
TYPES = ("Order Completed", "Strategy Sent", "Coupon Redeemed")
TOPICS = ("orders", "sends", "redemptions")

CAMPAIGN = """
app = "shop"
[topics]
events = ["orders", "sends", "redemptions"]
[[features]]
op = "count"
events = ["Order Completed", "Strategy Sent", "Coupon Redeemed"]
half_lives = ["5d"]
[[features]]
op = "sum"
name = "revenue"
events = ["Order Completed"]
property = "properties.revenue"
half_lives = ["20d"]
[[features]]
op = "recency"
events = ["Strategy Sent"]
[[features]]
op = "window_count"
events = ["Order Completed"]
window = "7d"
[[features]]
op = "last"
events = ["Order Completed"]
property = "properties.revenue"
[[features]]
op = "share"
events = ["Order Completed"]
property = "properties.category"
half_lives = ["20d"]
buckets = 4
[[strategies]]
id = "mail"
[[strategies]]
id = "call"
[decisions]
on = ["Order Completed"]
[training]
outcome = "Coupon Redeemed"
attribution_window = "10d"
validation_share = 0.3
learning_rate = 0.01
epochs = 12
batch_size = 64
"""


@dataclass(frozen=True)
class Event:
    """One event: of which topic and type, whose, when, and what it says."""

    kind: int
    customer: str
    time_ms: int
    revenue: float = 0.0
    strategy: str = ""

    def json(self) -> bytes:
        properties: dict[str, object] = {"revenue": self.revenue, "category": self.customer}
        if self.strategy:
            properties["strategy"] = self.strategy
        return json.dumps(
            {
                "type": "track",
                "event": TYPES[self.kind],
                "userId": self.customer,
                "timestamp": self.time_ms,
                "properties": properties,
            }
        ).encode()


def spans(items: Sequence[bytes]) -> Spans:
    size = np.array([len(item) for item in items], np.int64)
    return Spans(np.frombuffer(b"".join(items), np.uint8), np.cumsum(size) - size, size)


def chunks(events: Iterable[Event], partitions: int = 1) -> list[RecordChunk]:
    """The events as they stand in the topics, three records a chunk."""
    events = list(events)
    made = []
    for kind, topic in enumerate(TOPICS):
        for partition in range(partitions):
            here = [
                event
                for event in events
                if event.kind == kind and sum(event.customer.encode()) % partitions == partition
            ]
            for low in range(0, len(here), 3):
                part = here[low : low + 3]
                made.append(
                    RecordChunk(
                        topic=topic,
                        partition=partition,
                        offset=np.arange(low, low + len(part)),
                        timestamp_ms=np.full(len(part), START_MS + 1000 * DAY_MS),
                        key=spans([event.customer.encode() for event in part]),
                        value=spans([event.json() for event in part]),
                        next_offset=low + len(part),
                    )
                )
    return made


def timelines_of(
    events: Iterable[Event], campaign: Campaign, plan: FeaturePlan, partitions: int = 1
) -> list[Timeline]:
    collected = Timelines(campaign, plan)
    for chunk in chunks(events, partitions):
        collected.add(chunk)
    assert not collected.rejects
    return collected.finish()


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return parse(CAMPAIGN)


@pytest.fixture(scope="module")
def plan(campaign: Campaign) -> FeaturePlan:
    return compile_features(campaign)


def events_strategy(*, late: bool) -> st.SearchStrategy[list[Event]]:
    """Up to 40 events of 4 customers within 50 days, in the order of their topics."""
    event = st.builds(
        Event,
        kind=st.sampled_from([0, 0, 0, 1, 2]),
        customer=st.sampled_from(["ann", "bob", "cyd", "dee"]),
        time_ms=st.integers(START_MS, START_MS + 50 * DAY_MS),
        revenue=st.sampled_from([0.0, 1.5, 20.0]),
        strategy=st.sampled_from(["mail", "call", "fax"]),
    )
    events = st.lists(event, min_size=1, max_size=40, unique_by=lambda e: e.time_ms)
    return events if late else events.map(lambda found: sorted(found, key=lambda e: e.time_ms))


# What the worker does: one event after the other, each with the topic it came from.
def one_by_one(plan: FeaturePlan, timeline: Timeline) -> np.ndarray:
    state = np.zeros((timeline.table.rows, plan.row_words))
    reads_all = replace(plan, raw_columns=np.arange(len(plan.names)))
    identity = Normalization.identity(len(plan.names))
    out = []
    for i in range(len(timeline)):
        index = np.array([i])
        rows, batch = timeline.row[index], timeline.batch(index)
        out.append(apply(reads_all, state, rows, batch, int(timeline.topic[i]), identity).raw)
    return np.concatenate(out)


@given(events=events_strategy(late=True))
def test_replay_gives_the_bits_of_the_worker(
    campaign: Campaign, plan: FeaturePlan, events: list[Event]
) -> None:
    (timeline,) = timelines_of(events, campaign, plan)
    wanted = np.arange(len(timeline))[::-1]
    got = replay(plan, timeline, wanted)
    assert got.tobytes() == one_by_one(plan, timeline)[wanted].tobytes()


@given(events=events_strategy(late=True))
def test_a_timeline_merges_topics_by_time_and_keeps_each_in_its_order(
    campaign: Campaign, plan: FeaturePlan, events: list[Event]
) -> None:
    (timeline,) = timelines_of(events, campaign, plan)
    got = list(zip(timeline.topic.tolist(), timeline.offset.tolist(), strict=True))
    topics = [[event for event in events if event.kind == kind] for kind in range(3)]
    expected = sorted(
        (max(event.time_ms for event in topic[: offset + 1]), kind, offset)
        for kind, topic in enumerate(topics)
        for offset in range(len(topic))
    )
    assert got == [(kind, offset) for _, kind, offset in expected]
    # An event that were not in the order of its topic would count as replayed, and be left out.
    orders = replay(plan, timeline, np.arange(len(timeline)))[:, plan.names.index("revenue_last")]
    assert np.isfinite(orders[timeline.topic == 0]).all()


@given(events=events_strategy(late=True), cut=st.integers(0, 39))
def test_what_comes_after_an_event_changes_nothing_in_its_features(
    campaign: Campaign, plan: FeaturePlan, events: list[Event], cut: int
) -> None:
    (timeline,) = timelines_of(events, campaign, plan)
    last = min(cut, len(timeline) - 1)
    changed = replace(
        timeline,
        number=np.where(np.arange(len(timeline)) > last, 1e6, timeline.number),
        category=np.where(np.arange(len(timeline)) > last, np.uint64(7), timeline.category),
        time_ms=np.where(
            np.arange(len(timeline)) > last, START_MS + 900 * DAY_MS, timeline.time_ms
        ),
    )
    wanted = np.arange(last + 1)
    assert replay(plan, timeline, wanted).tobytes() == replay(plan, changed, wanted).tobytes()


@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=60),
)
def test_passes_keep_the_order_of_every_customer(pairs: list[tuple[int, int]]) -> None:
    row = np.array([pair[0] for pair in pairs], np.int64)
    topic = np.array([pair[1] for pair in pairs], np.int64)
    runs = list(passes(row, topic))
    assert all((topic[run] == of).all() for of, run in runs)
    order = [int(i) for _, run in runs for i in run]
    assert sorted(order) == list(range(len(pairs)))
    for customer in set(row.tolist()):
        theirs = [i for i in order if row[i] == customer]
        assert theirs == sorted(theirs)
    switches = [
        1 + sum(a != b for a, b in pairwise(theirs))
        for customer in set(row.tolist())
        if (theirs := topic[row == customer].tolist())
    ]
    assert len(runs) <= 3 * max(switches, default=0)


# The examples once more, in plain loops over sorted events.
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
    numbers = (*counts, revenue, recency_s, in_week, orders[-1].revenue)
    return tuple(round(float(number), 6) for number in numbers)


@settings(max_examples=40)
@given(events=events_strategy(late=False), partitions=st.integers(1, 3))
def test_examples_are_those_of_a_plain_loop(
    campaign: Campaign, plan: FeaturePlan, events: list[Event], partitions: int
) -> None:
    expected = slow_examples(events)
    timelines = timelines_of(events, campaign, plan, partitions)
    if not expected:
        with pytest.raises(TrainingError, match="Strategy Sent"):
            join(campaign, plan, timelines, seed=1)
        return
    data = join(campaign, plan, timelines, seed=1).dataset
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
            data.values,
            strict=True,
        )
        if strategy < 2
    }
    assert got == expected
    assert (np.diff(data.time_ms) >= 0).all()


def history(*events: tuple[str, float, str]) -> History:
    """Events as (customer, day, what): order, outcome, or the name of a strategy."""
    names = ["mail", "call", "nothing"]
    kinds = [event[2] for event in events]
    is_treatment = np.array([kind not in ("order", "outcome") for kind in kinds])
    return History(
        row=np.array([ord(event[0][0]) for event in events]),
        time_ms=np.array([round(event[1] * DAY_MS) for event in events]),
        decides=np.array([kind == "order" for kind in kinds]),
        treatment=is_treatment,
        strategy=np.array([names.index(kind) if kind in names else -1 for kind in kinds]),
        outcome=np.array([kind == "outcome" for kind in kinds]),
    )


MS = 1 / DAY_MS


@pytest.mark.parametrize(
    ("outcome_day", "converted"),
    [(5 - MS, False), (5, False), (5 + MS, True), (15, True), (15 + MS, False)],
)
def test_an_outcome_counts_after_the_treatment_and_within_the_window(
    outcome_day: float, converted: bool
) -> None:
    events = [("a", 1, "order"), ("a", 5, "mail"), ("a", outcome_day, "outcome")]
    examples, _ = treated(history(*sorted(events, key=lambda e: e[1])), 10 * DAY_MS, 100 * DAY_MS)
    assert examples.outcome.tolist() == [converted]


def test_treatments_are_counted_by_what_became_of_them() -> None:
    examples, counts = treated(
        history(
            ("a", 1, "order"), ("b", 2, "mail"), ("a", 3, "fax"), ("a", 4, "order"),
            ("a", 5, "call"), ("b", 6, "outcome"), ("a", 90, "mail"), ("a", 90 + MS, "mail"),
        ),
        10 * DAY_MS,
        100 * DAY_MS,
    )  # fmt: skip
    assert examples.event.tolist() == [3, 3]  # the last order before, not the first
    assert examples.strategy.tolist() == [1, 0]
    assert examples.outcome.tolist() == [False, False]  # the outcome is another customer's
    assert counts.treatments == 5
    assert counts.unknown_strategy == 1
    assert counts.no_decision_point == 1
    assert counts.immature == 1  # day 90 is just over on day 100


def test_a_late_decision_does_not_take_what_it_knew_for_its_future() -> None:
    # The order of day 2 arrives after the outcome of day 6: its features contain that outcome.
    examples = untreated(
        history(("a", 6, "outcome"), ("a", 2, "order"), ("b", 2, "order"), ("b", 6, "outcome")),
        nothing=2, window_ms=10 * DAY_MS, end_ms=100 * DAY_MS,
    )  # fmt: skip
    by_event = dict(zip(examples.event.tolist(), examples.outcome.tolist(), strict=True))
    assert by_event == {1: False, 2: True}


def test_doing_nothing_is_learned_far_from_contacts() -> None:
    events = [
        ("a", 30, "mail"),
        *(("a", day, "order") for day in (19.9, 20, 29, 31, 40, 40.1)),
        ("b", 30, "order"),
        ("c", 20, "nothing"), ("c", 30, "order"), ("c", 35, "outcome"),
        ("d", 95, "order"),
        ("e", 30, "fax"), ("e", 31, "order"),
    ]  # fmt: skip
    ordered = sorted(events, key=lambda event: event[1])
    examples = untreated(history(*ordered), 2, 10 * DAY_MS, 100 * DAY_MS)
    found = {(ordered[event][0], ordered[event][1]) for event in examples.event.tolist()}
    assert found == {("a", 19.9), ("a", 40.1), ("b", 30), ("c", 30)}
    assert examples.outcome.sum() == 1
    assert set(examples.strategy.tolist()) == {2}


def dataset_of(time_days: Sequence[float]) -> Dataset:
    n = len(time_days)
    return Dataset(
        np.zeros((n, 2)), np.zeros(n, np.int64), np.zeros(n, np.bool_),
        np.array([round(day * DAY_MS) for day in time_days]),
    )  # fmt: skip


@given(days=st.lists(st.floats(0, 300), min_size=2, max_size=50), share=st.floats(0.05, 0.9))
def test_no_training_label_reaches_into_the_validation_part(
    days: list[float], share: float
) -> None:
    data = dataset_of(sorted(days))
    gap_ms = 10 * DAY_MS
    try:
        train, validation = split(data, share, gap_ms)
    except TrainingError:
        return
    assert data.time_ms[train].max() + gap_ms < data.time_ms[validation].min()
    assert validation.sum() >= int(share * len(days))


def test_without_validation_all_rows_train() -> None:
    train, validation = split(dataset_of([1, 2, 3]), 0.0, 10 * DAY_MS)
    assert train.all()
    assert not validation.any()


def test_normalization_knows_the_known_values_of_its_rows_alone(plan: FeaturePlan) -> None:
    random = np.random.default_rng(1)
    values = random.gamma(1.0, 30.0, (500, len(plan.names)))
    last = plan.names.index("revenue_last")
    values[::3, last] = np.nan
    values[:, 0] = 5.0
    normalization = fit_normalization(plan, values)
    x = inputs(plan, values, normalization)
    known = ~np.isnan(values[:, last])
    assert np.abs(x.mean(axis=0)).max() < 1e-5
    assert np.abs(x[known][:, last].std() - 1) < 1e-5
    assert (x[~known][:, last] == 0).all()
    assert normalization.std[0] == 1.0  # a feature that never moved keeps its scale
    assert np.abs(x[:, 0]).max() < 1e-9


def test_values_far_out_are_clipped(plan: FeaturePlan) -> None:
    values = np.random.default_rng(1).gamma(1.0, 1.0, (100, len(plan.names)))
    normalization = fit_normalization(plan, values)
    assert np.abs(inputs(plan, values * 1e30, normalization)).max() == 8.0


@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40),
)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    positives = [score for score, outcome in rows if outcome]
    negatives = [score for score, outcome in rows if not outcome]
    got = auc(
        np.array([score for score, _ in rows], np.float64),
        np.array([outcome for _, outcome in rows], np.bool_),
    )
    if not positives or not negatives:
        assert np.isnan(got)
        return
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    assert got == pytest.approx(wins / (len(positives) * len(negatives)))


def test_metrics_judge_the_strategy_that_was_used() -> None:
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.0], [0.3, 0.6, 0.1]], np.float32)
    metrics = response_metrics(
        scores, np.array([0, 1, 2]), np.array([True, False, False]),
        ("mail", "call", "nothing"), np.array([0.5, 0.5, 0.1]),
    )  # fmt: skip
    assert metrics["log_loss"] == pytest.approx(-np.log([0.9, 0.3, 0.9]).mean(), abs=1e-6)
    assert metrics["brier"] == pytest.approx((0.1**2 + 0.7**2 + 0.1**2) / 3, abs=1e-6)
    assert metrics["rows_contacted"] == 2
    assert metrics["auc_contacted"] == 1.0
    assert "mail.auc" not in metrics  # one row has no order
    accuracy = choice_metrics(
        scores, np.array([0, 1, 0]), ("a", "b", "c"), np.array([0.2, 0.7, 0.1])
    )
    assert accuracy["accuracy"] == pytest.approx(2 / 3)
    assert accuracy["accuracy_of_most_frequent"] == pytest.approx(1 / 3)


def shop(customers: int, seed: int) -> list[Event]:
    """A shop where mail works for those who spend much, a call for those who spend little."""
    random = np.random.default_rng(seed)
    events = []
    for c in range(customers):
        rich = random.random() < 0.5
        day = random.uniform(0, 10)
        while day < 200:
            at = START_MS + round(day * DAY_MS)
            events.append(Event(0, f"c{c}", at, 200.0 if rich else 2.0))
            if random.random() < 0.5:
                strategy = "mail" if random.random() < 0.5 else "call"
                events.append(Event(1, f"c{c}", at + 3_600_000, strategy=strategy))
                if random.random() < (0.6 if (strategy == "mail") == rich else 0.05):
                    events.append(Event(2, f"c{c}", at + 2 * DAY_MS))
            day += random.uniform(12, 30)
    return sorted(events, key=lambda event: event.time_ms)


@pytest.mark.parametrize("head", ["response", "choice"])
def test_a_model_learns_whom_which_strategy_moves(head: str) -> None:
    from models.bundle import Bundle
    from stream.scores import Scorer
    from trainer.train import outputs, train

    campaign = parse(CAMPAIGN + f'[model]\nhead = "{head}"\n')
    created = datetime(2026, 11, 24, tzinfo=UTC)
    history_chunks = chunks(shop(150, seed=3), partitions=2)
    first, second, other = (
        train(campaign, history_chunks, seed=seed, created=created).bundle for seed in (5, 5, 6)
    )
    assert first.files == second.files
    assert first.manifest.version == second.manifest.version
    assert first.files["weights.f32"] != other.files["weights.f32"]

    scorer = Scorer(first)
    scorer.check_golden()
    assert scorer.strategies == outputs(campaign)
    assert isinstance(first, Bundle)
    plan = compile_features(campaign)
    (timeline,) = timelines_of(
        [Event(0, "rich", START_MS, 200.0), Event(0, "thrifty", START_MS + 1, 2.0)], campaign, plan
    )
    values = replay(plan, timeline, np.arange(2))
    scores = scorer.score(inputs(plan, values, first.normalization))
    mail, call = scorer.strategies.index("mail"), scorer.strategies.index("call")
    assert scores[0, mail] > scores[0, call] + 0.2
    assert scores[1, call] > scores[1, mail] + 0.2
    if head == "response":
        assert first.manifest.metrics["auc_contacted"] > 0.75
        assert scores[0, mail] == pytest.approx(0.6, abs=0.15)  # a probability, not a rank
        assert scores[0, scorer.strategies.index("nothing")] < 0.2
    else:
        assert first.manifest.metrics["accuracy"] > 0.8


def test_the_seed_of_a_fit_decides_all_of_it() -> None:
    from models.network import weights
    from stream.campaign_training import TrainingSpec
    from trainer.fit import Samples, fit

    random = np.random.default_rng(0)
    config = NetworkConfig(network="mlp", head="response", inputs=3, outputs=2, hidden=(4,))
    x = random.normal(size=(200, 3)).astype(np.float32)
    samples = Samples(x, random.integers(0, 2, 200), x[:, 0] > 0.5)
    spec = TrainingSpec(epochs=3)
    runs = [fit(config, spec, samples, samples, seed) for seed in (1, 1, 2)]
    arrays = [b"".join(array.tobytes() for array in weights(run.model).values()) for run in runs]
    assert arrays[0] == arrays[1] != arrays[2]
    assert runs[0].losses == runs[1].losses


def test_a_history_without_conversions_is_refused() -> None:
    from trainer.train import train

    campaign = parse(CAMPAIGN)
    silent = [event for event in shop(20, seed=3) if event.kind != 2]
    with pytest.raises(TrainingError, match='followed by "Coupon Redeemed" within 10d'):
        train(campaign, chunks(silent), seed=1, created=datetime(2026, 11, 24, tzinfo=UTC))


def test_until_leaves_out_what_comes_later(campaign: Campaign, plan: FeaturePlan) -> None:
    events = [Event(0, "ann", START_MS + day * DAY_MS) for day in range(5)]
    collected = Timelines(campaign, plan, until_ms=START_MS + 3 * DAY_MS)
    for chunk in chunks(events):
        collected.add(chunk)
    (timeline,) = collected.finish()
    assert timeline.time_ms.tolist() == [START_MS + day * DAY_MS for day in range(3)]


@pytest.mark.kafka
def test_the_command_trains_on_topics_and_promotes(
    kafka: Any, create_topics: Any, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    from click.testing import CliRunner
    from confluent_kafka import Producer

    from models.registry import Registry
    from stream.scores import Scorer
    from trainer.command import train
    from trainer.history import read_topics

    names = {topic: topic_name(topic) for topic in TOPICS}
    create_topics(dict.fromkeys(names.values(), 3))
    events = shop(80, seed=3)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for event in events:
        producer.produce(names[TOPICS[event.kind]], event.json(), event.customer)
        producer.poll(0)
    producer.produce(names["orders"], b"no event", b"ann")
    producer.flush(30)
    del producer  # its threads would go on after the broker

    progress: list[tuple[int, int]] = []
    read = list(read_topics(kafka.bootstrap, names.values(), lambda *at: progress.append(at)))
    assert sum(len(chunk) for chunk in read) == len(events) + 1
    assert progress[-1] == (len(events) + 1, len(events) + 1)

    text = CAMPAIGN
    for topic, name in names.items():
        text = text.replace(f'"{topic}"', f'"{name}"')
    file = tmp_path / "opportune.toml"
    file.write_text(text)
    registry = Registry(tmp_path / "registry")
    options = [str(file), "--bootstrap", kafka.bootstrap, "--registry", registry.url]

    first = CliRunner().invoke(train, [*options, "--no-promote"], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    assert registry.pointer("champion") is None
    until = datetime.fromtimestamp((START_MS + 150 * DAY_MS) / 1000, UTC).isoformat()
    second = CliRunner().invoke(
        train, [*options, "--seed", "9", "--until", until], catch_exceptions=False
    )
    assert second.exit_code == 0, second.output
    champion = registry.pointer("champion")
    assert champion == registry.versions()[-1]
    assert f"{champion} in {registry.url}: champion" in second.output.replace("\n", "")
    manifest = registry.load(champion).manifest
    assert manifest.seed == 9
    assert manifest.window.end_ms <= START_MS + 150 * DAY_MS
    report = json.loads(registry.load(champion).files["report.json"])
    assert report["rejects"] == {"bad_json": 1}
    assert report["examples"]["mail"]["rows"] > 50
    Scorer(registry.load(champion)).check_golden()

    with pytest.raises(TrainingError, match="missing: \\['absent'\\]"):
        list(read_topics(kafka.bootstrap, ["absent"]))
