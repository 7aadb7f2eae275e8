"""The benchmarks: the input to the byte, the campaign file of the job, the topics of a run."""

from __future__ import annotations

import hashlib
import json
import time
import tomllib
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Producer

from benchmarks import restore as restore_benchmark
from benchmarks.bench import Bench
from benchmarks.cluster import Cluster
from benchmarks.progress import Steps
from benchmarks.reference.campaign_variant import write_variant
from benchmarks.reference.contestants import CAMPAIGN, naive
from benchmarks.reference.input import EVENT_TYPES, generate, load
from benchmarks.reference.read import Form, read_decisions, read_events
from benchmarks.reference.throughput import run_once
from stream.broker import EmbeddedKafka
from stream.campaign import file as campaign_file
from stream.features.plan import compile_features
from tests.benchmarks.benchmarks_harness import MODEL

GOLDEN_INPUT = {
    (1_000, 50): "3c54809a5f6863d1b39b647b358257931c79e1a29c07d4a8c204460d270a7fca",
    (20_000, 2_000): "1dd65c49b26de52236c0a2589d9b262dff2e0448f43380e0f9ad2c0317b1b17a",
}
"""SHA-256 of the lines `key TAB value` that the definition of the job gives, computed apart from
this implementation."""


# --- the input


@pytest.mark.parametrize(("size", "digest"), GOLDEN_INPUT.items())
def test_the_input_is_the_reference_input_to_the_byte(size: tuple[int, int], digest: str) -> None:
    lines = [key + b"\t" + value for key, value in generate(*size).records()]
    assert len(lines) == size[0]
    assert hashlib.sha256(b"\n".join(lines)).hexdigest() == digest


def test_a_slice_has_the_records_of_the_whole() -> None:
    whole = generate(500, 40)
    assert list(whole.slice(100, 130).records()) == list(islice(whole.records(), 100, 130))


def test_the_restore_input_has_every_customer_once_before_the_tail() -> None:
    events = restore_benchmark._input(300)
    assert sorted(events.customer[:300]) == list(range(300))
    assert len(events) == 600
    assert (np.diff(events.timestamp_ms) >= 0).all()


# --- the model and the campaign file


def test_the_campaign_computes_the_features_of_the_job_in_its_order() -> None:
    plan = compile_features(campaign_file.load(CAMPAIGN))
    half_lives = ["1h", "1d", "7d", "30d"]
    assert plan.names == (
        *(f"{kind}_count_{half_life}" for kind in EVENT_TYPES for half_life in half_lives),
        *(f"purchase_sum_{half_life}" for half_life in half_lives),
        *(f"{kind}_recency" for kind in EVENT_TYPES),
        "time_of_day_sin",
        "time_of_day_cos",
    )
    assert plan.transforms == ("log1p",) * 34 + ("none",) * 2
    assert plan.event_types[:6] == EVENT_TYPES
    assert plan.number_paths == ("properties.value",)
    assert plan.decides.all()
    assert plan.row_bytes == 8 * (2 + 1 + 1 + 24 + 4 + 6 + 1 + 16)


def test_the_worker_scores_the_bundle_as_the_referee_does() -> None:
    from stream.scoring.scorer import Scorer

    campaign = campaign_file.load(CAMPAIGN)
    strategies = tuple(strategy.id for strategy in campaign.strategies)
    bundle = MODEL.bundle(compile_features(campaign).contract, strategies)
    scorer = Scorer(bundle)
    scorer.check_golden()
    features = np.random.default_rng(1).gamma(2, 2, (200, 36))
    z = MODEL.normalize(features)
    np.testing.assert_allclose(scorer.score(z.astype(np.float32)), MODEL.forward(z), atol=1e-5)


def test_a_variant_differs_in_what_was_changed_and_in_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "variant.toml"
    changes = {
        "app": 'na"me \\ ü',
        "topics.events": ["a", "b"],
        "decisions.format": "cloudevents",
        "worker.summary_interval_s": 1.5,
        "model.registry": "r",
    }
    write_variant(CAMPAIGN, target, changes)
    expected = tomllib.loads(CAMPAIGN.read_text())
    expected["app"] = changes["app"]
    expected["topics"]["events"] = ["a", "b"]
    expected["decisions"]["format"] = "cloudevents"
    expected.setdefault("worker", {})["summary_interval_s"] = 1.5
    expected["model"]["registry"] = "r"
    assert tomllib.loads(target.read_text()) == expected


