"""What a training or an evaluation says on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Console
from rich.table import Column, Table

from stream.campaign.file import Campaign
from stream.terminal import Terminal, words
from trainer.evaluation.evaluation import CANDIDATE, Estimate, Evaluation
from trainer.gate.gate import Verdict
from trainer.report.facts import Facts
from trainer.report.report import Report

_OVERALL = ("log_loss", "roc_auc", "calibration_error")
_BY_STRATEGY = ("roc_auc", "pr_auc", "precision", "recall", "f1")


def summarize(campaign: Campaign, report: Report, version: str, *, promoted: bool) -> None:
    """Data, results and verdict of a training."""
    console = Terminal()
    _show_data(console, report.facts)
    if report.evaluation is not None:
        show_evaluation(console, report.evaluation)
    if report.verdict is not None:
        show_money(console, report)
        show_verdict(console, report.verdict)
    state = "champion now" if promoted else "published, not promoted"
    console.print(words((version, "bold"), f" in {campaign.model.registry}: {state}"))


def summarize_instead(report: Report, version: str, *, promoted: bool) -> None:
    """The best single strategy for everybody, which stands in for a model that was not good enough."""
    console = Terminal()
    verdict = report.verdict
    assert verdict is not None, "a constant policy is judged"
    state = "champion now" if promoted else "published, not promoted"
    console.print(
        words(
            f"The best single strategy, always {verdict.constant}: ",
            (version, "bold"),
            f", {state}",
        )
    )
    show_money(console, report)
    show_verdict(console, verdict)
    if not promoted and verdict.promote:
        console.print(f"To use it: opportune promote {version}", soft_wrap=True)


def summarize_review(report: Report, version: str) -> None:
    """Data and results of a later evaluation."""
    console = Terminal()
    console.print(words((version, "bold"), " on later data"))
    _show_data(console, report.facts)
    if report.evaluation is not None:
        show_evaluation(console, report.evaluation)


def _show_data(console: Console, facts: Facts) -> None:
    if facts.history is not None:
        rejects = sum(facts.rejects.values())
        console.print(
            f"{facts.events:,} {'rows' if facts.table else 'events'} of "
            f"{facts.history.customers:,} customers{_when(facts.history.start, facts.history.end)}"
            + (f"; {facts.repeated:,} came again and count once" if facts.repeated else "")
            + (f"; {rejects:,} records were no events" if rejects else "")
        )
    if facts.joins:
        console.print(", ".join(f"{count:,} {what}" for what, count in facts.joins.items()))
    for name, span in facts.periods.items():
        console.print(f"{name}: {span.rows:,} examples{_when(span.start, span.end)}")


def _when(start: datetime | None, end: datetime | None) -> str:
    return "" if start is None or end is None else f", {start:%Y-%m-%d} to {end:%Y-%m-%d}"


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """The main metrics of all models, and those of the candidate by strategy."""
    console.print(
        f"Judged on {evaluation.all.rows:,} {'later' if evaluation.start else 'other'} examples of {evaluation.all.customers:,} "
        f"customers{_when(evaluation.start, evaluation.end)}"
    )
    console.print(_overall(evaluation))
    console.print(_by_strategy(evaluation))


def _overall(evaluation: Evaluation) -> Table:
    """All models on all examples, with intervals."""
    table = Table("model", *_headings(_OVERALL))
    for model in evaluation.models:
        found = evaluation.all.metrics[model]
        table.add_row(model.replace("_", " "), *(_interval(found.get(name)) for name in _OVERALL))
    return table


def _by_strategy(evaluation: Evaluation) -> Table:
    """The candidate by strategy, at the thresholds that earlier examples chose."""
    table = Table("strategy", *_headings(("examples", "positive", *_BY_STRATEGY)))
    for group in (*evaluation.of_kind("strategy"), *evaluation.of_kind("macro")):
        found = group.metrics.get(CANDIDATE, {})
        counts = ("", "") if group.kind == "macro" else (f"{group.rows:,}", f"{group.positives:,}")
        table.add_row(group.name, *counts, *(_value(found.get(name)) for name in _BY_STRATEGY))
    return table


def show_money(console: Console, report: Report) -> None:
    """What its policy earns, before what it predicts."""
    style = "yellow" if report.facts.unproven or report.facts.broken else "bold"
    for sentence in report.facts.money:
        console.print(words((sentence, style)), soft_wrap=True)


def show_verdict(console: Console, verdict: Verdict) -> None:
    """Every check of the gate."""
    for check in verdict.checks:
        mark = ("yes", "green") if check.passed else ("no", "red")
        if check.name in {"unproven", "sample ratio"}:
            mark = ("?", "yellow")
        told = f" {check.name}: {check.got} (expected {check.expected}); {check.why}"
        console.print(words("  ", mark, told), soft_wrap=True)


def _headings(metrics: Iterable[str]) -> Iterator[Column]:
    return (Column(name.replace("_", " "), justify="right") for name in metrics)


def _value(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.value:.3f}"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"
