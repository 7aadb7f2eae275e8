"""Parity: what was logged equals the replay, and whatever does not is found and explained."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import Bundle, Fit
from models.contract import FeatureContract
from models.registry import Registry
from stream import record_kernels
from stream.columns import EventBatch, Spans
from stream.features import compile_features
from stream.records import CorruptRecords
from tests.conftest import CreateTopics, KafkaCluster
from tests.parity_harness import (
    HOUR_MS,
    START_MS,
    Record,
    Shop,
    Worker,
    bundle,
    campaign,
    chunk_of,
    event,
    history,
    open_shop,
    text,
)
from trainer.errors import TrainingError
from trainer.parity.causes import Cause
from trainer.parity.command import parity as command
from trainer.parity.compare import Measured
from trainer.parity.errors import ParityError
from trainer.parity.findings import Findings
from trainer.parity.logged import Scope
from trainer.parity.replayed import Run, in_order
from trainer.parity.report import Parity, Where
from trainer.parity.source import open_topics


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def shop(made: Shop) -> Shop:
    """The same shop for every test, to be damaged."""
    return replace(made, events=dict(made.events), decisions=list(made.decisions))


def causes(parity: Parity) -> dict[str, int]:
    return {finding.cause: finding.count for finding in parity.findings}


def about(shop: Shop, i: int) -> Where:
    data = json.loads(shop.decisions[i].value or b"")["data"]
    place = data["event"]
    return Where(place["topic"], place["partition"], place["offset"], data["external_id"])


def test_what_a_worker_logs_equals_the_replay(shop: Shop) -> None:
    n = len(shop.decisions)
    parity = shop.check()
    assert parity.holds
    assert (parity.decisions, parity.compared, parity.equal, parity.events) == (n, n, n, n)
    assert (parity.different_bytes, parity.compared_bytes) == (0, n * len(shop.vector(0)) * 4)
    assert sorted(parity.models.values()) == [n // 2, n // 2]
    assert parity.findings == ()
    # Two normalizations, and features that move: equality is not that of constants.
    assert (np.ptp([shop.vector(i) for i in range(n)], axis=0) > 0).all()


def test_a_flipped_bit_is_found(shop: Shop) -> None:
    shop.flip(40, feature=5)
    parity = shop.check()
    assert not parity.holds
    assert causes(parity) == {"different": 1}
    assert parity.findings[0].first == about(shop, 40)
    assert (parity.equal, parity.different_bytes) == (parity.compared - 1, 1)
    named = {feature.name: feature for feature in parity.features if feature.differences}
    (name,) = named
    assert name == compile_features(shop.campaign).names[5]
    first = named[name].first
    assert first is not None
    logged = shop.vector(40)[5]
    assert (first.where, first.logged, first.cause) == (about(shop, 40), logged, "different")
    assert abs(logged - np.float32(first.replayed)) == np.spacing(np.abs(logged))
    assert named[name].largest == abs(float(logged) - first.replayed)


def test_a_sign_of_zero_and_a_not_finite_number_are_differences(shop: Shop) -> None:
    logged = np.array([[0.0, 1.0], [-0.0, np.nan]], np.float32)
    found = Measured.of(logged, np.array([[0.0, 1.0], [0.0, np.nan]], np.float32))
    assert (found.equal, found.differences.tolist(), found.largest.tolist()) == (1, [1, 0], [0, 0])
    shop.flip(40, feature=5, bit=30)
    (feature,) = (one for one in shop.check().features if one.differences)
    assert feature.largest is None or feature.largest > 1e30


def test_relative_difference_is_that_of_the_sums() -> None:
    found = Measured.of(np.float32([[1.0], [3.0]]), np.float32([[2.0], [-1.0]]))
    found += Measured.nothing(1)
    assert (found.relative[0], found.largest[0]) == (5 / 7, 4)


def test_the_first_difference_shown_is_one_that_nothing_explains() -> None:
    cut, fault = int(Cause.HISTORY_CUT), int(Cause.DIFFERENT)
    findings = Findings(("a", "b"))
    replayed = np.zeros((3, 2), np.float32)
    first = np.float32([[1, 0], [2, 0], [3, 5]])
    findings.add_differences(first, replayed, np.array([cut, fault, cut]), place("first"))
    findings.add_differences(first, replayed, np.array([fault, cut, fault]), place("then"))
    shown = [feature.first for feature in findings.report("", "", 1.0).features]
    assert [(one.where.topic, one.where.offset, one.logged, one.cause) for one in shown] == [
        ("first", 1, 2, "different"), ("then", 2, 5, "different"),
    ]  # fmt: skip


def place(topic: str) -> Callable[[int], Where]:
    return lambda i: Where(topic, 0, i, None)


@pytest.mark.parametrize("headers", [[], [("features", b"\0" * 8)], [("feature", b"\0" * 52)]])
def test_a_missing_header_is_found(shop: Shop, headers: Any) -> None:
    shop.change(7, headers=[("content-type", b"application/json"), *headers])
    parity = shop.check()
    assert causes(parity) == {"no_vector": 1}
    assert parity.findings[0].first == about(shop, 7)
    assert not parity.holds
    assert parity.equal == parity.compared == len(shop.decisions) - 1


def test_decisions_that_cannot_be_compared_say_why(shop: Shop, tmp_path: Path) -> None:
    changed = compile_features(campaign(more='{ op = "tenure" },'))
    other = bundle(changed, 3)
    contract = msgspec.structs.replace(compile_features(shop.campaign).contract, kernel_version=99)
    older = replaced(bundle(compile_features(shop.campaign), 4), contract)
    registry = Registry(shutil.copytree(shop.registry.url, tmp_path / "registry"))
    registry.publish(other)
    registry.publish(older)
    shop.registry = registry

    def by(model: str, contract: str) -> Callable[[dict[str, Any]], None]:
        return lambda message: message["data"].update(model=model, feature_contract=contract)

    mine = compile_features(shop.campaign).contract.digest
    shop.edit(3, by(other.manifest.version, changed.contract.digest))
    shop.edit(4, by(older.manifest.version, contract.digest))
    shop.edit(5, by("20200101T000000Z-00000000", mine))
    shop.edit(6, by("20200101T000000Z-00000000", "ffff"))
    shop.edit(7, lambda message: message["data"]["event"].update(topic="another"))
    parity = shop.check()
    assert causes(parity) == {
        "other_topic": 1, "other_kernel": 1, "other_contract": 2, "model_unknown": 1,
        "no_decision": 1,
    }  # fmt: skip
    assert parity.equal == parity.compared == len(shop.decisions) - 5


def replaced(made: Bundle, contract: FeatureContract) -> Bundle:
    """The same bundle for another feature contract."""
    manifest = made.manifest
    return Bundle.create(
        contract=contract, normalization=made.normalization, strategies=manifest.strategies,
        network=manifest.network, weights=made.weights, golden=made.golden,
        fit=Fit(manifest.created, manifest.window, manifest.seed),
    )  # fmt: skip


def test_records_that_are_no_decisions_are_counted(shop: Shop) -> None:
    flat = b'{"decision_id":"m1","customer_id":"c1","strategy":"mail","decided_at":1}'
    shop.decisions += [Record(b"c1", flat), Record(b"c1", b"{"), Record(None, None)]
    parity = shop.check()
    assert causes(parity) == {"unreadable": 3}
    assert parity.findings[0].first == Where("shop-decisions", 0, len(shop.decisions) - 3, None)


def test_repeated_decisions_have_to_be_the_same(shop: Shop) -> None:
    shop.decisions[60:60] = shop.decisions[40:60]  # a restart
    parity = shop.check()
    assert parity.holds
    assert (parity.repeated, parity.equal) == (20, len(shop.decisions))
    shop.flip(70)
    parity = shop.check()
    assert causes(parity) == {"different": 1, "repeat_differs": 1}
    assert [finding.first for finding in parity.findings] == [about(shop, 70)] * 2


def test_a_repeat_by_another_model_is_compared_with_its_own_normalization(shop: Shop) -> None:
    worker = Worker(shop.campaign, bundle(compile_features(shop.campaign), 2))
    worker.take(shop.events["events"][:20])
    assert worker.decisions[5].headers != shop.decisions[5].headers
    shop.decisions[20:20] = worker.decisions
    parity = shop.check()
    assert parity.holds
    assert (parity.repeated, parity.equal) == (20, len(shop.decisions))


def test_events_and_decisions_without_a_counterpart(shop: Shop) -> None:
    n = len(shop.decisions)
    shop.edit(20, lambda message: message["data"]["event"].update(offset=n + 7))
    shop.edit(21, lambda message: message["data"]["event"].update(partition=1))
    del shop.decisions[-3:], shop.decisions[50], shop.decisions[0]
    parity = shop.check()
    assert causes(parity) == {"no_event": 2, "no_decision": 4}
    assert parity.undecided_yet == 3
    assert not parity.holds


def test_a_decision_topic_that_was_cut_explains_missing_decisions(shop: Shop) -> None:
    shop.starts = {"shop-decisions": 30}
    parity = shop.check()
    assert causes(parity) == {"decision_removed": 30}
    assert parity.holds


def test_a_cut_history_explains_the_customers_who_had_events_in_it(shop: Shop) -> None:
    keys = [record.key for record in shop.events["events"]]
    late = next(i for i, key in enumerate(keys) if key not in keys[:i] and i >= 10)
    shop.starts = {"events": late}
    parity = shop.check()
    assert parity.holds
    found = causes(parity)
    assert found["event_removed"] == late
    assert 0 < found["history_cut"] < parity.compared == len(keys) - late
    assert parity.equal == parity.compared - found["history_cut"]
    shop.flip(late)  # of a customer who had none of the removed events
    assert causes(shop.check()) == found | {"different": 1}
    # With decisions removed as well, nobody knows who had events before.
    shop.starts = {"events": late, "shop-decisions": 1}
    assert causes(shop.check())["history_cut"] == found["history_cut"] + 1


def test_an_event_that_was_refused_only_later(shop: Shop) -> None:
    """Its time was too far ahead when it came in, and no longer when the worker came to read it."""
    records = shop.events["events"][:60]
    far_ms = START_MS + 40 * 24 * HOUR_MS
    records[20] = event("c3", 1, far_ms, received_ms=records[20].timestamp_ms)
    worker = Worker(shop.campaign, bundle(compile_features(shop.campaign), 1))
    worker.take(records, now_ms=far_ms)
    parity = replace(shop, events={"events": records}, decisions=worker.decisions).check()
    later = sum(record.key == b"c3" for record in records[21:])
    assert causes(parity) == {"event_refused": 1, "state_of_refused": later}
    assert parity.holds


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_sample_has_customers_whole(shop: Shop, share: float) -> None:
    sizes = Counter(record.key for record in shop.events["events"])
    parity = shop.check(Scope(share))
    assert parity.holds
    assert 0 < parity.customers < len(sizes)
    assert parity.events == parity.compared == parity.equal < len(shop.decisions)
    chosen = Scope(share).has_customers(Spans.of(list(sizes)))
    assert parity.events == sum(np.array(list(sizes.values()))[chosen])


def test_since_and_until_bound_what_is_compared_and_not_what_is_replayed(shop: Shop) -> None:
    times = [json.loads(record.value or b"")["timestamp"] for record in shop.events["events"]]
    since_ms, until_ms = sorted(times)[50], sorted(times)[90]
    shop.flip(0)  # long before
    del shop.decisions[2]
    parity = shop.check(Scope(since_ms=since_ms, until_ms=until_ms))
    assert parity.holds
    assert parity.compared == parity.equal == 40
    assert parity.events == len(times)


# Several topics


def two_topics(tmp_path: Path, on: Sequence[str] = ("*",)) -> tuple[Shop, Worker]:
    made = campaign(events=("views", "orders"), on=on)
    model = bundle(compile_features(made), 1)
    registry = Registry(tmp_path / "registry")
    registry.publish(model)
    worker = Worker(made, model)
    return Shop(made, registry, {"views": [], "orders": []}, worker.decisions), worker


def test_topics_taken_as_they_come_in_are_replayed_exactly(tmp_path: Path) -> None:
    """A minute between the events: their order is known, and so a fault cannot hide behind it."""
    shop, worker = two_topics(tmp_path)
    for i in range(60):
        topic, kind = [("views", 0), ("orders", 1)][i % 3 == 0]
        now_ms = START_MS + 60_000 * i
        one = event(f"c{i % 4}", kind, now_ms, received_ms=now_ms + 10)
        worker.take([one], len(shop.events[topic]), topic, now_ms + 50)
        shop.events[topic].append(one)
    parity = shop.check()
    assert parity.holds
    assert parity.equal == parity.compared == 60
    shop.flip(33)
    assert causes(shop.check()) == {"different": 1}


def test_when_an_event_without_decision_was_taken_is_known_from_below_only(tmp_path: Path) -> None:
    """It came in after the view was decided; who views again afterwards is in doubt."""
    shop, worker = two_topics(tmp_path, on=["View"])
    for i in range(30):
        now_ms = START_MS + 60_000 * i
        view = event(f"c{i % 3}", 0, now_ms, received_ms=now_ms)
        worker.take([view], i, "views", now_ms + 50)
        shop.events["views"].append(view)
        if i in {10, 29}:  # of c1 in the middle, of c2 at its end
            order = event(f"c{i % 3}", 1, now_ms + 20_000, received_ms=now_ms + 20_000)
            worker.take([order], len(shop.events["orders"]), "orders", now_ms + 20_050)
            shop.events["orders"].append(order)
    parity = shop.check()
    assert (parity.compared, parity.equal, parity.faults) == (30, 30, 0)
    for i, cause in ((9, "different"), (10, "order_unknown"), (11, "different")):
        damaged = replace(shop, decisions=list(shop.decisions))
        damaged.flip(i)
        assert causes(damaged.check()) == {cause: 1}


def test_a_repeat_does_not_widen_what_is_known(tmp_path: Path) -> None:
    """Decided again much later, after a restart: the event was taken when it was decided first."""
    shop, worker = two_topics(tmp_path)
    view, order = (
        event("c1", kind, START_MS + 60_000 * kind, received_ms=START_MS + 60_000 * kind)
        for kind in range(2)
    )
    worker.take([view], 0, "views", START_MS + 50)
    worker.take([order], 0, "orders", START_MS + 60_050)
    again = Worker(worker.campaign, worker.bundle)
    again.take([view], 0, "views", START_MS + 600_000)
    shop.events = {"views": [view], "orders": [order]}
    shop.decisions += again.decisions
    assert shop.check().holds
    shop.flip(1)
    assert causes(shop.check()) == {"different": 1}


def test_an_order_that_nobody_recorded_explains_those_it_touches(tmp_path: Path) -> None:
    """The worker catches up, topic after topic; one customer is in both."""
    shop, worker = two_topics(tmp_path)
    at = [START_MS + HOUR_MS * i for i in range(20)]
    for i in range(20):
        shop.events["views"].append(event("both" if i % 2 else "viewer", 0, at[i]))
        shop.events["orders"].append(event("both" if i % 3 else "buyer", 1, at[i] + 1000))
    later_ms = at[-1] + HOUR_MS
    worker.take(shop.events["orders"], 0, "orders", later_ms)
    worker.take(shop.events["views"], 0, "views", later_ms + 200)
    parity = shop.check()
    assert parity.holds
    assert parity.compared == 40
    found = causes(parity)
    assert set(found) == {"order_unknown"}
    assert found["order_unknown"] >= 10
    assert parity.findings[0].first.customer == "both"
    alone = next(i for i in range(40) if about(shop, i).customer == "viewer")
    shop.flip(alone)
    assert causes(shop.check()) == found | {"different": 1}


@given(st.lists(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), max_size=12), min_size=2,
                max_size=4), st.randoms())  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_the_order_is_that_of_the_newest_time_seen(
    topics: list[list[tuple[int, int]]], random: Any
) -> None:
    """Against a sort of everything at once; what counts is the order of each customer."""
    expected = []
    for t, events in enumerate(topics):
        seen = -1
        for offset, (time_ms, customer) in enumerate(events):
            seen = max(seen, time_ms)
            expected.append((seen, t, offset, customer))
    got = []
    for run in in_order([cut(t, events, random) for t, events in enumerate(topics)]):
        got += [(run.topic, int(o), int(c)) for o, c in zip(run.batch.offset, run.row, strict=True)]
    for customer in range(4):
        assert [one for one in got if one[2] == customer] == [
            one[1:] for one in sorted(expected) if one[3] == customer
        ]
    assert len(got) == len(expected)


def cut(topic: int, events: list[tuple[int, int]], random: Any) -> Any:
    """The events as runs of any length, some empty."""
    at = 0
    while at < len(events):
        end = at + random.randrange(4)
        part = np.array(events[at:end], np.int64).reshape(-1, 2)
        n = len(part)
        nulls = Spans(np.empty(0, np.uint8), np.zeros(n, np.int64), np.full(n, -1, np.int64))
        batch = EventBatch(
            record=np.arange(n), offset=np.arange(at, at + n), received_ms=part[:, 0],
            time_ms=part[:, 0], customer=nulls, event_id=nulls, type_code=np.zeros(n, np.int16),
            number=np.zeros((1, n)), category=np.zeros((0, n), np.uint64),
            consent=np.zeros(n, np.int8),
        )  # fmt: skip
        yield Run(topic, part[:, 1], batch)
        at = end


# Record headers


@given(st.lists(st.tuples(st.one_of(st.none(), st.binary(max_size=20)),
                          st.lists(st.tuples(st.sampled_from(["a", "features", "featuresx", "é"]),
                                             st.one_of(st.none(), st.binary(max_size=200))),
                                   max_size=4)), min_size=1, max_size=20))  # fmt: skip
@settings(deadline=None, max_examples=80)
def test_a_header_is_found_where_aiokafka_wrote_it(records: list[tuple[bytes | None, Any]]) -> None:
    chunk = chunk_of("t", [Record(b"k", value, headers) for value, headers in records])
    out = np.empty((2, len(chunk)), np.int64)
    name = np.frombuffer(b"features", np.uint8)
    bad = record_kernels.find_header(
        chunk.value.data, chunk.value.start, chunk.value.size, name, out
    )
    assert bad == -1
    found = Spans(chunk.value.data, *out)
    expected = [
        next((b for key, b in headers if key == "features" and b is not None), None)
        for _, headers in records
    ]
    assert [found[i] for i in range(len(found))] == expected


def test_headers_that_are_cut_off_are_refused(shop: Shop) -> None:
    chunk = chunk_of("t", [Record(b"k", b"v", [("a", b"1"), ("features", b"12345678")])])
    value, name = chunk.value, np.frombuffer(b"features", np.uint8)
    out = np.empty((2, 1), np.int64)
    for stop in range(int(value.start[0]) + 1, len(value.data) + 1):
        cut = value.data[:stop].copy()
        bad = record_kernels.find_header(cut, value.start, value.size, name, out)
        assert bad == (-1 if stop == len(value.data) else 0), stop


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=200)
def test_no_headers_are_read_beyond_the_buffer(data: bytes) -> None:
    buffer = np.frombuffer(b"\x04\x02a" + data + b"\xff", np.uint8)
    out = np.empty((2, 1), np.int64)
    where = np.zeros(1, np.int64)
    name = np.frombuffer(b"a", np.uint8)
    if record_kernels.find_header(buffer, where, where, name, out) < 0:
        assert out[1, 0] == -1 or 0 <= out[0, 0] <= out[0, 0] + out[1, 0] <= len(buffer)


def test_a_record_with_broken_headers_stops_the_check(shop: Shop) -> None:
    from trainer.parity import logged

    chunk = chunk_of("t", [Record(b"k", b"v")])
    data = chunk.value.data.copy()
    data[chunk.value.start[0] + 1] = 0x7F  # so many headers
    broken = replace(chunk, value=Spans(data, chunk.value.start, chunk.value.size))
    with pytest.raises(CorruptRecords, match="t/0: expected headers of format v2 at offset 0"):
        logged._header(broken, np.arange(1))


# On a broker


@pytest.fixture
def campaign_file(
    tmp_path: Path, topic_name: Callable[[str], str], create_topics: CreateTopics
) -> Path:
    app = topic_name("app")
    create_topics({f"{app}-events": 2, f"{app}-decisions": 2, f"{app}-dead": 2})
    file = tmp_path / "opportune.toml"
    file.write_text(text(app, [f"{app}-events"]))
    return file


def run_command(file: Path, kafka: KafkaCluster, *more: str) -> tuple[Result, Parity]:
    report = file.parent / "parity.json"
    report.unlink(missing_ok=True)
    result = CliRunner().invoke(command, [
        str(file), "--bootstrap", kafka.bootstrap, "--registry", str(file.parent / "registry"),
        "--json", str(report), *more,
    ], env={"COLUMNS": "200"})  # fmt: skip
    assert report.exists(), repr(result.exception.__cause__)
    return result, msgspec.json.decode(report.read_bytes(), type=Parity)


def produce(kafka: KafkaCluster, topic: str, partition: int, records: list[Record]) -> None:
    producer = Producer({
        "bootstrap.servers": kafka.bootstrap, "compression.type": "lz4", "log_level": 0,
        "enable.idempotence": True,
    })  # fmt: skip
    for record in records:
        producer.produce(
            topic, record.value, record.key, partition, timestamp=record.timestamp_ms,
            headers=record.headers,
        )  # fmt: skip
    assert producer.flush(30) == 0


@pytest.mark.kafka
def test_the_command_says_whether_serving_is_the_replay(
    kafka: KafkaCluster, campaign_file: Path
) -> None:
    from stream.campaign import load

    loaded = load(campaign_file)
    model = bundle(compile_features(loaded), 1)
    Registry(campaign_file.parent / "registry").publish(model)
    result, found = run_command(campaign_file, kafka)
    assert (result.exit_code, found.compared) == (1, 0)
    (events,), decisions = loaded.topics.events, loaded.topics.decisions
    workers = []
    for partition in range(2):
        records = history(200, seed=partition)
        worker = Worker(loaded, model, partition)
        worker.take(records)
        produce(kafka, events, partition, records)
        produce(kafka, decisions, partition, worker.decisions)
        workers.append(worker)
    result, found = run_command(campaign_file, kafka)
    assert (result.exit_code, found.compared, found.equal) == (0, 400, 400)
    assert "400 bit-equal (100 %)" in result.stdout
    assert "Serving and replay are the same." in result.stdout

    sampled, found = run_command(campaign_file, kafka, "--customers-share", "0.5")
    assert sampled.exit_code == 0
    assert 0 < found.compared == found.equal < 400

    damaged = Shop(loaded, Registry(""), {}, [workers[1].decisions[150]])
    damaged.flip(0)
    produce(kafka, decisions, 1, damaged.decisions)
    result, found = run_command(campaign_file, kafka)
    assert result.exit_code == 1
    assert causes(found) == {"different": 1, "repeat_differs": 1}
    assert f"{events}/1@150" in result.stdout

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for done in admin.delete_records([TopicPartition(events, 0, 30)]).values():
        done.result(30)
    _, found = run_command(campaign_file, kafka)
    assert causes(found).keys() == {
        "different", "repeat_differs", "history_cut", "event_removed"
    }  # fmt: skip
    assert causes(found)["event_removed"] == 30


@pytest.mark.kafka
def test_the_command_says_what_to_change(
    kafka: KafkaCluster, campaign_file: Path, topic_name: Callable[[str], str]
) -> None:
    flat = campaign_file.read_text().replace('"cloudevents"', '"flat"')
    campaign_file.write_text(flat)
    with pytest.raises(ParityError, match="only such decisions say which event"):
        CliRunner().invoke(command, [str(campaign_file), "--bootstrap", kafka.bootstrap],
                           catch_exceptions=False)  # fmt: skip
    missing = topic_name("missing")
    with (
        open_topics(kafka.bootstrap, [missing]) as topics,
        pytest.raises(TrainingError, match=missing),
    ):
        topics.extents(missing)


def test_a_broker_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(TrainingError, match="expected a Kafka broker at localhost:1, "),
        open_topics("localhost:1", ["a", "b"]),
    ):
        pass


def test_nothing_compared_is_no_parity(shop: Shop) -> None:
    shop.decisions = []
    parity = shop.check()
    assert parity.undecided_yet == len(shop.events["events"])
    assert not parity.faults
    assert not parity.holds
