"""Uplift curves: right where it is known who reacts, flat where the model knows nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stream.features.plan import compile_features
from tests.trainer.test_earnings import campaign, world
from trainer.earnings import Scores
from trainer.evaluation.offpolicy.uplift_found import Uplift
from trainer.examples.chance import Logged
from trainer.reactions import uplift_of
from trainer.report.uplift_figures import tenth_rows, uplift_charts, uplift_rows

WORLD = world(40_000, 3)


def found(scores: np.ndarray | None = None, untrained: tuple[str, ...] = ()) -> Uplift:
    shop = campaign()
    said = WORLD.truth if scores is None else scores
    uplift = uplift_of(shop, compile_features(shop), Scores(WORLD.part, said, untrained))
    assert uplift is not None
    return uplift


def test_who_is_helped_comes_first() -> None:
    """A mail earns 0.04 * 50 - 0.5 from one half, and loses 0.04 * 50 + 0.5 with the other."""
    uplift = found()
    assert [one.strategy for one in uplift.curves] == ["", "mail", "call"]
    mail = uplift.curves[1]
    half = int(np.argmin(np.abs(np.array(mail.share) - 0.5)))
    assert mail.low[half] < 0.75 < mail.high[half]
    assert mail.low[-1] < -0.5 < mail.high[-1]
    # 0.75 at the half, then down to -0.5: the area is 0.25 * 0.75 + 0.5 * 0.125
    assert mail.auuc.low < 0.25 < mail.auuc.high
    assert mail.qini.low < 0.5 < mail.qini.high
    best = uplift.curves[0]  # mail to the one half, calls, which do nothing, to the other
    assert best.low[-1] < 0.75 - 0.4 < best.high[-1]
    assert [one.gain.low <= one.expected <= one.gain.high for one in uplift.tenths] == [True, True]
    assert sum(one.rows for one in uplift.tenths) == len(WORLD.part)


def test_a_model_that_knows_nothing_has_no_order() -> None:
    flat = np.tile(np.array([0.06, 0.06, 0.06], np.float32), (len(WORLD.part), 1))
    uplift = found(flat)
    assert uplift.curves[1].share == (0.0, 1.0)
    assert uplift.curves[1].qini.value == pytest.approx(0.0, abs=1e-12)
    assert len(uplift.tenths) == 1


def test_the_curve_of_the_best_is_not_worse_than_either_where_it_begins() -> None:
    uplift = found()
    early = [np.interp(0.2, one.share, one.gain) for one in uplift.curves]
    assert early[0] == pytest.approx(max(early), abs=0.05)


def test_strategies_that_the_model_does_not_know_have_no_curve() -> None:
    assert [one.strategy for one in found(untrained=("call",)).curves] == ["", "mail"]


def test_without_chance_there_are_no_curves() -> None:
    shop, n = campaign(), len(WORLD.part)
    part = replace(WORLD.part, logged=Logged.unsaid(n))
    assert uplift_of(shop, compile_features(shop), Scores(part, WORLD.truth)) is None
    treated = WORLD.part.take(WORLD.part.strategy < 2)
    scores = Scores(treated, WORLD.truth[WORLD.part.strategy < 2])
    assert uplift_of(shop, compile_features(shop), scores) is None


def test_the_page_says_what_the_curves_are() -> None:
    uplift = found()
    charts = uplift_charts(uplift)
    assert set(charts) == {"uplift", "tenths"}
    assert "the best for each: contacting everybody earns" in charts["uplift"]
    assert [row[0] for row in uplift_rows(uplift)] == ["the best for each", "mail", "call"]
    assert tenth_rows(uplift)[0][2].startswith("+")
