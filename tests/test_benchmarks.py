"""The benchmarks: the input to the byte, a referee that finds every fault, the keys of the report."""

from __future__ import annotations

import hashlib
import json
import math
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from aiokafka.partitioner import DefaultPartitioner
from click.testing import CliRunner
from confluent_kafka import Producer

from benchmarks import __main__ as command_line
from benchmarks import restore as restore_benchmark
from benchmarks.bench import Bench
from benchmarks.campaign_variant import write_variant
from benchmarks.cluster import Cluster
from benchmarks.contestants import CAMPAIGN, naive
from benchmarks.errors import BenchmarkError
from benchmarks.latency import Latency, latency_of
from benchmarks.progress import Steps
from benchmarks.reference_input import EVENT_TYPES, Input, generate, load
from benchmarks.reference_model import ReferenceModel
from benchmarks.reference_read import Decisions, Events, read_decisions, read_events
from benchmarks.reference_run import ReferencePlan, ReferenceResult
from benchmarks.reference_verify import Verdict, compare, decide
from benchmarks.report import latency_json, reference_json, restore_json, write_json
from benchmarks.restore import Restore
from benchmarks.throughput import Pair, Run, Throughput, run_once
from benchmarks.worker_process import WorkerProcess
from stream import campaign as campaign_file
from stream.broker import EmbeddedKafka
from stream.features import compile_features

GOLDEN_INPUT = {
    (1_000, 50): "3c54809a5f6863d1b39b647b358257931c79e1a29c07d4a8c204460d270a7fca",
    (20_000, 2_000): "1dd65c49b26de52236c0a2589d9b262dff2e0448f43380e0f9ad2c0317b1b17a",
}
"""SHA-256 of the lines `key TAB value` that the definition of the job gives, computed apart from
this implementation."""

REFERENCE_KEYS = [
    "decisions_per_second", "naive_decisions_per_second", "ratio", "agree", "missing", "duplicates",
    "wrong_partition", "p50_ms", "p99_ms", "cpu_s_per_million", "peak_rss_mib",
]  # fmt: skip
MODEL = ReferenceModel.load()


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


# --- the referee


def as_read(events: Input, partitions: int = 3) -> Events:
    """The events as they come back from a topic."""
    partition = events.customer % partitions
    order = np.argsort(partition, kind="stable")
    return Events(
        id=[f"{number:016x}" for number in events.number[order]],
        customer=[f"c{number:08d}" for number in events.customer[order]],
        kind=events.kind[order],
        time_s=events.timestamp_ms[order] / 1000,
        value=events.value[order],
        partition=partition[order],
        append_ms=np.arange(len(events)),
    )


def decide_slowly(events: Events) -> list[tuple[int, float]]:
    """The definition of the job, one event and one number at a time."""
    half_lives_s, cap_s = [3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0], 90 * 86400.0
    states: dict[str, dict[str, Any]] = {}
    decided = []
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
        decided.append((best, 1 / sum(math.exp(one - logits[best]) for one in logits)))
    return decided


def test_the_referee_decides_as_the_definition_does() -> None:
    events = as_read(generate(1_500, 60))
    expected = decide(events, MODEL)
    slow = decide_slowly(events)
    assert expected.strategy.tolist() == [strategy for strategy, _ in slow]
    np.testing.assert_allclose(expected.score, [score for _, score in slow], rtol=0, atol=1e-12)
    assert len(set(expected.strategy.tolist())) >= 5, "the job tells strategies apart"


EVENTS = as_read(generate(2_000, 100))
EXPECTED = decide(EVENTS, MODEL)


def decisions_of(index: list[int] | None = None, **changes: Any) -> Decisions:
    """The right decisions about the events `index`, with changes."""
    i = np.arange(len(EVENTS)) if index is None else np.array(index, np.int64)
    right = Decisions(
        event=[EVENTS.id[j] for j in i],
        customer=[EVENTS.customer[j] for j in i],
        strategy=EXPECTED.strategy[i].copy(),
        score=np.round(EXPECTED.score[i], 6),
        partition=EVENTS.partition[i].copy(),
        append_ms=np.arange(len(i)),
    )
    return replace(right, **changes)


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


# --- the model and the campaign file


def test_the_campaign_computes_the_features_of_the_job_in_its_order() -> None:
    names = compile_features(campaign_file.load(CAMPAIGN)).names
    half_lives = ["1h", "1d", "7d", "30d"]
    assert names == (
        *(f"{kind}_count_{half_life}" for kind in EVENT_TYPES for half_life in half_lives),
        *(f"purchase_sum_{half_life}" for half_life in half_lives),
        *(f"{kind}_recency" for kind in EVENT_TYPES),
        "time_of_day_sin",
        "time_of_day_cos",
    )


