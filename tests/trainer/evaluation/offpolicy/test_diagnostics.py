"""When a log says nothing about a policy, and why."""

from __future__ import annotations

import numpy as np

from tests.trainer.evaluation.offpolicy.offpolicy_examples import scene
from trainer.evaluation.offpolicy.diagnostics import diagnose
from trainer.evaluation.offpolicy.log import Log, constant


def test_a_good_log_has_no_reason_against_it() -> None:
    some = scene(20_000, 1)
    found = diagnose(some.log, constant(some.log, 0), some.outcome, weight_max=10)
    assert found.reasons == ()
    weight = (some.log.action == 0) / some.log.propensity
    assert found.effective == np.square(weight.sum()) / np.square(weight).sum()
    assert found.clipped == int((weight > 10).sum())
    assert found.outcomes == int(((some.log.action == 0) & (some.outcome > 0)).sum())


def test_what_was_never_done_cannot_be_judged() -> None:
    some = scene(20_000, 1)
    log = some.log.take(some.log.action != 2)
    outcome = some.outcome[some.log.action != 2]
    reasons = diagnose(log, constant(log, 2), outcome).reasons
    assert any("was never done (call)" in reason for reason in reasons)


def test_probabilities_that_are_not_those_that_decided_are_found() -> None:
    some = scene(20_000, 2)
    wrong = Log(
        some.log.action, np.full(20_000, 0.5), some.log.reward, some.log.customer, some.log.names
    )
    reasons = diagnose(wrong, constant(wrong, 0), some.outcome).reasons
    assert any("expected a mean weight of 1" in reason for reason in reasons)


def test_few_decisions_in_effect_give_no_verdict() -> None:
    some = scene(1000, 3)
    reasons = diagnose(some.log, constant(some.log, 0), some.outcome).reasons
    assert any("decisions in effect" in reason for reason in reasons)


def test_one_decision_may_not_decide() -> None:
    some = scene(3000, 4)
    propensity = some.log.propensity.copy()
    propensity[np.flatnonzero(some.log.action == 0)[0]] = 1e-4
    log = Log(some.log.action, propensity, some.log.reward, some.log.customer, some.log.names)
    reasons = diagnose(log, constant(log, 0), some.outcome).reasons
    assert any("no decision to weigh more than" in reason for reason in reasons)


def test_few_outcomes_give_no_verdict() -> None:
    some = scene(20_000, 5)
    outcome = np.zeros(20_000)
    outcome[:5] = 1.0
    reasons = diagnose(some.log, constant(some.log, 0), outcome).reasons
    assert any("outcomes at least" in reason for reason in reasons)
