"""The campaign file of the reference job against the plain recomputation of its specification."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.contract import Normalization
from stream.campaign.file import load
from stream.columns import EventBatch, Spans
from stream.features.plan import apply, compile_features

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT.parent / "shared" / "bench" / "model.json"
PLAN = compile_features(load(ROOT / "benchmarks" / "reference" / "opportune.toml"))
TYPES = ["view", "search", "cart", "purchase", "email_open", "email_click"]
HALF_LIVES_S = np.array([3600.0, 86400.0, 604800.0, 2592000.0])
CAP_S = 90 * 86400.0
EVENTS, CUSTOMERS = 2000, 50


def test_the_features_stand_in_the_order_of_the_specification() -> None:
    labels = ["1h", "1d", "7d", "30d"]
    assert list(PLAN.names) == [
        *(f"{event}_count_{label}" for event in TYPES for label in labels),
        *(f"purchase_sum_{label}" for label in labels),
        *(f"{event}_recency" for event in TYPES),
        "time_of_day_sin",
        "time_of_day_cos",
    ]
    assert PLAN.transforms == ("log1p",) * 34 + ("none",) * 2
    assert list(PLAN.event_types[:6]) == TYPES
    assert PLAN.number_paths == ("properties.value",)
    assert PLAN.decides.all()
    assert PLAN.row_bytes == 8 * (2 + 1 + 1 + 24 + 4 + 6)


def generated() -> tuple[npt.NDArray[np.int64], EventBatch]:
    """Customers and events drawn as the load generator of the job draws them."""
    rng = np.random.default_rng(7)
    code = rng.choice(6, EVENTS, p=[0.55, 0.15, 0.1, 0.05, 0.1, 0.05]).astype(np.int16)
    customer = (rng.pareto(1.2, EVENTS) * CUSTOMERS / 20).astype(np.int64) % CUSTOMERS
    time_ms = 1_760_000_000_000 + np.cumsum(rng.integers(0, 2_000_000, EVENTS))
    value = np.where(code >= 2, np.round(rng.gamma(2, 20, EVENTS), 2), 0.0)
    none = Spans(np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64))
    index = np.arange(EVENTS)
    return customer, EventBatch(
        record=index, offset=index, received_ms=time_ms, time_ms=time_ms, customer=none,
        event_id=none, type_code=code, number=value[None], category=np.zeros((0, EVENTS), np.uint64),
        consent=np.ones((1, EVENTS), np.int8), consent_only=np.zeros(EVENTS, np.bool_),
    )  # fmt: skip


def specified(customers: npt.NDArray[np.int64], batch: EventBatch) -> npt.NDArray[np.float64]:
    """The 36 features before normalization, one event at a time, in seconds and with exp."""
    out = np.zeros((EVENTS, 36))
    rate = math.log(2) / HALF_LIVES_S
    states: dict[int, tuple[npt.NDArray[np.float64], ...]] = {}
    clock: dict[int, float] = {}
    for i, customer in enumerate(customers.tolist()):
        t, k = batch.time_ms[i] / 1000, int(batch.type_code[i])
        if customer not in states:
            states[customer] = np.zeros((6, 4)), np.zeros(4), np.zeros(6)
        count, spend, last = states[customer]
        decay = np.exp(-rate * (t - clock.get(customer, t)))
        count *= decay
        spend *= decay
        clock[customer] = t
        count[k] += 1
        if TYPES[k] == "purchase":
            spend += batch.number[0, i]
        last[k] = t
        hour = t / 3600 % 24
        out[i, :24] = np.log1p(count).ravel()
        out[i, 24:28] = np.log1p(spend)
        out[i, 28:34] = np.log1p(np.where(last > 0, np.minimum(t - last, CAP_S), CAP_S))
        out[i, 34:] = np.sin(2 * np.pi * hour / 24), np.cos(2 * np.pi * hour / 24)
    return out


def computed(
    customers: npt.NDArray[np.int64], batch: EventBatch, normalization: Normalization
) -> npt.NDArray[np.float32]:
    state = np.zeros((CUSTOMERS, PLAN.row_words))
    applied = apply(PLAN, state, customers, batch, 0, normalization)
    assert applied.applied.all()
    assert applied.counters.tolist() == [0, 0, 0]
    return applied.features


@pytest.mark.slow
def test_features_are_those_of_the_specification() -> None:
    customers, batch = generated()
    got = computed(customers, batch, Normalization.identity(36))
    np.testing.assert_allclose(got, specified(customers, batch), rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not MODEL.exists(), reason=f"the model of the reference job is not at {MODEL}")
def test_the_model_of_the_job_chooses_the_same_strategies() -> None:
    model = {name: np.array(values) for name, values in json.loads(MODEL.read_text()).items()}
    customers, batch = generated()
    features = computed(customers, batch, Normalization(model["mean"], model["std"], math.inf))
    x = (specified(customers, batch) - model["mean"]) / model["std"]
    np.testing.assert_allclose(features, x, rtol=1e-5, atol=2e-6)
    chosen = [
        (np.maximum(z @ model["w1"] + model["b1"], 0) @ model["w2"] + model["b2"]).argmax(axis=1)
        for z in (features, x)
    ]
    assert (chosen[0] == chosen[1]).mean() >= 0.999
