"""Parts of a dataset: one after the other, and their weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contract import Normalization
from stream.campaign.file import Campaign
from stream.features.plan import FeaturePlan
from tests.trainer.examples.dataset_harness import (
    WINDOW_DAYS,
    built,
    changed,
    decision_history,
    values_of,
)
from tests.trainer.shop_history import DAY_MS, START_MS, Event, chunks, shop
from trainer.errors import TrainingError
from trainer.examples.dataset import Period
from trainer.examples.split import split
from trainer.examples.weights import inverse_propensity

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
    learns = changed(campaign, learn_from="decisions", propensity_weights=True, weight_max=10.0)
    data = built(learns, decision_history(learns, [0] * 300, propensity))
    identity = Normalization.identity(len(plan.names))
    train, test = data.part("train", identity), data.part("test", identity)
    capped = {0.01: 10.0, 0.1: 10.0, 0.25: 4.0, 1.0: 1.0}
    parts = data.split()
    raw = np.array([capped[round(p, 6)] for p in data.logged.propensity.tolist()])
    assert train.weight.mean() == pytest.approx(1.0)
    assert train.weight.tolist() == pytest.approx(raw[parts.train] / raw[parts.train].mean())
    assert test.weight.tolist() == pytest.approx(raw[parts.test] / raw[parts.train].mean())
    assert inverse_propensity(np.array([1e-9]), np.zeros(1, np.bool_), 30.0).tolist() == [30.0]


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
