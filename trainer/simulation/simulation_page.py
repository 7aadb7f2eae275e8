"""A simulation as one page of HTML that needs nothing else, with pictures.

Rules of this file
1. The same outcomes give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from stream.policy.decision import NOTHING, Dropped
from stream.policy.stages import stage_of
from stream.visible import visible_lines
from trainer.report.svg import SERIES, chart
from trainer.simulation.policy_outcome import Overlap, PolicyOutcome, codes_of

_DASHES = ("-", (0, (5, 1.5)))
_HATCHES = ("", "//")
_CONTACTS_SHOWN_MAX = 10


def render_simulation(
    app: str, model: str, outcomes: Sequence[PolicyOutcome], overlap: Overlap | None
) -> bytes:
    """The page.

    Args:
        app: Of the campaign.
        model: Version that scored.
        outcomes: The policy in question first, then what it is held against, if anything.
        overlap: Whom they contact.
    """
    page = _environment().get_template("own/simulation.html.jinja").render(
        app=app, model=model, names=[one.name for one in outcomes],
        headline=headline(outcomes, overlap), totals=total_rows(outcomes),
        strategies=strategy_rows(outcomes), rules=rule_rows(outcomes), charts=_charts(outcomes),
    )  # fmt: skip
    return visible_lines(page).encode()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PrefixLoader({
            "own": PackageLoader("trainer.simulation.simulation_page"),
            "report": PackageLoader("trainer.report.report"),
        }),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def headline(outcomes: Sequence[PolicyOutcome], overlap: Overlap | None) -> str:
    """The main thing, a sentence."""
    first = outcomes[0]
    text = (
        f"{first.name}: {first.contacts.total():,} contacts of {len(first.contacts):,} customers in "
        f"{first.decisions:,} decisions"
    )
    if overlap is None:
        return f"{text}."
    other = outcomes[1]
    return (
        f"{text}; {other.name}: {other.contacts.total():,} of {len(other.contacts):,}. Both contact "
        f"{overlap.both:,} customers, {overlap.first_only:,} only the first, {overlap.second_only:,} "
        "only the second."
    )


def total_rows(outcomes: Sequence[PolicyOutcome]) -> list[tuple[str, ...]]:
    """Totals, a row each: what, then one text for each policy."""

    def row(what: str, *values: object) -> tuple[str, ...]:
        return (what, *(f"{v:,}" if isinstance(v, int) else str(v) for v in values))

    return [
        row("decisions", *(o.decisions for o in outcomes)),
        row("contacts", *(o.contacts.total() for o in outcomes)),
        row("customers contacted", *(len(o.contacts) for o in outcomes)),
        row("most contacts of one customer", *(max(o.contacts.values(), default=0) for o in outcomes)),
        row("explored", *(o.explored for o in outcomes)),
        row("about held-out customers", *(o.held_out for o in outcomes)),
        row("expired when decided", *(o.expired for o in outcomes)),
        row("worth to the model", *("" if o.worth is None else f"{o.worth:,.2f}" for o in outcomes)),
    ]  # fmt: skip


def strategy_rows(outcomes: Sequence[PolicyOutcome]) -> list[tuple[str, ...]]:
    """Decisions for each strategy."""
    names = dict.fromkeys(name for one in outcomes for name in one.strategies)
    ordered = [*(name for name in names if name != NOTHING), NOTHING]
    return [(name, *(f"{one.strategies[name]:,}" for one in outcomes)) for name in ordered]


def rule_rows(outcomes: Sequence[PolicyOutcome]) -> list[tuple[str, ...]]:
    """How often each rule fired: stage and code, then how many strategies it dropped under each policy."""
    return [
        (f"{stage_of(Dropped[code])}: {code}", *(f"{_fired(one, code):,}" for one in outcomes))
        for code in codes_of(*outcomes)
    ]


def _fired(outcome: PolicyOutcome, code: str) -> int:
    return sum(count for (fired, _), count in outcome.rules.items() if fired == code)


def _charts(outcomes: Sequence[PolicyOutcome]) -> Mapping[str, Markup]:
    found = {"contacts": _spread_chart(outcomes)}
    if codes_of(*outcomes):
        found["rules"] = _rules_chart(outcomes)
    if len({day for one in outcomes for day in one.days}) > 1:
        found["days"] = _days_chart(outcomes)
    return found


def _days_chart(outcomes: Sequence[PolicyOutcome]) -> Markup:
    alt = "Contacts by day. " + "; ".join(f"{o.name}: {o.contacts.total():,}" for o in outcomes)
    with chart("days", 5.2, 3.2, alt) as drawn:
        axes = drawn.figure.subplots()
        days = sorted({day for one in outcomes for day in one.days})
        every = range(days[0], days[-1] + 1)
        dates = np.array(every, "datetime64[D]")
        for i, one in enumerate(outcomes):
            counts = [one.days[day] for day in every]
            axes.plot(dates, counts, color=SERIES[i], linestyle=_DASHES[i], label=one.name)
        axes.set_ylabel("Contacts a day")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(axes.xaxis.get_major_locator())
        axes.tick_params(axis="x", rotation=30)
        axes.legend(loc="best")
    return drawn.svg


def _rules_chart(outcomes: Sequence[PolicyOutcome]) -> Markup:
    codes = codes_of(*outcomes)
    alt = "How often each rule dropped a strategy. " + "; ".join(
        f"{o.name}: " + ", ".join(f"{code} {_fired(o, code):,}" for code in codes) for o in outcomes
    )
    with chart("rules", 5.2, 1.1 + 0.34 * len(codes), alt) as drawn:
        axes = drawn.figure.subplots()
        high = 0.8 / len(outcomes)
        for i, one in enumerate(outcomes):
            at = np.arange(len(codes)) + i * high
            axes.barh(
                at, [_fired(one, code) for code in codes], height=high, color=SERIES[i],
                hatch=_HATCHES[i], label=one.name,
            )  # fmt: skip
        axes.set_yticks(np.arange(len(codes)) + 0.4 - high / 2, codes)
        axes.invert_yaxis()
        axes.set_xlabel("Strategies dropped")
        axes.grid(visible=False, axis="y")
        axes.legend(loc="best")
    return drawn.svg


def _spread_chart(outcomes: Sequence[PolicyOutcome]) -> Markup:
    most = _CONTACTS_SHOWN_MAX
    spread = [np.bincount(np.minimum([0, *one.contacts.values()], most), minlength=most + 1)[1:]
              for one in outcomes]  # fmt: skip
    alt = "Customers by their contacts. " + "; ".join(
        f"{one.name}: " + ", ".join(f"{n} contacts {c:,}" for n, c in enumerate(counts.tolist(), 1) if c)
        for one, counts in zip(outcomes, spread, strict=True)
    )  # fmt: skip
    with chart("contacts", 5.2, 3.2, alt) as drawn:
        axes = drawn.figure.subplots()
        wide = 0.8 / len(outcomes)
        for i, (one, counts) in enumerate(zip(outcomes, spread, strict=True)):
            at = np.arange(1, most + 1) + i * wide
            axes.bar(at, counts, width=wide, color=SERIES[i], hatch=_HATCHES[i], label=one.name)
        axes.set_xticks(
            np.arange(1, most + 1) + 0.4 - wide / 2, [*map(str, range(1, most)), f"{most}+"]
        )
        axes.set_xlabel("Contacts of a customer")
        axes.set_ylabel("Customers")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="x")
        axes.legend(loc="best")
    return drawn.svg