def test_the_worker_scores_the_bundle_as_the_referee_does() -> None:
    from stream.scores import Scorer

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


# --- latency


def test_latency_is_append_to_append_after_the_warm_up() -> None:
    append_ms = np.arange(2_000) * 2 + 1_000_000  # 500 a second for 4 s
    events = replace(EVENTS, append_ms=append_ms)
    late_ms = np.where(append_ms < 1_001_000, 5_000, 10)
    late_ms[-1] = 70
    found = latency_of(events, decisions_of(append_ms=append_ms + late_ms), warm_up_s=1.0)
    assert found.events == 1_500
    assert (found.p50_ms, found.p99_ms, found.max_ms, found.missing) == (10, 10, 70, 0)
    assert found.rate_kept == pytest.approx(500, rel=0.01)


def test_latency_joins_by_id_and_counts_what_is_missing() -> None:
    events = replace(EVENTS, append_ms=np.arange(2_000))
    index = list(range(1_999, 0, -1))  # the other way round, and one missing
    decisions = decisions_of([*index, 5], append_ms=np.array([*index, 99_999]) + 3)
    found = latency_of(events, decisions, warm_up_s=0.0)
    assert (found.p50_ms, found.max_ms, found.missing) == (3, 3, 1)


# --- rates and reports


def verdict(**changes: Any) -> Verdict:
    return replace(Verdict(10, 10, 1.0, 0, 0, 0, 0, 0, 1e-6), **changes)


def run(events: int, to_last_s: float, span_s: float = 1.0, **changes: Any) -> Run:
    return Run(events, to_last_s, span_s, span_s / 2, 300 << 20, verdict(**changes))


def throughput(*seconds: float, **changes: Any) -> Throughput:
    pairs = [
        Pair((run(1_000, 10.0, 0.5), run(5_000, 10.0 + took_s, 0.5 + took_s, **changes)))
        for took_s in seconds
    ]
    return Throughput(pairs)


LATENCY = Latency(100, 0, 4_990.0, 3.0, 4.0, 5.0, 6.0, 7.0)
PLAN = ReferencePlan(5_000, 100, 4, 1, "flat", 4_000, cloudevents=True)


def result(ours: Throughput, naive: Throughput | None = None) -> ReferenceResult:
    return ReferenceResult(PLAN, ours, LATENCY, naive, None)


def test_the_rate_is_marginal_and_the_median_of_the_rounds() -> None:
    one = throughput(2.0, 1.0, 40.0)
    assert one.per_second == one.per_second_from_first == 2_000
    assert one.cpu_s_per_million == pytest.approx(250)
    assert one.peak_rss_mib == 300
    assert one.span_per_second == 5_000 / 2.5
    assert throughput(2.0, 1.0, 40.0, -1.0).per_second == 2_000, "of the pairs that can be measured"


@pytest.mark.parametrize(
    ("later_s", "basis", "rate"),
    [(0.0, "process start", 1_000), (0.5, "process start", 4_000 / 4.5),
     (1.5, "first decision", 1_000)],
)  # fmt: skip
def test_a_start_that_varies_leaves_the_rate_alone(later_s: float, basis: str, rate: float) -> None:
    pair = Pair((run(1_000, 10.0, 1.0), run(5_000, 14.0 + later_s, 5.0)))
    assert Throughput([pair]).basis == basis
    assert pair.per_second == pytest.approx(rate)
    assert pair.per_second_from_first == 1_000


def test_the_reference_report_has_its_keys_first() -> None:
    data = reference_json(result(throughput(2.0), throughput(100.0)))
    assert list(data)[: len(REFERENCE_KEYS)] == REFERENCE_KEYS
    assert [data[key] for key in REFERENCE_KEYS] == [
        2_000, 40, 50.0, 1.0, 0, 0, 0, 3.0, 5.0, 250.0, 300.0,
    ]  # fmt: skip
    assert {"machine", "versions", "events", "customers", "clean"} <= set(data)


def test_a_report_says_null_for_what_was_not_measured(tmp_path: Path) -> None:
    alone = result(throughput(-1.0))
    write_json(tmp_path / "report.json", reference_json(alone))
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["decisions_per_second"] is None
    assert data["naive_decisions_per_second"] is None
    assert data["ratio"] is None
    assert not alone.measured
    assert result(throughput(1.0)).measured


def test_faults_of_every_run_reach_the_report() -> None:
    data = reference_json(result(throughput(1.0, 1.0, missing=2, duplicates=1, agree=0.9)))
    assert (data["missing"], data["duplicates"], data["agree"]) == (4, 2, 0.9)
    assert not data["clean"]


