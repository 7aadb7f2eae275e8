"""Latency, rates, the keys of the reports and the exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command_line
from benchmarks.latency import Latency, latency_of
from benchmarks.reference.run import ReferencePlan, ReferenceResult
from benchmarks.reference.throughput import Pair, Run, Throughput
from benchmarks.reference.verify import Verdict
from benchmarks.report import latency_json, reference_json, restore_json, write_json
from benchmarks.restore import Restore
from tests.benchmarks.benchmarks_harness import EVENTS, decisions_of

REFERENCE_KEYS = [
    "decisions_per_second", "naive_decisions_per_second", "ratio", "agree", "missing", "duplicates",
    "wrong_partition", "p50_ms", "p99_ms", "cpu_s_per_million", "peak_rss_mib",
]  # fmt: skip


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
