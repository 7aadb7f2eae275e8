"""What a benchmark found, as JSON for machines, with the machine and the versions it was found on.

Rules of this file
1. The keys are an interface: they are only added to.
2. What could not be measured is null, never a number.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.latency import Latency
from benchmarks.reference.run import ReferenceResult
from benchmarks.reference.throughput import Throughput
from benchmarks.restore import Restore
from stream.broker.lock import KAFKA_VERSION

_FAULTS = ("missing", "duplicates", "unknown", "wrong_partition", "wrong_customer")
_LIBRARIES = ("aiokafka", "faust-streaming", "keras", "numba", "numpy", "opportune", "tensorflow")


def reference_json(result: ReferenceResult) -> dict[str, Any]:
    """The result as plain data: the figures of our worker first, the others below their names."""
    own = _figures(result.opportune)
    naive = None if result.naive is None else _figures(result.naive)
    latency = _latency_figures(result.latency)
    return {
        "decisions_per_second": own["decisions_per_second"],
        "naive_decisions_per_second": naive and naive["decisions_per_second"],
        "ratio": _number(result.ratio, 1),
        **{name: own[name] for name in ("agree", "missing", "duplicates", "wrong_partition")},
        "p50_ms": latency["p50_ms"],
        "p99_ms": latency["p99_ms"],
        "cpu_s_per_million": own["cpu_s_per_million"],
        "peak_rss_mib": own["peak_rss_mib"],
        "rate_basis": result.opportune.basis,
        "ratio_from_first": _number(result.ratio_from_first, 1),
        "clean": result.clean,
        "events": result.plan.events,
        "customers": result.plan.customers,
        "partitions": result.plan.partitions,
        "format": result.plan.form,
        "opportune": own,
        "naive": naive,
        "cloudevents": None if result.cloudevents is None else _figures(result.cloudevents),
        "latency": {"rate": result.plan.pace.rate, **latency},
        **environment(),
    }


def latency_json(latency: Latency, rate: int, customers: int) -> dict[str, Any]:
    """The result of `latency` as plain data."""
    return {
        **_latency_figures(latency),
        "rate": rate,
        "customers": customers,
        **environment(),
    }


def restore_json(restore: Restore) -> dict[str, Any]:
    """The result of `restore` as plain data."""
    figures = asdict(restore)
    return {
        **{name: _number(value, 3) for name, value in figures.items()},
        "rows_per_second": _number(restore.rows_per_second),
        "state_bytes_per_customer": _number(restore.state_bytes_per_customer, 1),
        "clean": restore.clean,
        **environment(),
    }


def environment() -> dict[str, Any]:
    """The machine and the versions: a figure without them means little."""
    return {
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": psutil.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
            "load_1m": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "python": platform.python_version(),
            "kafka": KAFKA_VERSION,
            **{name: version(name) for name in _LIBRARIES},
        },
    }


def write_json(file: Path, data: Mapping[str, Any]) -> None:
    """Writes indented JSON."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def _figures(one: Throughput) -> dict[str, Any]:
    return {
        "decisions_per_second": _number(one.per_second),
        "rate_basis": one.basis,
        "decisions_per_second_from_first": _number(one.per_second_from_first),
        "span_decisions_per_second": _number(one.span_per_second),
        "cpu_s_per_million": _number(one.cpu_s_per_million, 2),
        "peak_rss_mib": _number(one.peak_rss_mib, 1),
        "agree": round(one.agree, 6),
        "max_score_error": _number(one.max_score_error, 9),
        **{kind: one.faults(kind) for kind in _FAULTS},
        "runs": [
            {"events": run.events, "to_last_s": run.to_last_s, "span_s": run.span_s,
             "cpu_s": round(run.cpu_s, 2)}
            for run in one.runs
        ],
    }  # fmt: skip


def _latency_figures(latency: Latency) -> dict[str, Any]:
    return {name: _number(value, 3) for name, value in asdict(latency).items()}


def _number(value: Any, digits: int = 0) -> Any:
    """A rounded number; JSON has no NaN: what could not be measured is null."""
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return round(value, digits) if digits else round(value)


def _processor() -> str:
    """Name of the processor; the platform module knows it on few systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "")
