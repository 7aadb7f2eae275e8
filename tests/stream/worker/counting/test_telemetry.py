"""Quantiles of the summary line against numpy, and what the line says."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline import Step
from stream.worker.counting.telemetry import Histogram, Totals, Window


@given(st.lists(st.floats(1, 1e7), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_never_too_low_and_at_most_a_bucket_too_high(
    durations: list[float], q: float
) -> None:
    histogram = Histogram()
    for part in np.array_split(np.array(durations), 3):
        histogram.add_ms(part)
    exact = np.quantile(durations, q, method="inverted_cdf")
    found = histogram.quantile_ms(q)
    assert found is not None
    assert exact * 0.999 - 0.1 <= found <= exact * 2 ** (1 / 8) * 1.001 + 0.1


def test_an_empty_histogram_has_no_quantile_and_zero_counts_as_one_millisecond() -> None:
    histogram = Histogram()
    assert histogram.quantile_ms(0.5) is None
    histogram.add_ms(np.array([0.0, -5.0]))
    assert histogram.quantile_ms(0.5) == 1.1


def test_the_summary_counts_records_and_not_chunks() -> None:
    window = Window(records=5000, decisions=4990, chunks=2, busy_s=5.0)
    window.rejects.update(bad_json=7, missing_customer=3)
    window.strategies.update(mail=4000, nothing=990)
    fields = window.summary(10.0)
    assert (fields["events_s"], fields["decisions_s"], fields["work_ratio"]) == (500, 499, 0.5)
    assert (fields["invalid"], fields["invalid_by"]) == (10, {"bad_json": 7, "missing_customer": 3})
    assert fields["strategies"] == {"mail": 4000, "nothing": 990}
    assert fields["e2e_ms_p99"] is None
    totals = Totals()
    totals.add(window)
    totals.add(window)
    assert (totals.records, totals.decisions, totals.invalid) == (10_000, 9_980, 20)


def test_the_summary_counts_what_chance_did() -> None:
    window, none = Window(), np.zeros(2, np.int64)
    step = Step(strategies=none, decided=10, explored=2, held_out=3)
    for _ in range(2):
        window.add(10, step, ["mail", "nothing"], 0.001)
    fields = window.summary(1.0)
    assert (fields["explored"], fields["held_out"]) == (4, 6)
    assert (Window().summary(1.0)["explored"], Window().summary(1.0)["held_out"]) == (None, None)
