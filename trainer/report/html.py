"""An evaluation as one page of HTML that needs nothing else: no script, no font, no link.

Rules of this file
1. The same evaluation and facts give the same bytes.
2. Texts are escaped; only the charts, which are drawn here, are markup. Control characters are shown by their numbers.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stream.visible import visible_lines
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Estimate, Evaluation, Group
from trainer.evaluation.offpolicy.uplift_found import Uplift
from trainer.report import arms_of, figures, wording
from trainer.report.facts import Examples, Facts
from trainer.report.summary import caveats, compared, ranked_group, reference, sentences
from trainer.report.tables import Table, appendix, group_name, metric_table, strategy_table
from trainer.report.uplift_figures import tenth_rows, uplift_charts, uplift_rows

_STRATEGY_CHARTS_MAX = 12
_FOREST_METRIC = "log_loss"


def render_html(
    evaluation: Evaluation, facts: Facts | None = None, uplift: Uplift | None = None
) -> bytes:
    """The report, for people who decide whether a model goes live.

    Args:
        evaluation: What came out.
        facts: Where model and data come from; what is missing is left out.
        uplift: Who reacts to what; None where nothing shows it.
    """
    facts = facts or Facts()
    against, beside = reference(evaluation), compared(evaluation)
    page = environment().get_template("report.html.jinja").render(
        evaluation=evaluation,
        facts=facts,
        tiles=_tiles(evaluation),
        sentences=sentences(evaluation, facts),
        caveats=caveats(evaluation, facts),
        metric_tables=_metric_tables(evaluation),
        unseen_tables=[] if evaluation.unseen is None else _metric_tables(evaluation.unseen),
        strategy_table=strategy_table(evaluation, against),
        appendix=appendix(evaluation),
        meanings=wording.METRIC_WORDS.values(),
        ranked=group_name(ranked_group(evaluation)),
        charts=_charts(evaluation, facts) | ({} if uplift is None else uplift_charts(uplift)),
        uplift_rows=[] if uplift is None else uplift_rows(uplift),
        tenth_rows=[] if uplift is None else tenth_rows(uplift),
        **_fact_rows(facts),
        against=f"the {wording.model_name(reference(beside) or '')}",
    )  # fmt: skip
    return visible_lines(page).encode()


def render_plain(facts: Facts) -> bytes:
    """A report without an evaluation: of a policy that predicts nothing, or without test examples."""
    page = environment().get_template("plain.html.jinja").render(facts=facts, **_fact_rows(facts))
    return visible_lines(page).encode()


@cache
def environment() -> Environment:
    """Where the templates are, and the filters that they use."""
    environment = Environment(
        loader=PackageLoader("trainer.report.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "whole": wording.whole, "date": wording.date, "percent": wording.percent,
    }  # fmt: skip
    return environment


def _fact_rows(facts: Facts) -> dict[str, list[tuple[str, ...]]]:
    """The small tables of data and training, as texts."""
    whole, date = wording.whole, wording.date
    return {
        "period_rows": [
            (
                name, *(date(time) if time else "" for time in (one.start, one.end)),
                whole(one.rows), whole(one.customers),
            )
            for name, one in facts.periods.items()
        ],
        "example_rows": [
            (
                name, whole(one.rows), whole(one.conversions),
                wording.percent(one.conversions / one.rows) if one.rows else "",
                *_gone_out(one, facts),
            )
            for name, one in facts.examples.items()
        ],
        "arm_rows": arms_of.rows_of(facts.arms),
        "join_rows": [(name, whole(number)) for name, number in facts.joins.items()],
        "reject_rows": [(name, whole(number)) for name, number in facts.rejects.items()],
        "setting_rows": list(facts.settings.items()),
    }  # fmt: skip


def _gone_out(one: Examples, facts: Facts) -> tuple[str, ...]:
    """What went out of the examples of a strategy; nothing where engines say nothing."""
    if all(each.sent is None for each in facts.examples.values()):
        return ()
    if one.sent is None or one.sent_conversions is None:
        return ("", "")
    rate = wording.percent(one.sent_conversions / one.sent) if one.sent else ""
    return (wording.whole(one.sent), rate)


def _metric_tables(evaluation: Evaluation) -> list[Table]:
    return [metric_table(evaluation, group) for group in evaluation.of_kind("pooled")]


def _tiles(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """The main numbers: name, value, interval."""
    group = ranked_group(evaluation)
    metrics = (
        ("accuracy", "f1", "roc_auc", "log_loss")
        if evaluation.head == "choice"
        else ("roc_auc", "lift_top_10_percent", "calibration_ratio", "log_loss")
    )
    return [
        (
            wording.METRIC_WORDS[metric].label,
            wording.value(metric, group.metrics[CANDIDATE][metric]),
            wording.interval(metric, group.metrics[CANDIDATE][metric]),
        )
        for metric in metrics
        if metric in group.metrics[CANDIDATE]
    ]


def _charts(evaluation: Evaluation, facts: Facts) -> dict[str, Markup]:
    """Every chart that there is data for, by name."""
    found = _ranking_charts(evaluation)
    calibrated = ranked_group(evaluation).curves
    if CANDIDATE in calibrated:
        shown = [name for name in (CANDIDATE, CHAMPION) if name in calibrated]
        found["calibration"] = figures.calibration_chart(
            {wording.heading(name): calibrated[name].calibration for name in shown},
            "calibration",
        )
    for i, group in enumerate(evaluation.of_kind("strategy")[:_STRATEGY_CHARTS_MAX]):
        if CANDIDATE in group.curves:
            found[f"strategy {i}"] = figures.calibration_chart(
                {group.name: group.curves[CANDIDATE].calibration}, f"strategy {i}", group.name
            )
    gains = _forest(compared(evaluation))
    if gains:
        found["forest"] = figures.forest_chart(
            gains, "gain in log loss, nats a case", _forest_alt(gains)
        )
    if facts.losses:
        found["losses"] = figures.loss_chart(facts.losses, facts.validation_losses)
    if facts.importance:
        found["importance"] = figures.importance_chart(facts.importance)
    return found


def _ranking_charts(evaluation: Evaluation) -> dict[str, Markup]:
    """Of all models; for a choice of the new model, each strategy against the others."""
    response = evaluation.head == "response"
    lines = figures.lines_of(ranked_group(evaluation))
    if not response:
        lines = [
            replace(line, label=group.name, banded=i == 0)
            for i, group in enumerate(_most_positives(evaluation))
            for line in figures.lines_of(group)[:1]
        ]
    if not lines:
        return {}
    positives = "conversions" if response else "cases of the strategy"
    found = {"gain": figures.gain_chart(lines, positives)}
    if response:
        found["lift"] = figures.lift_chart(lines)
    return found | {"roc": figures.roc_chart(lines), "pr": figures.pr_chart(lines)}


def _most_positives(evaluation: Evaluation) -> list[Group]:
    groups = sorted(evaluation.of_kind("strategy"), key=lambda group: -group.positives)
    return groups[: figures.LINES_MAX]


def _forest(evaluation: Evaluation) -> list[tuple[str, Estimate]]:
    against = reference(evaluation)
    if against is None:
        return []
    groups = {"All cases": evaluation.all} | {
        f"{part.name} ({wording.whole(part.rows)})": part for part in evaluation.parts
    }
    gains = {name: group.gains[against].get(_FOREST_METRIC) for name, group in groups.items()}
    return [(name, gain) for name, gain in gains.items() if gain is not None]


def _forest_alt(gains: list[tuple[str, Estimate]]) -> str:
    return "Gain in log loss. " + "; ".join(
        f"{name}: {wording.gain(_FOREST_METRIC, gain)} "
        f"({wording.gain_interval(_FOREST_METRIC, gain)})"
        for name, gain in gains
    )
