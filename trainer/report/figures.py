"""The charts of a report.

Rules of this file
1. A chart has a text for those who do not see it, and lines differ by more than their colour.
2. Nothing is drawn that is not in the `Evaluation` or the facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from trainer.evaluation.curves import rates, shares
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Bin, Curves, Estimate, Group, Point
from trainer.report import wording
from trainer.report.svg import BAD, GOOD, INK, MUTED, PAPER, SERIES, chart

_DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (2, 2)))
_MARKERS = "os^Dvx"
LINES_MAX = len(SERIES)
"""Lines of a chart that can still be told apart."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve of a chart.

    Attributes:
        label: Its name.
        curves: Its data.
        rate: Share of positives behind it.
        banded: Whether its intervals are drawn: those of all lines would hide each other.
    """

    label: str
    curves: Curves
    rate: float
    banded: bool = True


def lines_of(group: Group) -> list[Line]:
    """The models of a group that have curves: there are examples of both answers."""
    lines = [
        Line(
            wording.heading(name),
            curves,
            group.metrics[name]["observed_rate"].value,
            name in {CANDIDATE, CHAMPION},
        )
        for name, curves in group.curves.items()
        if curves.gain
    ]
    return [line for line in lines if line.rate < 1][:LINES_MAX]


def gain_chart(lines: Sequence[Line], positives: str) -> Markup:
    """Cumulative gain: how many of the positives are among the highest scores."""
    alt = "Cumulative gain. " + "; ".join(
        f"{line.label}: the top 10 % hold {wording.percent(line.curves.gain[10])}, the top 30 % "
        f"{wording.percent(line.curves.gain[30])} of the {positives}"
        for line in lines
    )
    with chart("gain", 5.2, 3.9, alt) as drawn:
        axes = drawn.figure.subplots()
        for i, line in enumerate(lines):
            axes.plot(shares(), line.curves.gain, **_look(i), label=line.label)
            _band(axes, i, line, line.curves.gain_band)
        _diagonal(axes, "Chance")
        _percent_axes(axes, "Share of cases, highest scores first", f"Share of all {positives}")
        axes.legend(loc="lower right")
    return drawn.svg


def lift_chart(lines: Sequence[Line]) -> Markup:
    """Lift of each tenth of the cases."""
    lifts = [[one.value for one in line.curves.lift] for line in lines]
    alt = "Lift by tenth of the cases, highest scores first. " + "; ".join(
        f"{line.label}: {', '.join(f'{lift:.2f}' for lift in found)}"
        for line, found in zip(lines, lifts, strict=True)
    )
    with chart("lift", 5.2, 3.9, alt) as drawn:
        axes = drawn.figure.subplots()
        tenth = np.arange(1, len(lifts[0]) + 1)
        bars = axes.bar(tenth, lifts[0], width=0.7, color=SERIES[0], alpha=0.85)
        axes.errorbar(
            tenth - 0.25, lifts[0], yerr=_errors(lines[0].curves.lift), fmt="none", ecolor=INK,
            elinewidth=1.2,
        )  # fmt: skip
        dots = [
            axes.plot(
                tenth, found, linestyle="none", marker=_MARKERS[i], markersize=6, color=SERIES[i],
                markeredgecolor=PAPER,
            )[0]
            for i, found in enumerate(lifts[1:], 1)
        ]  # fmt: skip
        axes.legend([bars, *dots], [line.label for line in lines], loc="upper right")
        axes.axhline(1, color=MUTED, linewidth=1)
        axes.set_xticks(tenth)
        axes.set_xlabel("Tenth of the cases, highest scores first")
        axes.set_ylabel("Conversions against the average")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}\N{MULTIPLICATION SIGN}")
        axes.grid(visible=False, axis="x")
    return drawn.svg


def roc_chart(lines: Sequence[Line]) -> Markup:
    """ROC curve."""
    alt = "ROC curves of " + ", ".join(line.label for line in lines)
    with chart("roc", 5.2, 3.9, alt) as drawn:
        axes = drawn.figure.subplots()
        for i, line in enumerate(lines):
            false_positives, recall, _ = rates(line.curves.gain, line.rate)
            axes.plot(false_positives, recall, **_look(i), label=line.label)
            _band(axes, i, line, line.curves.roc_band)
        _diagonal(axes, "Chance")
        _percent_axes(axes, "False positive rate", "Recall")
        axes.legend(loc="lower right")
    return drawn.svg


def pr_chart(lines: Sequence[Line]) -> Markup:
    """Precision-recall curve."""
    alt = "Precision-recall curves of " + ", ".join(line.label for line in lines)
    with chart("pr", 5.2, 3.9, alt) as drawn:
        axes = drawn.figure.subplots()
        for i, line in enumerate(lines):
            _, recall, precision = rates(line.curves.gain, line.rate)
            axes.plot(recall, precision, **_look(i), label=line.label)
            _band(axes, i, line, line.curves.pr_band)
        _percent_axes(axes, "Recall", "Precision")
        axes.set_ylim(0, None)
        axes.legend(loc="upper right")
    return drawn.svg


def calibration_chart(series: Mapping[str, Sequence[Bin]], salt: str, title: str = "") -> Markup:
    """Predicted against observed rates, with intervals."""
    alt = f"Calibration{f' of {title}' if title else ''}. " + "; ".join(
        f"{label}: "
        + ", ".join(
            f"{wording.percent(one.predicted)} predicted and "
            f"{wording.percent(one.observed.value)} observed"
            for one in bins
        )
        for label, bins in series.items()
    )
    with chart(salt, *((3.3, 3.0) if title else (5.2, 3.9)), alt) as drawn:
        axes = drawn.figure.subplots()
        for i, (label, bins) in enumerate(series.items()):
            x, y = [one.predicted for one in bins], [one.observed.value for one in bins]
            axes.errorbar(
                x, y, yerr=_errors([one.observed for one in bins]), fmt=_MARKERS[i],
                color=SERIES[i], markersize=5, elinewidth=1.2, label=label, zorder=10 - i,
            )  # fmt: skip
        ends = [
            end
            for bins in series.values()
            for one in bins
            for end in (one.predicted, one.observed.high or one.observed.value)
        ]
        top = 1.05 * max(ends, default=1.0)
        axes.plot((0, top), (0, top), color=MUTED, linewidth=1)
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0 if top > 0.1 else 1))
        axes.set_xlabel("Predicted")
        axes.set_ylabel("Observed")
        axes.set_title(title)
        if len(series) > 1:
            axes.legend(loc="upper left")
    return drawn.svg


def forest_chart(gains: Sequence[tuple[str, Estimate]], unit: str, alt: str) -> Markup:
    """Differences with their intervals, one line each; right of zero is better."""
    with chart("forest", 8.4, 1.1 + 0.3 * len(gains), alt) as drawn:
        axes = drawn.figure.subplots()
        for row, (_, gain) in enumerate(gains):
            colour = {1: GOOD, 0: MUTED, -1: BAD}[wording.clearly(gain)]
            if gain.low is not None and gain.high is not None:
                axes.plot((gain.low, gain.high), (row, row), color=colour)
            axes.plot(gain.value, row, marker="o", markersize=7, color=colour)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(gains)), [name for name, _ in gains])
        axes.set_ylim(len(gains) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"worse \N{LEFTWARDS ARROW}  {unit}  \N{RIGHTWARDS ARROW} better")
    return drawn.svg


def loss_chart(losses: Sequence[float], validation: Sequence[float]) -> Markup:
    """Loss by pass over the examples."""
    named = {"Training": losses, "Validation": validation}
    alt = "Loss after each pass. " + "; ".join(
        f"{name}: from {found[0]:.4g} to {found[-1]:.4g}" for name, found in named.items() if found
    )
    with chart("losses", 5.2, 3.4, alt) as drawn:
        axes = drawn.figure.subplots()
        for i, (name, found) in enumerate(named.items()):
            if found:
                axes.plot(range(1, len(found) + 1), found, **_look(i), label=name)
        axes.set_xlabel("Pass over the training examples")
        axes.set_ylabel("Loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper right")
    return drawn.svg


def importance_chart(importance: Mapping[str, float]) -> Markup:
    """How much each setting mattered in the search."""
    ranked = sorted(importance.items(), key=lambda item: -item[1])
    alt = "Importance in the search. " + ", ".join(
        f"{name} {wording.percent(share)}" for name, share in ranked
    )
    with chart("importance", 5.2, 0.9 + 0.3 * len(ranked), alt) as drawn:
        axes = drawn.figure.subplots()
        axes.barh([name for name, _ in ranked], [share for _, share in ranked], color=SERIES[0])
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("Share of the differences between trials")
        axes.grid(visible=False, axis="y")
    return drawn.svg


def _look(i: int) -> dict[str, Any]:
    return {
        "color": SERIES[i % len(SERIES)],
        "linestyle": _DASHES[i % len(_DASHES)],
        "linewidth": 2.4 if i == 0 else 1.6,
        "zorder": 10 - i,
    }


def _band(axes: Axes, i: int, line: Line, points: Sequence[Point]) -> None:
    """The intervals of a line, as an area behind it."""
    known = [
        (one.at, one.low, one.high)
        for one in points
        if one.low is not None and one.high is not None
    ]
    if line.banded and known:
        at, low, high = zip(*known, strict=True)
        axes.fill_between(
            at, low, high, color=SERIES[i % len(SERIES)], alpha=0.16, linewidth=0, zorder=2
        )


def _errors(observed: Sequence[Estimate | Point]) -> list[list[float]]:
    """Distances of the ends of the intervals, 0 where there are none."""
    return [
        [0.0 if one.low is None else one.value - one.low for one in observed],
        [0.0 if one.high is None else one.high - one.value for one in observed],
    ]


def _diagonal(axes: Axes, label: str) -> None:
    axes.plot((0, 1), (0, 1), color=MUTED, linewidth=1, label=label)


def _percent_axes(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
