"""The policy against a plain loop over Python floats, and each rule on its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stream.campaign.file import Campaign, parse
from stream.errors import OperatorError
from stream.policy.choice import Policy
from stream.policy.decision import DecisionBatch, Dropped, Reason

NO_CHANNELS = np.zeros((0, 5), np.bool_)


def campaign(*strategies: str, policy: str = "") -> Campaign:
    """A campaign with these strategies, each given as TOML lines."""
    tables = "".join(f"[[strategies]]\n{lines}\n" for lines in strategies)
    return parse(
        'app = "test"\ntopics = { events = ["events"] }\n'
        f'[[features]]\nop = "count"\n[policy]\n{policy}\n{tables}'
    )


def abc(policy: str = "", value: float = 1.0) -> Campaign:
    return campaign(*(f'id = "{name}"\nvalue = {value}' for name in "abc"), policy=policy)


def choose(
    policy: Policy, scores: list[float], consent: int = 1, allowed: list[bool] | None = None
) -> DecisionBatch:
    return policy.choose(
        np.array([scores], np.float32),
        np.array([allowed or [True] * (len(policy.strategies) - 1)]),
        np.array([[consent]], np.int8),
        NO_CHANNELS[:, :1],
    )


def row(decisions: DecisionBatch) -> tuple[int, Reason, list[str]]:
    return (
        int(decisions.strategy[0]),
        Reason(decisions.reason[0]),
        [Dropped(code).name for code in decisions.dropped[0]],
    )


def test_the_most_valuable_strategy_wins_not_the_most_probable() -> None:
    prices = campaign(
        'id = "coupon"\nvalue = 10\ncost = 3', 'id = "mail"\nvalue = 10\ncost = 0.1',
        'id = "call"\nvalue = 50\ncost = 20',
    )  # fmt: skip
    policy = Policy(prices, "response", ["mail", "nothing", "call", "coupon"])
    decisions = choose(policy, [0.30, 0.25, 0.90, 0.55])
    # coupon 0.30 * 10 - 3, mail 0.05 * 10 - 0.1, call 0.65 * 50 - 20
    assert policy.strategies == ("coupon", "mail", "call", "nothing")
    assert row(decisions) == (2, Reason.HIGHEST_VALUE, ["LOWER_VALUE", "LOWER_VALUE", "CHOSEN"])
    assert decisions.expected_value[0] == (float(np.float32(0.9)) - 0.25) * 50 - 20
    assert decisions.score[0] == decisions.probability[0] == np.float32(0.9)
    assert decisions.probability_without[0] == np.float32(0.25)
    assert decisions.action_probability[0] == 1.0


def test_without_an_output_for_nothing_the_whole_probability_counts() -> None:
    policy = Policy(campaign('id = "a"\nvalue = 8\ncost = 1'), "response", ["a"])
    decisions = choose(policy, [0.25])
    assert decisions.expected_value[0] == 1.0
    assert np.isnan(decisions.probability_without[0])
    assert row(decisions) == (0, Reason.ONLY_ELIGIBLE, ["CHOSEN"])


def test_a_strategy_must_be_strictly_better_than_nothing() -> None:
    policy = Policy(campaign('id = "a"\nvalue = 8\ncost = 2'), "response", ["a"])
    decisions = choose(policy, [0.25])
    assert row(decisions) == (1, Reason.NOTHING_BETTER, ["LOWER_VALUE"])
    assert decisions.expected_value[0] == 0.0
    assert np.isnan(decisions.score[0])


def test_nothing_is_scored_by_its_own_output() -> None:
    policy = Policy(abc(), "response", ["a", "b", "c", "nothing"])
    decisions = choose(policy, [0.1, 0.2, 0.3, 0.5])
    assert row(decisions)[0] == 3
    assert decisions.score[0] == decisions.probability[0] == np.float32(0.5)


def test_without_do_nothing_the_least_loss_is_taken() -> None:
    policy = Policy(abc("do_nothing = false", value=-1), "response", list("abc"))
    assert row(choose(policy, [0.5, 0.2, 0.4]))[:2] == (1, Reason.HIGHEST_VALUE)
    assert row(choose(policy, [0.5, 0.2, 0.4], allowed=[False] * 3))[:2] == (
        3, Reason.NONE_ELIGIBLE,
    )  # fmt: skip


def test_of_equals_the_first_in_the_campaign_wins() -> None:
    policy = Policy(abc(), "choice", ["c", "b", "a"])
    assert row(choose(policy, [0.4, 0.4, 0.2]))[0] == 1


def test_a_choice_is_no_probability_of_the_outcome() -> None:
    decisions = choose(Policy(abc(), "choice", ["a", "b", "c", "nothing"]), [0.2, 0.5, 0.1, 0.2])
    assert decisions.strategy[0] == 1
    assert decisions.score[0] == 0.5
    assert np.isnan(decisions.probability[0])
    assert np.isnan(decisions.probability_without[0])


@pytest.mark.parametrize(
    ("mode", "contacted"),
    [("opt_out", {1, -1}), ("opt_in", {1}), ("ignore", {1, 0, -1, -2})],
)
def test_consent(mode: str, contacted: set[int]) -> None:
    policy = Policy(abc(f'consent = "{mode}"'), "response", list("abc"))
    for consent in (1, 0, -1, -2):
        taken, reason, dropped = row(choose(policy, [0.1, 0.9, 0.2], consent))
        if consent in contacted:
            assert (taken, reason) == (1, Reason.HIGHEST_VALUE)
        else:
            assert (taken, reason, dropped) == (3, Reason.NO_CONSENT, ["NO_CONSENT"] * 3)


def test_no_consent_holds_without_do_nothing() -> None:
    policy = Policy(abc("do_nothing = false"), "response", list("abc"))
    assert row(choose(policy, [0.1, 0.9, 0.2], consent=0))[:2] == (3, Reason.NO_CONSENT)


def test_ineligible_strategies_never_win() -> None:
    policy = Policy(abc(), "response", list("abc"))
    decisions = choose(policy, [0.9, 0.1, 0.8], allowed=[False, True, False])
    assert row(decisions) == (
        1, Reason.ONLY_ELIGIBLE, ["NOT_ELIGIBLE", "CHOSEN", "NOT_ELIGIBLE"],
    )  # fmt: skip


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_never_wins(broken: float) -> None:
    policy = Policy(abc(), "response", list("abc"))
    assert row(choose(policy, [broken, 0.1, broken])) == (
        1, Reason.HIGHEST_VALUE, ["SCORE_NOT_FINITE", "CHOSEN", "SCORE_NOT_FINITE"],
    )  # fmt: skip
    assert row(choose(policy, [broken] * 3))[:2] == (3, Reason.SCORE_NOT_FINITE)
    with_nothing = Policy(abc(), "response", [*"abc", "nothing"])
    assert row(choose(with_nothing, [0.1, 0.2, 0.3, broken]))[:2] == (3, Reason.SCORE_NOT_FINITE)


def plain_choice(
    scores: dict[str, float], prices: list[tuple[str, float, float]], allowed: list[bool],
    consented: bool, do_nothing: bool,
) -> tuple[int, float, str, list[str]]:  # fmt: skip
    """The rules in the words of the documentation, for one customer."""
    gains = {
        k: (scores[name] - scores.get("nothing", 0.0)) * value - cost
        for k, (name, value, cost) in enumerate(prices)
    }
    eligible_ = [k for k in gains if allowed[k]] if consented else []
    finite = [k for k in eligible_ if math.isfinite(gains[k])]
    better = [k for k in finite if gains[k] > 0 or not do_nothing]
    winner = min(better, key=lambda k: (-gains[k], k), default=len(prices))
    if better:
        reason = "ONLY_ELIGIBLE" if len(eligible_) == 1 else "HIGHEST_VALUE"
    elif not consented:
        reason = "NO_CONSENT"
    elif not eligible_:
        reason = "NONE_ELIGIBLE"
    else:
        reason = "NOTHING_BETTER" if finite else "SCORE_NOT_FINITE"
    dropped = [
        "CHOSEN" if k == winner
        else "NO_CONSENT" if not consented
        else "NOT_ELIGIBLE" if not allowed[k]
        else "LOWER_VALUE" if math.isfinite(gains[k])
        else "SCORE_NOT_FINITE"
        for k in gains
    ]  # fmt: skip
    return winner, gains[winner] if better else 0.0, reason, dropped


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_choose_equals_the_plain_loop(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 5))
    names = ["a", "b", "c", "d"][: data.draw(st.integers(1, 4))]
    money = st.sampled_from([-2.0, 0.0, 0.5, 1.0, 3.0])
    prices = [(name, data.draw(money), abs(data.draw(money))) for name in names]
    outputs = data.draw(st.permutations(names + data.draw(st.sampled_from([[], ["nothing"]]))))
    do_nothing = data.draw(st.booleans())
    lines = [f'id = "{name}"\nvalue = {value}\ncost = {cost}' for name, value, cost in prices]
    service = campaign(*lines, policy=f"do_nothing = {str(do_nothing).lower()}")
    # Few distinct scores, so that ties are common.
    score = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan, math.inf])
    scores = data.draw(hnp.arrays(np.float32, (n, len(outputs)), elements=score))
    allowed = data.draw(hnp.arrays(np.bool_, (n, len(names))))
    consent = data.draw(hnp.arrays(np.int8, (1, n), elements=st.integers(-2, 1)))
    decisions = Policy(service, "response", outputs).choose(
        scores, allowed, consent, NO_CHANNELS[:, :n]
    )
    for i in range(n):
        by_name = dict(zip(outputs, map(float, scores[i]), strict=True))
        winner, gain, reason, dropped = plain_choice(
            by_name, prices, list(allowed[i]), bool(consent[0, i] in (1, -1)), do_nothing
        )
        assert decisions.strategy[i] == winner
        assert decisions.expected_value[i] == gain
        assert Reason(decisions.reason[i]).name == reason
        assert [Dropped(code).name for code in decisions.dropped[i]] == dropped
        np.testing.assert_equal(
            decisions.score[i], np.float32(by_name.get((*names, "nothing")[winner], math.nan))
        )
        np.testing.assert_equal(
            decisions.probability_without[i], np.float32(by_name.get("nothing", math.nan))
        )


def test_the_columns_have_the_promised_types() -> None:
    decisions = choose(Policy(abc(), "response", list("abc")), [0.1, 0.2, 0.3])
    types = {name: getattr(decisions, name).dtype.name for name in DecisionBatch.__slots__}
    assert types == {
        "strategy": "int16", "score": "float32", "probability": "float32", "chances": "int64",
        "probability_without": "float32", "expected_value": "float64", "held_out": "int64",
        "action_probability": "float64", "reason": "int8", "dropped": "int8", "explored": "bool", "ghost": "int16",
            "retry_ms": "int64", "not_before_ms": "int64",
    }  # fmt: skip
    assert decisions.dropped.shape == (1, 3)


@pytest.mark.parametrize("outputs", [["a", "b", "c", "c"], [], ["nothing"], ["d", "nothing"]])
def test_a_model_of_other_strategies_is_refused(outputs: list[str]) -> None:
    with pytest.raises(OperatorError, match=r"expected strategies .*'a', 'b', 'c'.* got \["):
        Policy(abc(), "response", outputs)


def test_a_strategy_that_the_model_does_not_know_is_dropped_and_the_others_go_on() -> None:
    """One was added to the file and is worth most, another removed: the best of the rest wins."""
    prices = campaign('id = "a"\nvalue = 10', 'id = "new"\nvalue = 1e6', 'id = "c"\nvalue = 10')
    policy = Policy(prices, "response", ["c", "removed", "nothing", "a"])
    decisions = choose(policy, [0.4, 0.99, 0.1, 0.2])
    assert row(decisions) == (2, Reason.HIGHEST_VALUE, ["LOWER_VALUE", "NOT_IN_MODEL", "CHOSEN"])
    assert decisions.score[0] == np.float32(0.4)
    assert decisions.probability_without[0] == np.float32(0.1)
    alone = choose(policy, [0.4, 0.99, 0.1, 0.2], allowed=[False, True, False])
    assert row(alone) == (
        3, Reason.NONE_ELIGIBLE, ["NOT_ELIGIBLE", "NOT_IN_MODEL", "NOT_ELIGIBLE"],
    )  # fmt: skip


def test_what_is_untrained_or_not_enabled_is_never_chosen() -> None:
    prices = campaign(
        'id = "a"\nvalue = 99', 'id = "b"\nvalue = 99\nenabled = false', 'id = "c"', 'id = "d"\nenabled = false',
    )  # fmt: skip
    policy = Policy(prices, "response", ["a", "b", "c"], untrained=("a", "b", "other"))
    taken, reason, dropped = row(choose(policy, [0.9, 0.9, 0.1]))
    assert (taken, reason) == (2, Reason.ONLY_ELIGIBLE)
    assert dropped == ["UNTRAINED", "DISABLED", "CHOSEN", "DISABLED"]
    # Even without consent the strategy's own reason comes first.
    assert row(choose(policy, [0.9, 0.9, 0.1], consent=0))[1:] == (
        Reason.NO_CONSENT, ["UNTRAINED", "DISABLED", "NO_CONSENT", "DISABLED"],
    )  # fmt: skip
