"""The charts of uplift: what contacting a share of the customers earns, and whether what is expected comes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import PercentFormatter

from trainer.evaluation.offpolicy.uplift_found import Sure, Tenth, Uplift, UpliftCurve
from trainer.report import wording
from trainer.report.svg import INK, MUTED, SERIES, chart

BEST = "the best for each"
_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (2, 2)))


def uplift_charts(found: Uplift) -> dict[str, Markup]:
    """Both charts, by name."""
    charts = {"uplift": _curves(found.curves)}
    if len(found.tenths) > 1:
        charts["tenths"] = _tenths(found.tenths)
    return charts


def uplift_rows(found: Uplift) -> list[tuple[str, ...]]:
    """Strategy, what contacting everybody earns, AUUC, Qini, as texts."""
    return [
        (
            _name(one), _sure(Sure(one.gain[-1], one.low[-1], one.high[-1])), _sure(one.auuc),
            _sure(one.qini),
        )
        for one in found.curves
    ]  # fmt: skip


def tenth_rows(found: Uplift) -> list[tuple[str, ...]]:
    """Group, decisions, expected and what came, as texts."""
    return [
        (str(i), wording.whole(one.rows), f"{one.expected:+,.3g}", _sure(one.gain))
        for i, one in enumerate(found.tenths, 1)
    ]


def _curves(curves: Sequence[UpliftCurve]) -> Markup:
    shown = curves[: len(SERIES)]
    alt = "Uplift. " + "; ".join(
        f"{_name(one)}: contacting everybody earns {one.gain[-1]:+.3g} per customer, Qini "
        f"{one.qini.value:+.3g}"
        for one in shown
    )
    with chart("uplift", 8.4, 4.2, alt) as drawn:
        axes = drawn.figure.subplots()
        for i, one in enumerate(shown):
            axes.plot(
                one.share, one.gain, color=SERIES[i], linestyle=_DASHES[i],
                linewidth=2.4 if i == 0 else 1.6, label=_name(one), zorder=10 - i,
            )  # fmt: skip
            axes.plot((0, 1), (0, one.gain[-1]), color=SERIES[i], linewidth=0.7, alpha=0.5)
        best = shown[0]
        axes.fill_between(
            best.share, best.low, best.high, color=SERIES[0], alpha=0.16, linewidth=0, zorder=2
        )
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("Share of the customers contacted, those first of whom most is expected")
        axes.set_ylabel("Earned per customer")
        axes.legend(loc="best")
    return drawn.svg


def _tenths(tenths: Sequence[Tenth]) -> Markup:
    alt = "Expected and earned by tenth. " + "; ".join(
        f"{one.expected:+.3g} expected, {one.gain.value:+.3g} earned" for one in tenths
    )
    with chart("tenths", 8.4, 3.6, alt) as drawn:
        axes = drawn.figure.subplots()
        place = np.arange(1, len(tenths) + 1)
        values = np.array([one.gain.value for one in tenths])
        errors = np.array([
            [one.gain.value - one.gain.low for one in tenths],
            [one.gain.high - one.gain.value for one in tenths],
        ])  # fmt: skip
        axes.bar(place, values, width=0.7, color=SERIES[0], alpha=0.85, label="earned")
        axes.errorbar(place, values, yerr=errors, fmt="none", ecolor=INK, elinewidth=1.2)
        axes.plot(
            place, [one.expected for one in tenths], linestyle="none", marker="s", markersize=6,
            color=SERIES[1], label="expected",
        )  # fmt: skip
        axes.axhline(0, color=MUTED, linewidth=1)
        axes.set_xticks(place)
        axes.set_xlabel("Tenth of the customers, the highest expected gain first")
        axes.set_ylabel("Per customer, over doing nothing")
        axes.grid(visible=False, axis="x")
        axes.legend(loc="best")
    return drawn.svg


def _name(one: UpliftCurve) -> str:
    return one.strategy or BEST


def _sure(one: Sure) -> str:
    return f"{one.value:+,.3g} ({one.low:+,.3g} to {one.high:+,.3g})"
