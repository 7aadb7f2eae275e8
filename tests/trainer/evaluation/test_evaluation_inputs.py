"""Slices, baselines: what a model is judged on and against, before any model is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from models.contract import Normalization
from stream.campaign.file import Campaign, parse
from stream.errors import CampaignError
from stream.features.plan import FeaturePlan, compile_features
from trainer.evaluation.baselines import BASE_RATE, RFM, fit_baselines, rfm_features
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CANDIDATE
from trainer.evaluation.judged import Judged, Scored
from trainer.evaluation.slices import compile_slices, slices
from trainer.examples.chance import Logged
from trainer.examples.part import Part

CAMPAIGN = """
app = "shop"
[topics]
events = ["events"]
[[features]]
op = "tenure"
[[features]]
op = "recency"
events = ["Order Completed", "Email Opened"]
[[features]]
op = "count"
events = ["Order Completed"]
half_lives = ["7d", "28d"]
[[features]]
op = "sum"
name = "revenue"
events = ["Order Completed"]
property = "properties.revenue"
half_lives = ["28d"]
[[strategies]]
id = "mail"
[[strategies]]
id = "push"
[evaluation]
resamples = 50
slices = [
    {name = "buyers", conditions = ["order_completed_count_28d >= 1", "revenue > 10"]},
    {name = "young", conditions = ["tenure < 100"]},
]
"""
NAMES = ("mail", "push", "nothing")
START = datetime(2024, 1, 30, tzinfo=UTC)


def shop(**evaluation: Any) -> tuple[Campaign, FeaturePlan]:
    campaign = parse(CAMPAIGN)
    spec = msgspec.structs.replace(campaign.evaluation, **evaluation)
    campaign = msgspec.structs.replace(campaign, evaluation=spec)
    return campaign, compile_features(campaign)


def part(n: int, days: float = 10, seed: int = 0, **columns: Any) -> Part:
    """Examples with features of chance, in a store with rows of others between them."""
    _, plan = shop()
    pick = np.random.default_rng(seed)
    values = np.floor(pick.gamma(1, 40, (2 * n, len(plan.names))))  # some are quintiles themselves
    given: dict[str, Any] = {
        "strategy": pick.integers(0, 3, n),
        "outcome": pick.random(n) < 0.2,
        "time_ms": np.linspace(0, days * 86_400_000, n).astype(np.int64)
        + int(START.timestamp() * 1000),
        "customer": pick.integers(0, n, n),
        "weight": pick.choice([1.0, 2.0], n),
        "logged": Logged.unsaid(n),
    }
    return Part(
        values, plan.transform_codes, Normalization(np.zeros(6), np.ones(6), 8.0),
        np.arange(n) * 2 + 1, **{**given, **columns},
    )  # fmt: skip


def column(plan: FeaturePlan, examples: Part, name: str) -> Any:
    blocks = [values[:, plan.names.index(name)] for _, values in examples.raw_blocks()]
    return np.concatenate(blocks)


def test_declared_slices_are_conditions_over_raw_features() -> None:
    campaign, plan = shop()
    examples = part(200)
    np.asarray(examples.values)[1, :] = np.nan
    found = slices(campaign, plan, examples)
    orders = column(plan, examples, "order_completed_count_28d")
    revenue = column(plan, examples, "revenue")
    assert (found["buyers"] == ((orders >= 1) & (revenue > 10))).all()
    assert (found["young"] == (column(plan, examples, "tenure") < 100)).all()
    assert not found["young"][0], "a condition on a missing value fails"
    assert 0 < found["buyers"].sum() < 200


def test_a_slice_without_examples_is_left_out() -> None:
    spec = msgspec.convert(
        {"name": "nobody", "conditions": ["tenure < 0"]}, type(shop()[0].evaluation.slices[0])
    )
    campaign, plan = shop(slices=(spec,))
    assert "nobody" not in slices(campaign, plan, part(50))


@pytest.mark.parametrize(
    ("slice_", "message"),
    [
        (
            {"name": "a", "conditions": ["tenure ~ 3"]},
            r"evaluation\.slices\[0\]\.conditions\[0\]: exp",
        ),
        (
            {"name": "a", "conditions": ["tenure < 3", "tenur > 3"]},
            r"evaluation\.slices\[0\]\.conditions\[1\].*closest are tenure",
        ),
    ],
)
def test_a_wrong_condition_is_refused_with_its_place(slice_: dict[str, Any], message: str) -> None:
    spec = msgspec.convert(slice_, type(shop()[0].evaluation.slices[0]))
    campaign, plan = shop(slices=(spec,))
    with pytest.raises(CampaignError, match=message):
        compile_slices(campaign, plan.names)
    one = msgspec.structs.replace(spec, conditions=("tenure > 1",))
    campaign, _ = shop(slices=(one, one))
    with pytest.raises(CampaignError, match=r'slices\[1\]\.name: expected each name once, got "a"'):
        compile_slices(campaign, plan.names)


def test_less_than_two_months_are_cut_into_weeks_from_monday_on() -> None:
    campaign, plan = shop(slices=())
    examples = part(500, days=20)
    found = slices(campaign, plan, examples)
    assert list(found) == [
        "week 2024-01-29", "week 2024-02-05", "week 2024-02-12", "week 2024-02-19",
    ]  # fmt: skip
    days = [datetime.fromtimestamp(time / 1000, UTC) for time in examples.time_ms.tolist()]
    for name, mask in found.items():
        monday = datetime.fromisoformat(name.removeprefix("week ")).replace(tzinfo=UTC)
        assert monday.weekday() == 0
        assert mask.tolist() == [monday <= day < monday + timedelta(days=7) for day in days]
    assert slices(campaign, plan, part(20, days=3)) == {}, "one week is all"


def test_longer_periods_are_cut_into_calendar_months() -> None:
    campaign, plan = shop(slices=())
    examples = part(500, days=62)
    found = slices(campaign, plan, examples)
    assert list(found) == ["month 2024-01", "month 2024-02", "month 2024-03", "month 2024-04"]
    months = pd.to_datetime(examples.time_ms, unit="ms", utc=True).strftime("month %Y-%m")
    for name, mask in found.items():
        assert (mask == (months == name)).all()


def test_customers_of_the_training_part_are_known() -> None:
    campaign, plan = shop(slices=())
    train = part(50, customer=np.arange(50))
    examples = part(50, days=3, customer=np.arange(25, 75))
    found = slices(campaign, plan, examples, train)
    assert found["known customers"].tolist() == [True] * 25 + [False] * 25
    assert (found["new customers"] == ~found["known customers"]).all()


def test_base_rates_are_those_of_the_training_part() -> None:
    campaign, plan = shop()
    train = part(300, strategy=np.random.default_rng(0).integers(0, 2, 300))
    rule = fit_baselines(campaign, plan, train, NAMES)[BASE_RATE]
    scores = rule.scores(part(7, seed=5))
    assert scores.shape == (7, 3)
    assert scores.dtype == np.float32
    for k in range(2):
        used = train.strategy == k
        rate = np.average(train.outcome[used], weights=train.weight[used])
        assert scores[:, k] == pytest.approx(rate)
    overall = np.average(train.outcome, weights=train.weight)
    assert scores[:, 2] == pytest.approx(overall), "never used"


def of_choice(campaign: Campaign) -> Campaign:
    return msgspec.structs.replace(
        campaign, model=msgspec.structs.replace(campaign.model, head="choice")
    )


def test_of_a_choice_the_most_common_strategy_is_always_taken() -> None:
    campaign, plan = shop()
    strategy = np.array([0] * 20 + [1] * 50 + [2] * 30)
    train = part(100, strategy=strategy, outcome=np.ones(100, np.bool_), weight=np.ones(100))
    rule = fit_baselines(of_choice(campaign), plan, train, NAMES)[BASE_RATE]
    assert rule.scores(train)[0] == pytest.approx([0.2, 0.5, 0.3])
    judged = Judged.of(train, "choice", NAMES)
    found = evaluate(judged, Scored(rule.scores(train)), {}, campaign.evaluation, 1)
    assert found.all.metrics[CANDIDATE]["accuracy"].value == 0.5


def quintile(train: Any, values: Any) -> Any:
    level = np.searchsorted(np.quantile(train, (0.2, 0.4, 0.6, 0.8)), values, side="right")
    return np.where(np.isnan(values), -1, level)


def test_the_rfm_rule_is_the_shrunken_mean_of_a_cell() -> None:
    campaign, plan = shop()
    features = rfm_features(campaign, plan)
    assert features == ("order_completed_recency", "order_completed_count_7d", "revenue")
    train, test = part(2_000), part(300, seed=1)
    np.asarray(test.values)[test.rows[3], plan.names.index("revenue")] = np.nan
    rule = fit_baselines(campaign, plan, train, NAMES)[RFM]
    cells = [
        [quintile(column(plan, train, name), column(plan, one, name)) for name in features]
        for one in (train, test)
    ]
    learned = pd.DataFrame({"w": train.weight, "y": train.weight * train.outcome})
    cell = pd.Series(list(zip(*cells[0], strict=True)))
    scores = rule.scores(test)
    for i, key in enumerate(zip(*cells[1], strict=True)):
        for k in range(3):
            used = train.strategy == k
            rate = learned.y[used].sum() / learned.w[used].sum()
            same = learned[used & (cell == key)]
            assert scores[i, k] == pytest.approx(
                (same.y.sum() + 20 * rate) / (same.w.sum() + 20), rel=1e-5
            )
    assert len({tuple(row) for row in scores}) > 20


def test_rules_learn_from_the_training_part_alone() -> None:
    campaign, plan = shop()
    train, test = part(500), part(100, seed=1)
    other = part(100, seed=1, outcome=~test.outcome, strategy=(test.strategy + 1) % 3)
    for rule in fit_baselines(campaign, plan, train, NAMES).values():
        assert (rule.scores(test) == rule.scores(other)).all()


def test_the_rfm_rule_of_a_choice_gives_shares() -> None:
    campaign, plan = shop()
    train = part(500, outcome=np.ones(500, np.bool_))
    scores = fit_baselines(of_choice(campaign), plan, train, NAMES)[RFM].scores(part(50, seed=3))
    assert scores.sum(axis=1) == pytest.approx(1)
    assert scores.std(axis=0).min() > 0


def test_a_campaign_without_such_features_has_no_rfm_rule() -> None:
    campaign, plan = shop()
    without = msgspec.structs.replace(campaign, features=campaign.features[:3])
    assert rfm_features(without, compile_features(without)) is None
    assert set(fit_baselines(without, plan, part(50), NAMES)) == {BASE_RATE}


def test_declared_rfm_features_are_taken_or_refused() -> None:
    declared = ("tenure", "order_completed_count_28d", "revenue")
    assert rfm_features(*shop(rfm=declared)) == declared
    with pytest.raises(CampaignError, match=r'evaluation\.rfm\[1\].*got "orders"'):
        rfm_features(*shop(rfm=("tenure", "orders", "revenue")))
