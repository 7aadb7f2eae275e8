"""What the person in front of the demo sees: steps, a live table, a summary.

Rules of this file
1. It shows what it is given and computes nothing but shares and means.
2. Without a terminal the same facts come as lines, one every few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream.policy.stages import STAGES
from stream.terminal import words
from trainer.demo.journey import ORIGIN
from trainer.demo.watch import Shown, Tally
from trainer.evaluation.baselines import BASE_RATE
from trainer.evaluation.evaluation import CANDIDATE, Estimate, Evaluation
from trainer.report.report import Report

_LINE_INTERVAL_S = 3.0
_FEW_CONVERSIONS = 30
_WHY = {
    "HIGHEST_VALUE": "worth most",
    "ONLY_ELIGIBLE": "alone eligible",
    "NOTHING_BETTER": "no contact earns its cost",
    "NO_CONSENT": "no consent",
    "NONE_ELIGIBLE": "none eligible",
    "SCORE_NOT_FINITE": "no score",
    "SUPPRESSED": "channel closed",
    "EXPLORED": "chance",
    "HOLDOUT": "held out",
    "FALLBACK": "fallback",
    "HIGHEST_PRIORITY": "highest priority",
    "NO_MODEL": "no model yet",
    "NONE_SCORED": "none known to the model",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of the stream.

    Attributes:
        title: What goes on.
        date: Where in the streamed year.
        done: Steps done of `total`.
        total: Steps in all.
        events_s: Events sent per second, over the last seconds.
        decisions_s: Decisions received per second, over the last seconds.
        latency: Whether the latencies of the tally mean something.
        tally: The decisions.
    """

    title: str
    date: str
    done: int
    total: int
    events_s: float
    decisions_s: float
    latency: bool
    tally: Tally