@pytest.mark.parametrize(
    ("ours", "naive", "missing", "clean"),
    [
        ({}, {}, 0, True),
        ({"missing": 1}, {}, 0, False),
        ({}, {"wrong_partition": 1}, 0, False),
        ({}, {}, 1, False),
    ],
)
def test_a_result_is_clean_when_all_of_it_is(
    ours: dict[str, int], naive: dict[str, int], missing: int, clean: bool
) -> None:
    found = result(throughput(1.0, **ours), throughput(9.0, **naive))
    assert replace(found, latency=replace(LATENCY, missing=missing)).clean is clean


RESTORE = Restore(10, False, 1.0, 2.0, 0.5, 10, 11, 0, 312, 5_000, verdict())


def test_the_other_reports_are_plain_json() -> None:
    data = msgspec.json.decode(msgspec.json.encode(restore_json(RESTORE)))
    assert data["rows_per_second"] == 20
    assert data["state_bytes_per_customer"] == 500
    assert data["clean"] is True
    assert latency_json(LATENCY, 5_000, 100)["p999_ms"] == 6.0


@pytest.mark.parametrize(
    "changes", [{"rows": 9}, {"reread_events": 1}, {"verdict": verdict(duplicates=1)}]
)
def test_a_restore_that_loses_or_repeats_is_not_clean(changes: dict[str, Any]) -> None:
    assert RESTORE.clean
    assert not replace(RESTORE, **changes).clean


@pytest.mark.parametrize(
    ("found", "code", "says"),
    [
        (result(throughput(2.0), throughput(100.0)), 0, "50.0"),
        (result(throughput(2.0, missing=1), throughput(100.0)), 1, "not those"),
        (result(throughput(-1.0)), 1, "Measure more events"),
    ],
)
def test_the_exit_code_is_that_of_the_referee(
    found: ReferenceResult, code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[ReferencePlan] = []

    def run_reference(plan: ReferencePlan) -> ReferenceResult:
        plans.append(plan)
        return found

    monkeypatch.setattr(command_line, "run_reference", run_reference)
    report = tmp_path / "report.json"
    arguments = ["reference", "--events", "5000", "--json", str(report)]
    ran = CliRunner().invoke(command_line.main, arguments)
    assert ran.exit_code == code, ran.output
    assert says in ran.output
    assert json.loads(report.read_text())["clean"] is found.clean
    assert plans[0].sizes == (1_000, 5_000)


# --- a worker as a process


def test_a_worker_is_watched_and_stopped(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "child = [sys.executable, '-c', 'while True: pass']\n"
        "busy = subprocess.Popen(child)\n"
        "print('not JSON', file=sys.stderr)\n"
        'print(\'{"evt":"begin","offset":3}\', file=sys.stderr, flush=True)\n'
        "try: time.sleep(60)\n"
        "finally: busy.kill()\n"
    )
    with WorkerProcess(["-c", code], tmp_path / "log") as worker:
        worker.wait_for_line("begin")
        assert worker.lines("begin") == [{"evt": "begin", "offset": 3}]
        deadline_s = time.monotonic() + 20
        worker.wait_until("s of CPU", lambda: int(10 * worker.usage().cpu_s), 3)
        assert time.monotonic() < deadline_s, "the child's time is counted"
        assert worker.usage().peak_rss_bytes > 2_000_000
        worker.stop()


@pytest.mark.parametrize("code", ["import sys; sys.exit('the reason')", "print(1)"])
def test_a_worker_that_ends_by_itself_is_an_error(code: str, tmp_path: Path) -> None:
    with (
        WorkerProcess(["-c", code], tmp_path / "log") as worker,
        pytest.raises(BenchmarkError, match=r"expected 5 decisions, got 2 when the worker ended"),
    ):
        worker.wait_until("decisions", lambda: 2, 5)


def test_a_worker_without_progress_is_an_error(tmp_path: Path) -> None:
    with (
        WorkerProcess(["-c", "import time; time.sleep(60)"], tmp_path / "log") as worker,
        pytest.raises(BenchmarkError, match=r"got 2 and none for 0.3 s"),
    ):
        worker.wait_until("decisions", lambda: 2, 5, stall_s=0.3)


def test_a_worker_that_fails_when_stopped_is_an_error(tmp_path: Path) -> None:
    with (
        WorkerProcess(["-c", "import time; time.sleep(60)"], tmp_path / "log") as worker,
        pytest.raises(BenchmarkError, match="exit code 0, the worker gave -15"),
    ):
        worker.stop()


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
    cloudevent = {"specversion": "1.0", "id": "t-0-1", "subject": "c", "causationid": "e",
                  "data": {"external_id": "c", "score": 0.25,
                           "action": {"strategy": "strategy-7", "channel": None}}}  # fmt: skip
    cluster = Cluster(kafka.bootstrap, 2)
    for form, message in (("flat", flat), ("cloudevents", cloudevent)):
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
