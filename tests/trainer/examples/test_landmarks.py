"""Doing nothing beside treatments: worlds in which what a contact does is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stream.columns import Int64s
from trainer.evaluation.offpolicy.arms import difference
from trainer.evaluation.offpolicy.inference import Interval
from trainer.examples.axis import History
from trainer.examples.chance import NOT_SAID
from trainer.examples.labels import Examples, JoinCounts, treated
from trainer.examples.landmarks import untreated
from trainer.history.gaps import Extent
from trainer.replay.actions import Actions

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WINDOW_MS, END = 10 * DAY_MS, Extent(100 * DAY_MS)
MAIL, NOTHING = 0, 1
SEEDS = range(20)
Found = tuple[Examples, JoinCounts]


def examples_of(
    decided: list[tuple[int, float]],
    contacts: list[tuple[int, float, int]],
    outcomes: list[tuple[int, float]],
    per_treated: float = 3.0,
    seed: int = 0,
    logs: bool = False,
) -> tuple[Examples, Int64s, JoinCounts]:
    """Examples of events as (customer, day) and of contacts as (customer, day, strategy)."""
    points, ends = (np.array(rows, float).reshape(-1, 2) for rows in (decided, outcomes))
    done = np.array(contacts, float).reshape(-1, 3)
    return found_in(points, done, ends, per_treated, seed, logs)


def found_in(
    decided: np.ndarray, contacts: np.ndarray, outcomes: np.ndarray,
    per_treated: float = 3.0, seed: int = 0, logs: bool = False,
) -> tuple[Examples, Int64s, JoinCounts]:  # fmt: skip
    rows = np.concatenate([decided[:, :2], contacts[:, :2], outcomes[:, :2]])
    kind = np.repeat([0, 1, 2], [len(decided), len(contacts), len(outcomes)])
    strategy = np.zeros(len(rows), np.int64)
    strategy[kind == 1] = contacts[:, 2]
    time_ms = np.rint(rows[:, 1] * DAY_MS).astype(np.int64)
    order = np.lexsort((kind, time_ms))
    history = History(
        rows[order, 0].astype(np.int64), time_ms[order], kind[order] == 0, kind[order] == 2
    )
    event = np.flatnonzero(kind[order] == 1)
    m = len(event)
    done = Actions(
        event, strategy[order][event], np.full(m, np.nan), np.zeros(m, np.bool_),
        np.full(m, NOT_SAID), 0,
    )  # fmt: skip
    examples, counts = treated(history, done, WINDOW_MS, WINDOW_MS, END)
    if not logs:
        random = np.random.default_rng(seed)
        alone, more = untreated(
            history, done, examples, NOTHING, WINDOW_MS, END, per_treated, random
        )
        examples, counts = Examples.joined(examples, alone), counts + more
    return examples, history.row[examples.event], counts


def effect(examples: Examples, customer: Int64s) -> Interval | None:
    contacted, alone = examples.strategy == MAIL, examples.strategy == NOTHING
    return difference(examples.outcome, contacted, alone, np.ones(len(examples)), customer)


def carts(
    seed: int, share: float, gain: float = 0.06, logs: bool = False, jitter_h: float = 0.0
) -> tuple[Examples, Int64s, JoinCounts]:
    """A cart; 30 % buy within a day, and of the others a share gets a reminder after a day: +6 points."""
    random = np.random.default_rng(seed)
    n = 4000
    customer, day = np.arange(n), random.uniform(0, 60, n)
    soon = random.random(n) < 0.3
    sent = ~soon & (random.random(n) < share)
    later = ~soon & (random.random(n) < 0.15 + gain * sent)
    outcomes = np.concatenate([
        np.column_stack([customer[soon], day[soon] + random.uniform(0, 1, soon.sum())]),
        np.column_stack([customer[later], day[later] + 1 + random.uniform(0.1, 9, later.sum())]),
    ])  # fmt: skip
    asked = ~soon if logs else sent
    at = day[asked] + 1 + random.uniform(0, jitter_h / 24, asked.sum())
    contacts = np.column_stack([customer[asked], at, np.where(sent[asked], MAIL, NOTHING)])
    return found_in(np.column_stack([customer, day]), contacts, outcomes, seed=seed, logs=logs)


@pytest.mark.parametrize("logs", [False, True], ids=["left alone", "nothing is logged"])
def test_a_reminder_to_those_who_have_not_bought_does_what_it_does(logs: bool) -> None:
    """Counted from the cart, or by what came later, it would seem to cost 60 points."""
    intervals = [effect(*carts(seed, 0.5, logs=logs)[:2]) for seed in SEEDS]
    held = sum(one is not None and one.low < 0.06 < one.high for one in intervals)
    assert held >= 19, intervals
    mean = np.mean([one.value for one in intervals if one])
    assert mean == pytest.approx(0.06, abs=0.012)


def test_where_everybody_was_reminded_nobody_is_beside_them() -> None:
    """Who has bought is no comparison, and nobody else was left alone."""
    examples, customer, counts = carts(0, 1.0)
    assert effect(examples, customer) is None
    assert counts.untreated == 0
    assert counts.unmatched == len(examples) > 1000


def test_contacts_at_scattered_ages_are_told_to_be_blurred_by_later_ones() -> None:
    _, _, exact = carts(0, 0.5)
    examples, customer, blurred = carts(0, 0.5, jitter_h=48)
    assert exact.contacted_later == 0
    assert blurred.contacted_later > 0.1 * blurred.untreated
    found = effect(examples, customer)
    assert found is not None
    assert found.high > 0  # towards 0, not beyond


def random_contacts(random: np.random.Generator, day: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.where(random.random(day.shape) < 0.3, random.uniform(0.1, 4, day.shape), np.nan)


def not_bought(random: np.random.Generator, day: np.ndarray, bought: np.ndarray) -> np.ndarray:
    """After two days, to a third of those who have not bought since: slow buyers get more."""
    picked = ~((bought > day) & (bought <= day + 2)) & (random.random(day.shape) < 1 / 3)
    return np.where(picked, 2.0, np.nan)


def thanks(random: np.random.Generator, day: np.ndarray, bought: np.ndarray) -> np.ndarray:
    """After three days, to half of those who have bought since: the best customers get more."""
    picked = (bought > day) & (bought <= day + 3) & (random.random(day.shape) < 0.5)
    return np.where(picked, 3.0, np.nan)


@pytest.mark.parametrize("rule", [random_contacts, not_bought, thanks])
def test_contacts_that_do_nothing_seem_to_do_nothing(rule: Callable[..., np.ndarray]) -> None:
    """Customers differ much in how often they buy, and who is contacted goes by what they did before."""
    held, values = 0, []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        n = 2500
        day = random.uniform(0, 80, n)
        rate = random.gamma(0.7, 0.06, n)
        # The first purchase after the point, and the first one after three days from it.
        soon = day + random.exponential(1 / rate)
        late = day + 3 + random.exponential(1 / rate)
        after = rule(random, day, soon)
        sent = ~np.isnan(after)
        customer = np.arange(n)
        bought = np.where(soon <= day + 3, soon, np.inf)
        outcomes = np.concatenate([
            np.column_stack([customer, bought])[bought < 99],
            np.column_stack([customer, late])[late < 99],
        ])  # fmt: skip
        contacts = np.column_stack([customer[sent], (day + after)[sent], np.full(sent.sum(), MAIL)])
        examples, who, _ = found_in(np.column_stack([customer, day]), contacts, outcomes, seed=seed)
        found = effect(examples, who)
        assert found is not None
        held += found.low < 0 < found.high
        values.append(found.value)
    assert held >= 17  # of 20; 0.2 % of the time fewer
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def whom(examples: Examples, customer: Int64s) -> list[tuple[int, float]]:
    alone = examples.strategy == NOTHING
    days = (examples.time_ms[alone] / DAY_MS).tolist()
    return sorted(set(zip(customer[alone].tolist(), days, strict=True)))


CART = (1, 30.0)
MAILED = (1, 32.0, MAIL)


@pytest.mark.parametrize(
    ("decided", "contacts", "outcomes", "expected"),
    [
        ([(2, 40.0)], [], [], [(2, 42.0)]),
        ([(2, 40.0)], [], [(2, 45.0)], [(2, 42.0)]),  # later outcomes and contacts change nothing
        ([(2, 40.0)], [(2, 42.5, MAIL)], [], [(2, 42.0)]),
        ([(2, 40.0)], [(2, 41.0, MAIL)], [], []),  # contacted before the landmark
        ([(2, 40.0)], [(2, 33.0, MAIL)], [], []),  # within one window before it
        ([(2, 40.0)], [(2, 31.5, MAIL)], [], [(2, 42.0)]),
        ([(2, 40.0)], [], [(2, 41.0)], []),  # has bought, the other had not
        ([(2, 40.0), (2, 41.0)], [], [], [(2, 43.0)]),  # its last decision point
        ([(2, 88.5)], [], [], []),  # its window is not over
        ([(2, 40.0)], [(2, 42.0, MAIL)], [], []),  # contacted at that moment
    ],
)
def test_at_its_landmark_who_is_left_alone_is_like_the_treated(
    decided: list[tuple[int, float]], contacts: list[tuple[int, float, int]],
    outcomes: list[tuple[int, float]], expected: list[tuple[int, float]],
) -> None:  # fmt: skip
    # Those who were mailed without a decision point before are no examples, and contacts all the same.
    examples, customer, counts = examples_of([CART, *decided], [MAILED, *contacts], outcomes)
    beside_the_mailed = [one for one in whom(examples, customer) if one[0] == 2]
    assert beside_the_mailed == expected
    assert counts.untreated == (examples.strategy == NOTHING).sum()
    assert np.isnan(examples.propensity[examples.strategy == NOTHING]).all()


def test_as_many_as_were_asked_for_stand_beside_each() -> None:
    decided = [(c, float(c)) for c in range(40)]
    contacts = [(c, c + 0.5, MAIL) for c in range(20)]
    for share, size in ((0.0, 0), (0.5, 10), (2.0, 40), (2.25, 45)):
        examples, _, counts = examples_of(decided, contacts, [], share)
        assert counts.untreated == size == (examples.beside == MAIL).sum()
        assert counts.untreated_points <= 20


def test_who_stands_as_alone_is_not_known_from_what_comes_later() -> None:
    """Everything after the landmarks is changed: the same examples, whatever their outcomes."""
    random = np.random.default_rng(7)
    decided = [(c, float(random.uniform(0, 20))) for c in range(60)]
    contacts = [(c, day + 2.0, MAIL) for c, day in decided[:20]]
    first, who, _ = examples_of(decided, contacts, [])
    later_contacts = [(c, 25.0 + c / 100, -1) for c in range(60)]  # of a strategy that is not known
    later_outcomes = [(c, 23.0) for c in range(60)]
    second, whose, _ = examples_of(decided, [*contacts, *later_contacts], later_outcomes)
    assert set(whom(second, whose)) == set(whom(first, who))
    assert second.outcome[second.strategy == NOTHING].any()
