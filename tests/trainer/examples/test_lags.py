"""Topics that are behind, and decisions that came too late: what is not known is not taken for no."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign
from stream.campaign.sections.contact_sections import ContactsSpec
from stream.columns import RecordChunk
from tests.trainer.examples.dataset_harness import built, changed
from tests.trainer.shop_history import DAY_MS, START_MS, Event, chunk_of, chunks, decisions_about
from trainer.errors import TrainingError
from trainer.examples.dataset import Dataset
from trainer.history.gaps import NEVER_MS
from trainer.history.lag import lag
from trainer.report.report import examples_of

HOUR_MS = 3_600_000


def shop_until(outcomes_day: float, days: int = 60) -> list[Event]:
    """An order and a mail each hour; of every third a redemption two days later, as far as they are known."""
    events = []
    for hour in range(24 * days):
        who, at = f"c{hour}", START_MS + hour * HOUR_MS
        events += [Event(0, who, at), Event(1, who, at + 60_000, strategy="mail")]
        if hour % 3 == 0 and hour / 24 + 2 <= outcomes_day:
            events.append(Event(2, who, at + 2 * DAY_MS))
    return events


def test_outcomes_of_a_topic_that_is_behind_are_waited_for(campaign: Campaign) -> None:
    """Without it the rate would be that of 20 days of redemptions beside 50 days of mails."""
    alone = changed(campaign, untreated_per_treated=0.0)
    data = built(alone, chunks(shop_until(30), size=500))
    assert data.outcome.mean() == pytest.approx(1 / 3, abs=0.01)
    assert data.time_ms.max() <= START_MS + 20 * DAY_MS
    assert data.counts.behind == pytest.approx(30 * 24, abs=24)
    (told,) = data.notices
    assert told.startswith(
        f"{data.counts.behind:,} actions left out: redemptions has outcomes until 2023-12-14"
    )
    whole = built(alone, chunks(shop_until(99), size=500))
    assert whole.counts.behind <= 1  # the last redemption is some minutes older than the last mail
    assert whole.notices == ()


def test_who_is_left_alone_waits_as_well(campaign: Campaign) -> None:
    events = [e for e in shop_until(30) if e.kind != 1 or e.time_ms // HOUR_MS % 2]
    data = built(campaign, chunks(events, size=500))
    assert data.time_ms[data.strategy == 2].max() <= START_MS + 20 * DAY_MS
    assert data.outcome[data.strategy == 2].mean() == pytest.approx(1 / 3, abs=0.05)


def test_how_far_topics_go() -> None:
    day = DAY_MS
    assert lag({}, 10 * day) == (NEVER_MS, {}, {})
    assert lag({"a": 90 * day}, 10 * day) == (90 * day, {"a": 90 * day}, {})
    behind = lag({"a": 90 * day, "b": 80 * day}, 10 * day)
    assert behind == (80 * day, {"b": 80 * day}, {})
    # One that is behind by more than a window has ended, while another goes on.
    ended = lag({"a": 90 * day, "b": 80 * day - 1}, 10 * day)
    assert ended == (90 * day, {"a": 90 * day}, {"b": 80 * day - 1})


def decided(campaign: Campaign, after_ms: Sequence[int], seed: int = 3) -> Dataset:
    """Orders with decisions of chance, published so long after them: a mail that is in time brings 40 points."""
    random = np.random.default_rng(seed)
    n = len(after_ms)
    at = START_MS + np.arange(n) * HOUR_MS
    orders: list[RecordChunk] = [
        chunk_of("orders", 0, 0, [Event(0, f"c{i}", int(at[i])).json() for i in range(n)])
    ]
    mailed = random.random(n) < 0.5
    lived = np.asarray(after_ms) < HOUR_MS
    redeems = random.random(n) < np.where(mailed & lived, 0.6, 0.2)
    redeemed = [Event(2, f"c{i}", int(at[i]) + DAY_MS) for i in np.flatnonzero(redeems)]
    end = Event(2, "end", START_MS + 900 * DAY_MS)
    published = decisions_about(
        campaign, orders[0], range(n), np.where(mailed, 0, 2).tolist(), [0.5] * n
    )
    times = (at + after_ms).tolist()
    decisions = chunk_of("decisions", 0, 0, published, times)
    return built(campaign, [*orders, decisions, *chunks([*redeemed, end], size=500)])


def gain(data: Dataset) -> float:
    mailed = data.strategy == 0
    return float(data.outcome[mailed].mean() - data.outcome[~mailed].mean())


def test_decisions_that_nobody_could_act_on_are_not_learned_from(campaign: Campaign) -> None:
    """Four of five expired when they were published: with them a mail would seem to bring 8 points."""
    learns = changed(campaign, learn_from="decisions")
    n = 2000
    after_ms = np.where(np.arange(n) % 5 == 0, 10_000, 2 * HOUR_MS).tolist()
    data = decided(learns, after_ms)
    assert (data.counts.actions, data.counts.expired) == (n // 5, n - n // 5)
    assert gain(data) == pytest.approx(0.4, abs=0.12)
    assert data.notices[0].startswith(
        "1,600 decisions beside 400 others had expired when they were"
    )
    assert decided(learns, [10_000] * 100).notices == ()


def test_a_decision_lives_until_its_expiry(campaign: Campaign) -> None:
    learns = changed(campaign, learn_from="decisions")
    data = decided(learns, [HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, 0])
    assert (data.counts.actions, data.counts.expired) == (2, 2)
    with pytest.raises(
        TrainingError, match=r"got 0, of them .* 3 decisions beside 0 others had expired"
    ):
        decided(learns, [HOUR_MS] * 3)


def test_what_engines_say_to_have_gone_out_is_counted_beside(campaign: Campaign) -> None:
    """Intention to treat stays the analysis: who was decided to get a mail and did not stays in its arm."""
    contacts = ContactsSpec(sent=("Strategy Sent",), correct_within="2h")
    learns = msgspec.structs.replace(changed(campaign, learn_from="decisions"), contacts=contacts)
    n = 60
    at = START_MS + np.arange(n) * DAY_MS
    orders = chunk_of("orders", 0, 0, [Event(0, f"c{i}", int(at[i])).json() for i in range(n)])
    strategy = [i % 3 for i in range(n)]
    # Of the mails half go out in time, others late, or another strategy does; of the calls all.
    late = [HOUR_MS, 3 * HOUR_MS, 0, HOUR_MS]
    sent = [
        Event(1, f"c{i}", int(at[i]) + late[i // 3 % 4] * (strategy[i] == 0),
              strategy="call" if strategy[i] == 1 or i // 3 % 4 == 2 else "mail")
        for i in range(n) if strategy[i] < 2
    ]  # fmt: skip
    redeemed = [Event(2, f"c{i}", int(at[i]) + 4 * HOUR_MS) for i in range(0, n, 2)]
    end = Event(2, "end", START_MS + 900 * DAY_MS)
    published = decisions_about(learns, orders, range(n), strategy, [0.5] * n)
    decisions = chunk_of("decisions", 0, 0, published, at.tolist())
    data = built(learns, [orders, decisions, *chunks([*sent, *redeemed, end], size=100)])
    found = examples_of(data, ("mail", "call", "nothing"))
    assert (found["mail"].rows, found["mail"].sent) == (20, 10)
    assert (found["call"].rows, found["call"].sent) == (20, 20)
    assert found["call"].sent_conversions == found["call"].conversions == 10
    assert found["nothing"].sent is None
    assert data.sent is not None
    silent = built(changed(campaign, learn_from="decisions"), [orders, decisions, *chunks([end])])
    assert silent.sent is None
    assert examples_of(silent, ("mail", "call", "nothing"))["mail"].sent is None