class View:
    """The terminal.

    Args:
        console: Where to.
        plain: Lines instead of a live view.
        strategies: Strategy ids in the order to show.
    """

    def __init__(self, console: Console, *, plain: bool, strategies: Sequence[str]) -> None:
        self._console = console
        self._plain = plain
        self._strategies = strategies
        self._live: Live | None = None
        self._line_due_s = 0.0

    def origin(self) -> None:
        """Says what the data is, once."""
        self._console.print(f"{ORIGIN}\n", style="dim")

    def step(self, text: str) -> None:
        """Says what begins or was done."""
        self._console.print(words((">", "bold cyan"), f" {text}"), soft_wrap=True)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Within it, snapshots may be shown."""
        if self._plain:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def show(self, snapshot: Snapshot) -> None:
        """Shows a moment."""
        if self._live is not None:
            self._live.update(self._page(snapshot), refresh=True)
        elif time.monotonic() >= self._line_due_s:
            self._line_due_s = time.monotonic() + _LINE_INTERVAL_S
            self._console.print(_line(snapshot), soft_wrap=True)

    def table(self, tally: Tally) -> None:
        """Shows the decisions by strategy."""
        self._console.print(_strategy_table(tally, self._strategies))

    def funnel(self, tally: Tally) -> None:
        """Shows what each stage of the funnel stopped."""
        self._console.print(_funnel_table(tally, len(self._strategies)))
        self._console.print(
            f"Chance took {tally.explored / max(tally.decided, 1):.1%} of the decisions, and "
            f"{tally.held_out / max(tally.decided, 1):.1%} are about households that are held out."
        )

    def _page(self, snapshot: Snapshot) -> RenderableType:
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(snapshot.title, style="bold"),
            ProgressBar(snapshot.total, snapshot.done, width=40),
            Text(snapshot.date),
        )
        return Group(
            head,
            Text(_rates(snapshot), style="dim"),
            _strategy_table(snapshot.tally, self._strategies),
            _recent_table(snapshot.tally.recent),
        )


def summarize(
    console: Console, tally: Tally, report: Report, file: Path, kept: Path | None
) -> None:
    """Says what was decided, how good the model is, what that proves, and where to go on.

    Args:
        console: Where to.
        tally: The decisions that were made live.
        report: Of the training.
        file: The campaign file.
        kept: Folder that stays, None when nothing does.
    """
    left_alone = tally.count["nothing"]
    reasons = ", ".join(f"{_WHY[code]} ({n:,})" for code, n in tally.reasons.most_common())
    share = left_alone / max(tally.decided, 1)
    console.print(f"Left alone in {share:.0%} of the decisions: {reasons or 'none'}.")
    if report.evaluation is not None:
        _say_how_good(console, report.evaluation)
    for name, seen in report.facts.examples.items():
        if tally.count[name] and name != "nothing" and seen.conversions < _FEW_CONVERSIONS:
            console.print(
                f"Little is known about {name}: {seen.conversions} redemptions in "
                f"{seen.rows} sends."
            )
    console.print(
        words(
            ("What this does not prove:", "bold"),
            " in the history the chain chose whom to send what, nobody drew lots. So the expected values "
            "are estimates of a model, not uplift that was earned; values and costs are assumptions of "
            "the example. The worker does draw lots, and holds households out; but no engine acts on "
            "the decisions here, and a household may be chosen again after each purchase. Proof takes "
            "an engine, and then the hold-out shows what it earns.",
        )
    )
    console.print("\nNext", style="bold")
    for what, how in _next_steps(kept, file):
        console.print(f"  {what}:\n    {how}", soft_wrap=True)


def _say_how_good(console: Console, evaluation: Evaluation) -> None:
    groups = {group.name: group.metrics for group in evaluation.of_kind("pooled")}
    model, contacted = groups["all"][CANDIDATE], groups.get("contacted", {}).get(CANDIDATE, {})
    base = groups["all"][BASE_RATE]
    if "roc_auc" in contacted:
        console.print(
            f"The model, judged on {evaluation.all.rows:,} later examples: AUC "
            f"{_within(contacted['roc_auc'])} among the contacted households, of which "
            f"{contacted['observed_rate'].value:.1%} redeemed and it predicted "
            f"{contacted['predicted_rate'].value:.1%}; log loss {_within(model['log_loss'])}, "
            f"{base['log_loss'].value:.3f} without features."
        )


def _within(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _next_steps(kept: Path | None, file: Path) -> Iterator[tuple[str, str]]:
    if kept is None:
        yield "Keep topics, model, campaign file and logs", "opportune demo --keep DIR"
    else:
        yield "Topics, model registry, campaign file, log of the worker", str(kept)
        yield "The report about the model, for a browser", str(kept / "report.html")
        yield "What the campaign file compiles to", f"opportune check {file}"
        yield "The same Kafka again", f"opportune broker --data {kept / 'kafka'}"
        yield "The same worker on it", f"opportune worker {file} --registry {kept / 'registry'}"
    yield "What a campaign engine reads", "docs/decisions.md"
    yield "A campaign file to start from", "examples/segment/opportune.toml"


def _line(snapshot: Snapshot) -> str:
    counts = " ".join(f"{name}={n:,}" for name, n in snapshot.tally.count.most_common())
    return (
        f"{snapshot.title} {snapshot.date} {snapshot.done / max(snapshot.total, 1):4.0%}  "
        f"{_rates(snapshot)}  {counts}"
    )


def _rates(snapshot: Snapshot) -> str:
    rates = f"{snapshot.events_s:,.0f} events/s, {snapshot.decisions_s:,.0f} decisions/s"
    p50, p99 = snapshot.tally.latency_ms(0.5), snapshot.tally.latency_ms(0.99)
    if not snapshot.latency or p50 is None:
        return rates
    return f"{rates}, event to decision p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def _strategy_table(tally: Tally, strategies: Sequence[str]) -> Table:
    table = Table("strategy", title_justify="left")
    for column in ("decisions", "share", "households", "mean expected value"):
        table.add_column(column, justify="right")
    for name in (*strategies, "nothing"):
        count = tally.count[name]
        table.add_row(
            name,
            f"{count:,}",
            f"{count / max(tally.decided, 1):.1%}",
            f"{len(tally.households[name]):,}",
            f"{tally.value[name] / count:.3f}" if count else "",
        )
    return table


def _funnel_table(tally: Tally, strategies: int) -> Table:
    table = Table("stage", title="What each stage stopped", title_justify="left")
    for column in ("strategies", "of those that came to it"):
        table.add_column(column, justify="right")
    left = tally.decided * strategies
    for stage in STAGES:
        stopped = tally.stopped[stage.name]
        table.add_row(stage.name, f"{stopped:,}", f"{stopped / max(left, 1):.1%}")
        left -= stopped
    table.add_row("taken", f"{left:,}", "")
    return table


def _recent_table(decisions: Sequence[Shown]) -> Table:
    table = Table("household", "purchase at", "strategy", "value", "redeems", "why", box=None)
    for decision in decisions:
        table.add_row(
            decision.household,
            f"{decision.event_time:%Y-%m-%d %H:%M}",
            decision.strategy,
            f"{decision.expected_value:.3f}",
            _probabilities(decision),
            _WHY.get(decision.reason, decision.reason),
        )
    return table


def _probabilities(decision: Shown) -> str:
    if decision.probability is None or decision.probability_without is None:
        return ""
    if decision.strategy == "nothing":
        return f"{decision.probability_without:.1%}"
    return f"{decision.probability:.1%}, {decision.probability_without:.1%} without"
