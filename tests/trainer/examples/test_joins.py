"""Which decision point a treatment is about, how often it counts, and who stands beside it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign
from tests.trainer.examples.dataset_harness import built, changed
from tests.trainer.shop_history import DAY_MS, START_MS, Event, chunks, shop
from trainer.examples.controls import Controls, left_alone

HOUR_MS = 3_600_000
END = (Event(2, "end", START_MS + 200 * DAY_MS),)


def orders(customer: str, *days: float) -> list[Event]:
    return [Event(0, customer, START_MS + round(day * DAY_MS), day) for day in days]


def mail(customer: str, day: float, identity: str | None = None, kind: str = "mail") -> Event:
    return Event(1, customer, START_MS + round(day * DAY_MS), strategy=kind, identity=identity)


@pytest.mark.parametrize(("remembered", "expected"), [(4, 2), (0, 3)])
def test_a_treatment_that_comes_again_counts_once_however_much_lies_between(
    campaign: Campaign, remembered: int, expected: int
) -> None:
    """A row remembers the last few ids, by which the worker goes; treatments are few enough to know them all."""
    events = campaign.events
    campaign = msgspec.structs.replace(
        campaign, events=msgspec.structs.replace(events, repeats_remembered=remembered)
    )
    between = [replace(one, identity=f"o{i}") for i, one in enumerate(orders("ann", *range(3, 9)))]
    many = [mail("ann", 2 + i / 10, f"m{i}", "fax") for i in range(20)]
    past = [*orders("ann", 1), mail("ann", 1.5, "a"), *many, *between, mail("ann", 8.5, "a"),
            mail("ann", 8.6, "b"), *END]  # fmt: skip
    data = built(changed(campaign, untreated_per_treated=0.0), chunks(past))
    assert data.counts.joined == len(data) == expected
    assert data.counts.duplicates == (1 if remembered else 0)
    assert data.time_ms.min() == START_MS + round(1.5 * DAY_MS)  # the first counts


def test_one_id_of_two_customers_is_two_treatments(campaign: Campaign) -> None:
    past = [*orders("ann", 1), *orders("bob", 1), mail("ann", 2, "a"), mail("bob", 2, "a"), *END]
    data = built(changed(campaign, untreated_per_treated=0.0), chunks(past))
    assert (data.counts.joined, data.counts.duplicates) == (2, 0)


@pytest.mark.parametrize(("age_max", "joined"), [(None, 1), ("12d", 2), ("1d", 0)])
def test_a_treatment_has_its_decision_point_within_the_age_limit(
    campaign: Campaign, age_max: str | None, joined: int
) -> None:
    past = [*orders("ann", 1), mail("ann", 8), mail("ann", 12), *END, *orders("bob", 1), mail("bob", 1.5)]  # fmt: skip
    data = built(
        changed(campaign, untreated_per_treated=0.0, decision_age_max=age_max), chunks(past)
    )
    assert data.counts.joined == joined + 1
    assert data.counts.too_late == 2 - joined


@pytest.mark.parametrize("sends_first", [False, True])
def test_at_one_millisecond_the_topic_that_the_campaign_names_first_is_earlier(
    campaign: Campaign, sends_first: bool
) -> None:
    """As the worker takes them: an order beside a mail of another topic is before it, or after."""
    topics = ("sends", "orders", "redemptions") if sends_first else campaign.topics.events
    campaign = msgspec.structs.replace(
        campaign, topics=msgspec.structs.replace(campaign.topics, events=topics)
    )
    past = [*orders("ann", 1, 3), mail("ann", 3), *END]
    for records in (chunks(past), chunks(past)[::-1]):
        data = built(changed(campaign, untreated_per_treated=0.0), records)
        (row,) = data.rows.tolist()
        assert data.values[row : row + 1][0, 6] == (
            1.0 if sends_first else 3.0
        )  # revenue of the order


def test_who_is_left_alone_has_the_probability_that_the_treated_leave(campaign: Campaign) -> None:
    """Mail 0.25, call 0.15: nobody says it of the others, and 0.6 is what is left."""
    campaign = changed(
        campaign, propensity_property="properties.propensity", propensity_weights=True
    )
    past = [
        replace(one, propensity=0.25 if one.strategy == "mail" else 0.15) if one.kind == 1 else one
        for one in shop(80, seed=3)
    ]
    data = built(campaign, chunks(past))
    alone = data.strategy == 2
    assert data.controls is Controls.OBSERVED
    assert data.logged.propensity[alone] == pytest.approx(0.6)
    train = data.part("train", data.fit_normalization())
    mailed, rest = train.weight[train.strategy == 0], train.weight[train.strategy == 2]
    assert mailed[0] / rest[0] == pytest.approx(0.6 / 0.25)
    # Without a word of it nobody knows.
    unsaid = built(
        changed(campaign, propensity_weights=False, propensity_property=None), chunks(past)
    )
    assert np.isnan(unsaid.logged.propensity).all()


def test_the_mean_probability_counts_rare_treatments_for_those_they_stand_for() -> None:
    strategy = np.array([0] * 10 + [0] * 90 + [1] * 20)
    propensity = np.array([0.1] * 10 + [0.9] * 90 + [0.2] * 20)
    # 100 of 200 got the mail, 20 of 100 the call.
    assert left_alone(strategy, propensity, 2) == pytest.approx(1 - 0.5 - 0.2)
    assert left_alone(np.zeros(2, np.int64), np.ones(2), 1) == 1e-9
    assert np.isnan(left_alone(np.zeros(2, np.int64), np.array([0.5, np.nan]), 1))


def test_where_nothing_is_logged_it_is_an_action_like_others(campaign: Campaign) -> None:
    past = [*orders("ann", 1), *orders("bob", 1), *orders("cyd", 1), mail("ann", 2)]
    logged = [*past, mail("bob", 2, kind="nothing"), *END]
    data = built(campaign, chunks(logged))
    assert data.controls is Controls.LOGGED
    assert (data.strategy.tolist(), data.caveats) == ([0, 2], ())
    observed = built(campaign, chunks([*past, *END]))
    assert observed.controls is Controls.OBSERVED
    (told,) = observed.caveats  # each customer is in a shard of its own
    assert told.startswith("1 treatments have nobody beside them who was left alone")
    (told,) = built(campaign, chunks(shop(60, seed=3))).caveats
    assert told.startswith("Observational: nobody drew who was left alone.")
