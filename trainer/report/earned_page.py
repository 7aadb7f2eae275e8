"""What strategies have earned as a page: the money first, by strategy and by week, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from stream.visible import visible_lines
from trainer.evaluation.earned.earned import Bound, Earned, Line
from trainer.report import wording
from trainer.report.html import environment
from trainer.report.svg import BAD, GOOD, INK, MUTED, chart

_WEEKS_MAX = 60
_HEADS = (
    "", "contacts", "outcomes per customer", "held out", "lift", "earned per customer", "earned in all",
)  # fmt: skip


def sentences(found: Earned) -> list[str]:
    """What came out, for people who decide."""
    ratio, line = found.ratio, found.all
    sure = f"{100 * found.confidence:.3g} %"
    arms = (
        f"{wording.whole(found.customers)} customers were treated and {wording.whole(ratio.held_out)} held out "
        f"({found.holdout}: {ratio.held_out / max(ratio.customers, 1):.2%} of them, {ratio.share:.2%} expected)"
    )
    if found.verdict == "broken":
        first = (
            f"No verdict: {arms}. Chance does not explain that (p = {ratio.p_value:.1g}): an arm loses customers, "
            "or a salt is used twice. Nothing that follows is to be believed."
        )
        return [first, *_more(found)]
    if line.total.low is None:
        first = "Too few customers, or outcomes, to say anything yet."
    else:
        what = {
            "earns": "The contacts have earned money",
            "loses": "The contacts have lost money",
            "open": "Whether the contacts earn or lose money is open",
        }[found.verdict]
        first = f"{what}: {interval(line.total, '{:+,.0f}')} in all."
    return [
        first,
        (f"{arms}. Counted is {found.outcome} within {wording.duration(found.window)} of the last contact, or "
        "of the contact that they would have had, less what contacts cost."),
        f"Intervals hold the truth at all times together with {sure}: look as often as you like.",
        *_more(found),
    ]  # fmt: skip


def interval(bound: Bound, form: str) -> str:
    """A difference with its interval, by a format of its numbers."""
    value = form.format(bound.value)
    if bound.low is None or bound.high is None:
        return f"{value} (too few to say)"
    return f"{value} ({form.format(bound.low)} to {form.format(bound.high)})"


def render_earned(found: Earned, campaign: str) -> bytes:
    """The page.

    Args:
        found: What was earned.
        campaign: Name of the campaign.
    """
    weeks = dict(list(found.weeks.items())[-_WEEKS_MAX:])
    page = environment().get_template("earned.html.jinja").render(
        campaign=campaign, found=found, sentences=sentences(found), heads=_HEADS,
        strategies=_rows({**found.strategies, "all": found.all}), weeks=_rows(found.weeks),
        charts={
            "strategies": _forest({**found.strategies, "all": found.all}, "strategies"),
            "weeks": _forest(weeks, "weeks"),
        },
    )  # fmt: skip
    return visible_lines(page).encode()


def _more(found: Earned) -> list[str]:
    young = (
        f"{wording.whole(found.immature)} contacts are too young: their {wording.duration(found.window)} are "
        "not over."
    )
    return [*([young] if found.immature else []), *(f"{notice}." for notice in found.notices)]


def _rows(lines: Mapping[str, Line]) -> list[tuple[str, ...]]:
    return [
        (
            name, wording.whole(line.contacts), f"{line.rate:.2%}", f"{line.rate_held_out:.2%}",
            interval(line.lift, "{:+.2%}"), interval(line.per_customer, "{:+,.3f}"),
            interval(line.total, "{:+,.0f}"),
        )
        for name, line in lines.items()
    ]  # fmt: skip


def _forest(lines: Mapping[str, Line], salt: str) -> Markup:
    """Money per customer with its interval, a line each; right of zero it is earned."""
    alt = "Earned per customer. " + "; ".join(
        f"{name}: {interval(line.per_customer, '{:+,.3f}')}" for name, line in lines.items()
    )
    with chart(f"earned {salt}", 8.4, 1.1 + 0.3 * len(lines), alt) as drawn:
        axes = drawn.figure.subplots()
        for row, line in enumerate(lines.values()):
            bound, colour = line.per_customer, MUTED
            if bound.low is not None and bound.high is not None:
                colour = GOOD if bound.low > 0 else BAD if bound.high < 0 else MUTED
                axes.plot((bound.low, bound.high), (row, row), color=colour)
            axes.plot(bound.value, row, marker="o", markersize=7, color=colour)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(range(len(lines)), list(lines))
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("earned per customer who was treated, over those who were held out")
    return drawn.svg
