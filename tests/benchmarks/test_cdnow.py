"""The benchmark on CDNOW: features as a slow recomputation has them, and figures that hold."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from benchmarks.cdnow.command import MASTER, data_folder
from benchmarks.cdnow.contest import MODELS, Deal, best_threshold, deal
from benchmarks.cdnow.customers import Customers, customers, read_purchases
from benchmarks.cdnow.result import paired

PATH = data_folder() / MASTER
NEEDS_DATA = pytest.mark.skipif(
    not PATH.is_file(),
    reason=f"needs the purchases of CDNOW, {PATH}; OPPORTUNE_DATA names the folder",
)
DAY_S = 86_400.0
NOW = datetime(1997, 9, 30, 23, 59, 59, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def purchases() -> pd.DataFrame:
    return read_purchases(PATH)


@pytest.fixture(scope="module")
def known(purchases: pd.DataFrame) -> Customers:
    return customers(purchases)


@pytest.fixture(scope="module")
def dealt(known: Customers) -> Deal:
    return deal(known, 0)


def recomputed(mine: pd.DataFrame) -> dict[str, float]:
    """The features of one customer, one purchase after the other."""
    found = {f"order_completed_count_{days}d": 0.0 for days in (14, 30, 60, 120, 365, 28, 91, 280)}
    found |= {f"revenue_{days}d": 0.0 for days in (30, 120, 365)}
    found |= {f"cds_{days}d": 0.0 for days in (60, 365)}
    times = []
    for when, cds, revenue in zip(mine.date, mine.number_of_cds, mine.dollar_value, strict=True):
        time = when.replace(tzinfo=UTC).timestamp()
        if time > NOW:
            continue
        times.append(time)
        for days in (14, 30, 60, 120, 365):
            found[f"order_completed_count_{days}d"] += 0.5 ** ((NOW - time) / DAY_S / days)
        for days in (30, 120, 365):
            found[f"revenue_{days}d"] += revenue * 0.5 ** ((NOW - time) / DAY_S / days)
        for days in (60, 365):
            found[f"cds_{days}d"] += cds * 0.5 ** ((NOW - time) / DAY_S / days)
        for weeks in (4, 13, 40):
            age = math.floor(NOW / DAY_S / 7) - math.floor(time / DAY_S / 7)
            found[f"order_completed_count_{weeks * 7}d"] += age <= weeks
    found["order_completed_recency"] = NOW - max(times)
    found["tenure"] = NOW - min(times)
    return found


@NEEDS_DATA
def test_features_equal_a_slow_recomputation(purchases: pd.DataFrame, known: Customers) -> None:
    assert len(known) == 23_570
    busiest = purchases.customer_id.value_counts().index[:20]
    chosen = [*busiest, *np.random.default_rng(1).choice(known.ids, 40, replace=False)]
    for customer in chosen:
        expected = recomputed(purchases[purchases.customer_id == customer])
        got = dict(zip(known.plan.names, known.features[known.ids.index(customer)], strict=True))
        assert got == pytest.approx(expected, rel=1e-9), customer


@NEEDS_DATA
def test_who_bought_again(purchases: pd.DataFrame, known: Customers) -> None:
    last = purchases.groupby("customer_id").date.max()
    expected = (last > pd.Timestamp("1997-09-30")).reindex(list(known.ids))
    assert (known.bought_again == expected.to_numpy()).all()


@NEEDS_DATA
def test_parts_share_no_customer(dealt: Deal) -> None:
    parts = [part.customer for part in (dealt.train, dealt.validation, dealt.test)]
    assert [len(part) for part in parts] == [14_142, 4_714, 4_714]
    assert len(np.unique(np.concatenate(parts))) == 23_570


@pytest.mark.slow
@NEEDS_DATA
def test_our_network_is_no_worse_than_a_logistic_regression(dealt: Deal) -> None:
    auc = {
        name: roc_auc_score(dealt.test.outcome, MODELS[name](dealt)[1])
        for name in ("Opportune, mlp", "logistic regression")
    }
    assert auc["logistic regression"] > 0.75  # an opponent, not a straw man
    assert auc["Opportune, mlp"] >= auc["logistic regression"] - 0.005


def test_the_threshold_has_the_largest_f1() -> None:
    random = np.random.default_rng(3)
    score = random.random(200).round(2)
    outcome = random.random(200) < score
    best = f1_score(outcome, score >= best_threshold(outcome, score))
    assert best == max(f1_score(outcome, score >= threshold) for threshold in score)


def test_an_interval_of_deals_that_share_customers_is_wider() -> None:
    """Nadeau and Bengio: the variance of 10 deals with test/train = 1/3 is (1/10 + 1/3) s²."""
    values = np.array([0.1, 0.3, 0.2, 0.4, 0.0, 0.1, 0.3, 0.2, -0.1, 0.5])
    found = paired(values)
    half = 2.262157 * math.sqrt((1 / 10 + 1 / 3) * values.var(ddof=1))
    assert (found.low, found.mean, found.high) == pytest.approx((0.2 - half, 0.2, 0.2 + half))
    assert found.wins == 9
    assert paired(values[:1]).high == math.inf
