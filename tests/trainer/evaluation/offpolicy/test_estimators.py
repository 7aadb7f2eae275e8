"""Estimators against their formulas, written out decision by decision, and against known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.trainer.evaluation.offpolicy.offpolicy_examples import NAMES, scene
from trainer.errors import TrainingError
from trainer.evaluation.offpolicy import estimators as off
from trainer.evaluation.offpolicy.inference import Clusters, interval
from trainer.evaluation.offpolicy.log import Log, always, constant
from trainer.evaluation.offpolicy.nuisance import expected_rewards, folds_of
from trainer.evaluation.offpolicy.worth import Judge

CAP = 3.0


def _loops(log: Log, policy: np.ndarray, q: np.ndarray) -> dict[str, float]:
    sums = dict.fromkeys(["ips", "clipped", "weights", "dm", "dr", "switch"], 0.0)
    for i in range(len(log)):
        a, r = int(log.action[i]), float(log.reward[i])
        w = float(policy[i, a]) / float(log.propensity[i])
        dm = math.fsum(float(policy[i, k]) * float(q[i, k]) for k in range(len(log.names)))
        sums["ips"] += w * r
        sums["clipped"] += min(w, CAP) * r
        sums["weights"] += w
        sums["dm"] += dm
        sums["dr"] += dm + w * (r - float(q[i, a]))
        sums["switch"] += dm + (w * (r - float(q[i, a])) if w <= CAP else 0.0)
    n = len(log)
    found = {name: value / n for name, value in sums.items()}
    found["snips"] = sums["ips"] / sums["weights"]
    return found


def test_every_estimator_is_its_formula() -> None:
    some = scene(800, 1)
    random = np.random.default_rng(2)
    policy = random.dirichlet(np.ones(4), 800)
    q = random.normal(size=(800, 4))
    expected = _loops(some.log, policy, q)
    got = {
        "ips": off.ips(some.log, policy),
        "clipped": off.clipped_ips(some.log, policy, CAP),
        "snips": off.snips(some.log, policy),
        "dm": off.direct(some.log, policy, q),
        "dr": off.doubly_robust(some.log, policy, q),
        "switch": off.switch_doubly_robust(some.log, policy, q, CAP),
    }
    for name, worth in got.items():
        assert worth.value == pytest.approx(expected[name], abs=1e-9), name
        assert abs(worth.influence.mean()) < 1e-9, name


def test_doubly_robust_is_right_with_a_wrong_model_and_the_direct_method_is_not() -> None:
    """Means over logs: the model is off by 5 everywhere, the propensities are those that decided."""
    doubly, plain, truth = [], [], []
    for seed in range(40):
        some = scene(4000, seed)
        policy = constant(some.log, 2)
        wrong = some.mean + 5.0
        doubly.append(off.doubly_robust(some.log, policy, wrong).value)
        plain.append(off.direct(some.log, policy, wrong).value)
        truth.append(float(some.mean[:, 2].mean()))
    error = np.std(np.subtract(doubly, truth)) / np.sqrt(40)
    assert abs(np.mean(doubly) - np.mean(truth)) < 4 * error
    assert np.mean(plain) - np.mean(truth) == pytest.approx(5.0, abs=1e-6)


def test_the_error_of_a_ratio_counts_its_denominator() -> None:
    """Where nine of ten have the outcome, a frozen denominator makes the error nearly four times too large."""
    errors, values = [], []
    for seed in range(200):
        random = np.random.default_rng(seed)
        n = 1000
        action = random.integers(0, 4, n)
        log = Log(
            action,
            np.full(n, 0.25),
            (random.random(n) < 0.9).astype(np.float64),
            np.arange(n),
            NAMES,
        )
        worth = off.snips(log, constant(log, 0))
        values.append(worth.value)
        errors.append(interval(worth, Clusters(log.customer)).error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_decisions_about_one_customer_are_not_independent() -> None:
    """Every decision four times: as sure as once, not twice as sure."""
    some = scene(1000, 3)
    log, policy = some.log, constant(some.log, 0)
    copies = np.repeat(np.arange(len(log)), 4)
    once = interval(off.ips(log, policy), Clusters(log.customer))
    again = log.take(copies)
    four = interval(off.ips(again, policy[copies]), Clusters(again.customer))
    alone = interval(off.ips(again, policy[copies]), Clusters(np.arange(len(again))))
    assert four.error == pytest.approx(once.error, rel=1e-9)
    assert alone.error == pytest.approx(once.error / 2, rel=0.01)


def test_a_difference_is_paired() -> None:
    """Two policies that differ in few decisions: the error is that of those, not of both values."""
    some = scene(5000, 4)
    chosen = np.zeros(5000, np.int64)
    other = chosen.copy()
    other[:50] = 2
    first = off.doubly_robust(some.log, always(some.log, chosen), some.mean)
    second = off.doubly_robust(some.log, always(some.log, other), some.mean)
    paired = interval(first - second, Clusters(some.log.customer)).error
    assert paired < 0.3 * interval(first, Clusters(some.log.customer)).error


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.5, np.nan])
def test_a_log_without_probabilities_is_refused(propensity: float) -> None:
    with pytest.raises(TrainingError, match="the probability of what was done"):
        Log(
            np.zeros(3, np.int64),
            np.array([0.5, propensity, 0.5]),
            np.zeros(3),
            np.arange(3),
            NAMES,
        )


def test_rewards_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TrainingError, match="finite rewards"):
        Log(np.zeros(2, np.int64), np.full(2, 0.5), np.array([1.0, np.inf]), np.arange(2), NAMES)


def test_the_model_of_a_decision_has_not_seen_its_customer() -> None:
    some = scene(3000, 5, per_customer=3)
    fold = folds_of(some.log.customer)
    assert all(len(set(fold[some.log.customer == c].tolist())) == 1 for c in range(50))
    before = expected_rewards(some.log, some.features, fold)
    reward = some.log.reward.copy()
    reward[fold == 2] += 1000.0
    changed = Log(some.log.action, some.log.propensity, reward, some.log.customer, NAMES)
    after = expected_rewards(changed, some.features, fold)
    np.testing.assert_allclose(before[fold == 2], after[fold == 2], atol=1e-9)
    assert (np.abs(before[fold == 1] - after[fold == 1]) > 1).all()


def test_an_action_that_was_never_taken_has_the_mean_of_all() -> None:
    some = scene(2000, 6)
    kept = some.log.take(some.log.action != 2)
    features = some.features[some.log.action != 2]
    q = expected_rewards(kept, features, folds_of(kept.customer))
    np.testing.assert_allclose(q[:, 2], kept.reward.mean())


def test_the_judge_finds_the_best_constant_and_the_better_policy() -> None:
    some = scene(40_000, 7, base=-2.0)
    judge = Judge(some.log, some.features, some.outcome, nothing=3)
    best = some.mean.mean(axis=0).argmax()
    assert judge.best_constant() == NAMES[best]
    wise = always(some.log, some.mean.argmax(axis=1))
    found = judge.compare(wise, {}, "wise")
    truth = float(some.mean.max(axis=1).mean() - some.mean[:, best].mean())
    over = found.over[NAMES[best]]
    assert over.low < truth < over.high
    assert over.low > 0
    assert not found.standings["wise"].diagnosis.reasons
    assert set(found.standings) == {"wise", *NAMES}
    assert set(judge.compare(wise, {}, "wise", only_asked=True).standings) == {"wise"}


def test_what_is_done_for_certain_is_worth_what_its_matrix_is() -> None:
    some = scene(3_000, 8)
    possible = np.random.default_rng(8).random((3_000, len(NAMES))) < 0.8
    judge = Judge(some.log, some.features, some.outcome, nothing=3, possible=possible)
    slowly = {name: judge.worth(policy).value for name, policy in judge.constants().items()}
    assert judge.constant_values() == pytest.approx(slowly)
    chosen = some.mean.argmax(axis=1)
    apart = judge.worth(always(some.log, chosen)) - judge.worth(constant(some.log, 3))
    gains = judge.gains(chosen)
    assert gains.mean() == pytest.approx(apart.value)
    np.testing.assert_allclose(gains - gains.mean(), apart.influence, atol=1e-9)
