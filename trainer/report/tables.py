"""What the tables of a report say, as texts: the template only lays them out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trainer.evaluation.evaluation import CANDIDATE, Estimate, Evaluation, Group
from trainer.report import wording
from trainer.report.wording import METRIC_WORDS

_VERDICTS = {1: "better", 0: "unclear", -1: "worse"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of a table.

    Attributes:
        value: The number, empty when it is not defined.
        interval: Its interval, may be empty.
        verdict: better, worse, unclear: the new model against another; empty for no comparison.
        gain: That difference with its interval, when the number is not the difference itself.
    """

    value: str = ""
    interval: str = ""
    verdict: str = ""
    gain: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: its head, an explanation or a count, its cells."""

    head: str
    note: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption and the heads of its columns."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


_STRATEGY_METRICS = (
    "observed_rate", "predicted_rate", "roc_auc", "pr_auc", "precision", "recall", "f1",
    "lift_top_10_percent", "calibration_error",
)  # fmt: skip


def group_name(group: Group) -> str:
    """How a group is called."""
    named = {
        "all": "All cases",
        "contacted": "Contacted customers",
        "macro": "Mean over the strategies",
    }
    return named[group.name] if group.kind in {"pooled", "macro"} else group.name


def metric_table(evaluation: Evaluation, group: Group) -> Table:
    """All metrics of one group, models side by side."""
    rows = []
    for metric, word in METRIC_WORDS.items():
        if any(metric in found for found in group.metrics.values()):
            rows.append(Row(word.label, word.meaning, _compared(evaluation, group, metric)))
    return Table(
        f"{group_name(group)}: {_size(group)}",
        tuple(wording.heading(name) for name in evaluation.models),
        tuple(rows),
    )


def strategy_table(evaluation: Evaluation, against: str | None) -> Table:
    """The new model by strategy, and its gain in log loss over another model."""
    metrics = [
        metric
        for metric in _STRATEGY_METRICS
        if any(metric in g.metrics[CANDIDATE] for g in evaluation.of_kind("strategy"))
    ]
    rows = []
    for group in (*evaluation.of_kind("strategy"), *evaluation.of_kind("macro")):
        cells = [_cell(metric, group.metrics[CANDIDATE].get(metric)) for metric in metrics]
        threshold = evaluation.thresholds.get(CANDIDATE, {}).get(group.name)
        if evaluation.thresholds:
            cells.insert(
                0, Cell("\N{EM DASH}" if threshold is None else wording.percent(threshold))
            )
        if against:
            cells.append(_gain("log_loss", group.gains[against].get("log_loss")))
        rows.append(Row(group_name(group), _counts(group), tuple(cells)))
    columns = [METRIC_WORDS[metric].label for metric in metrics]
    if evaluation.thresholds:
        columns.insert(0, "Threshold")
    if against:
        columns.append(f"Gain in log loss over the {wording.model_name(against)}")
    return Table("New model by strategy", tuple(columns), tuple(rows))


def appendix(evaluation: Evaluation) -> list[Table]:
    """Every number of the evaluation, by group."""
    return [metric_table(evaluation, group) for group in evaluation.groups]


def _size(group: Group) -> str:
    return f"{_counts(group)}, {wording.whole(group.customers)} customers"


def _counts(group: Group) -> str:
    return f"{wording.whole(group.rows)} cases, {wording.whole(group.positives)} conversions"


def _compared(evaluation: Evaluation, group: Group, metric: str) -> tuple[Cell, ...]:
    """One metric of every model, and what the new model gains over each."""
    estimates = {name: found[metric] for name, found in group.metrics.items() if metric in found}
    gains = {name: found[metric] for name, found in group.gains.items() if metric in found}
    places = wording.places_of(metric, estimates.values())
    gain_places = wording.places_of(metric, gains.values())
    cells = []
    for name in evaluation.models:
        cell = _cell(metric, estimates.get(name), places)
        if name in gains:
            compared = _gain(metric, gains[name], gain_places)
            cell = replace(
                cell, verdict=compared.verdict,
                gain=f"{compared.value} ({compared.interval})" if compared.interval else compared.value,
            )  # fmt: skip
        cells.append(cell)
    return tuple(cells)


def _cell(metric: str, estimate: Estimate | None, places: int | None = None) -> Cell:
    if estimate is None:
        return Cell()
    return Cell(wording.value(metric, estimate, places), wording.interval(metric, estimate, places))


def _gain(metric: str, estimate: Estimate | None, places: int | None = None) -> Cell:
    if estimate is None:
        return Cell()
    return Cell(
        wording.gain(metric, estimate, places), wording.gain_interval(metric, estimate, places),
        _VERDICTS[wording.clearly(estimate)],
    )  # fmt: skip