# --- with a broker


@pytest.mark.kafka
def test_events_come_back_as_they_were_loaded(
    kafka: EmbeddedKafka, topic_name: Callable[[str], str]
) -> None:
    cluster, topic = Cluster(kafka.bootstrap, 3), topic_name("events")
    cluster.create(topic)
    events = generate(3_000, 100)
    before_ms = time.time_ns() // 1_000_000
    load(cluster, topic, events)
    assert cluster.records(topic) == 3_000
    read = read_events(cluster, topic)
    assert sorted(read.id) == [f"{i:016x}" for i in range(3_000)]
    number = np.array([int(one, 16) for one in read.id])
    assert (read.partition[1:] >= read.partition[:-1]).all()
    for partition in range(3):
        assert (np.diff(number[read.partition == partition]) > 0).all(), "the order of the offsets"
    partitioner = DefaultPartitioner()
    for i in range(0, 3_000, 37):
        expected = partitioner(read.customer[i].encode(), [0, 1, 2], [0, 1, 2])
        assert read.partition[i] == expected, "the partition that the Java client chooses"
    np.testing.assert_array_equal(read.kind, events.kind[number])
    np.testing.assert_array_equal(read.value, events.value[number])
    np.testing.assert_array_equal(read.time_s, events.timestamp_ms[number] / 1000)
    assert (read.append_ms >= before_ms).all(), "the time of the append, not of the event"
    cluster.delete_all(topic)


@pytest.mark.kafka
def test_decisions_are_read_in_both_forms(
    kafka: EmbeddedKafka, topic_name: Callable[[str], str]
) -> None:
    flat = {"decision_id": "e", "event_id": "e", "customer_id": "c", "strategy": "strategy-7",
            "score": 0.25, "model": "m", "decided_at": 1}  # fmt: skip
    moment = "2026-01-01T00:00:00Z"
    cloudevent = {"specversion": "1.0", "id": "t-0-1", "subject": "c", "causationid": "e",
                  "time": moment, "data": {
                      "external_id": "c", "score": 0.25, "expected_value": None,
                      "probability": None, "probability_without": None, "model": "m",
                      "feature_contract": "f", "reasons": [],
                      "action": {"strategy": "strategy-7", "channel": None},
                      "event": {"topic": "t", "partition": 0, "offset": 1, "time": moment}}}  # fmt: skip
    cluster = Cluster(kafka.bootstrap, 2)
    forms: list[tuple[Form, dict[str, Any]]] = [("flat", flat), ("cloudevents", cloudevent)]
    for form, message in forms:
        topic = topic_name(form)
        cluster.create(topic)
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        producer.produce(topic, json.dumps(message), "c", partition=1)
        assert producer.flush(20) == 0
        read = read_decisions(cluster, topic, form)
        assert (read.event, read.customer) == (["e"], ["c"])
        assert (read.strategy.tolist(), read.score.tolist()) == ([7], [0.25])
        assert read.partition.tolist() == [1]
        cluster.delete_all(topic)


@pytest.mark.kafka
def test_an_empty_topic_is_read_to_its_end(
    kafka: EmbeddedKafka, topic_name: Callable[[str], str]
) -> None:
    cluster, topic = Cluster(kafka.bootstrap, 2), topic_name("empty")
    cluster.create(topic)
    assert len(read_decisions(cluster, topic, "flat")) == 0
    assert cluster.committed("nobody", topic) == 0
    cluster.delete_all(topic)


@pytest.mark.kafka
def test_the_baseline_does_the_job(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    with Steps() as steps:
        bench = Bench(Cluster(kafka.bootstrap, 2), 50, tmp_path, steps)
        found = run_once(bench, "naive", naive, "flat", 400)
    assert found.verdict.clean
    assert (found.events, found.verdict.decisions) == (400, 400)
    assert 0 < found.span_s < found.to_last_s
    assert 0 <= found.cpu_s < 20
    assert found.peak_rss_bytes > 30 << 20
