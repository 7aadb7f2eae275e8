"""Pauses: records that switch, what is never let through, and decisions while something is paused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.policy.choice import Policy
from stream.policy.decision import CERTAIN, Dropped, Reason
from stream.policy.draws import Asked
from stream.policy.operated.pauses import EVERYTHING, Switch, paused_of, read_switch, record_of
from tests.stream.policy.test_policy import abc, campaign, choose, row


@given(
    st.text(max_size=20), st.builds(Switch, paused=st.booleans(), by=st.text(), reason=st.text())
)
def test_a_switch_is_read_as_it_was_written(name: str, switch: Switch) -> None:
    assert read_switch(*record_of(name, switch)) == (name, switch)


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b'{"paused": "no"}', b"[" * 5000, b"null"])
def test_what_cannot_be_read_is_a_pause(value: bytes) -> None:
    found = read_switch(b"pause/mail", value)
    assert found is not None
    assert found[1].paused


def test_a_tombstone_ends_a_pause_and_other_records_are_none() -> None:
    assert read_switch(b"pause/mail", None) == ("mail", Switch(paused=False))
    assert read_switch(b"lease/mail", b"{}") is None
    assert read_switch(None, b"{}") is None


def test_everything_pauses_all_and_each_ends_by_itself() -> None:
    on, off = Switch(paused=True), Switch(paused=False)
    assert paused_of({EVERYTHING: on, "a": off}, ["a", "b"]) == {"a", "b"}
    assert paused_of({EVERYTHING: off, "a": on, "gone": on}, ["a", "b"]) == {"a"}


def test_what_is_paused_is_dropped_and_the_next_best_taken() -> None:
    policy = Policy(abc(), "choice", ["a", "b", "c"])
    paused = policy.with_paused({"a"})
    assert row(choose(policy, [0.9, 0.5, 0.1])) == (
        0, Reason.HIGHEST_VALUE, ["CHOSEN", "LOWER_VALUE", "LOWER_VALUE"],
    )  # fmt: skip
    assert row(choose(paused, [0.9, 0.5, 0.1])) == (
        1, Reason.HIGHEST_VALUE, ["PAUSED", "CHOSEN", "LOWER_VALUE"],
    )  # fmt: skip
    assert row(choose(paused.with_paused(()), [0.9, 0.5, 0.1]))[0] == 0


@pytest.mark.parametrize("consent", [1, 0])
def test_a_pause_of_everything_is_the_reason_whatever_else_there_is(consent: int) -> None:
    policy = Policy(abc('fallback = "b"'), "choice", ["a", "b", "c"]).with_paused({"a", "b", "c"})
    assert row(choose(policy, [0.9, 0.5, 0.1], consent)) == (3, Reason.PAUSED, ["PAUSED"] * 3)


def test_what_the_campaign_has_turned_off_keeps_its_code() -> None:
    off = campaign('id = "a"\nenabled = false', 'id = "b"')
    policy = Policy(off, "choice", ["a", "b"]).with_paused({"a", "b"})
    assert row(choose(policy, [0.9, 0.5])) == (2, Reason.PAUSED, ["DISABLED", "PAUSED"])


def test_chance_takes_nothing_that_is_paused() -> None:
    explores = campaign('id = "a"', 'id = "b"', policy='without_model = "explore"')
    policy = Policy.without_model(explores).with_paused({"a"})
    n = 200
    asked = Asked(
        np.empty((n, 0)), np.linspace(0, CERTAIN - 1, n).astype(np.int64), np.zeros(n, np.int64)
    )
    decisions = policy.choose(
        np.empty((n, 0), np.float32), np.ones((n, 2), np.bool_), np.ones((1, n), np.int8),
        np.zeros((0, n), np.bool_), asked,
    )  # fmt: skip
    assert set(decisions.strategy.tolist()) == {1, 2}
    assert (decisions.dropped[:, 0] == Dropped.PAUSED).all()
    assert (decisions.chances[:, 0] == 0).all()
    assert (decisions.chances.sum(axis=1) == CERTAIN).all()
