"""The funnel of a campaign as `opportune check` prints it: each stage, what it does here, what it costs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Column, Table

from stream.campaign.file import Campaign
from stream.campaign.funnel_sections import HoldoutSpec
from stream.campaign.sections.budget_section import BudgetSpec
from stream.campaign.topic_promises import contact_memory_ms, keep_decisions
from stream.contacts.chunk_contacts import has_contact_rules
from stream.contacts.contact_layout import lay_out_contacts
from stream.policy.stages import STAGES

_DAY_MS = 86_400_000


def funnel_table(campaign: Campaign) -> Table:
    """The stages in their order."""
    table = Table(
        "stage", Column("drops", overflow="fold"), Column("here", overflow="fold"),
        Column("costs", overflow="fold"), title="Funnel", title_justify="left",
    )  # fmt: skip
    here = {
        "pause": "opportune pause --list tells",
        "quiet_hours": _quiet_hours(campaign),
        "contacts": _contacts(campaign),
        "campaign": _turned_off(campaign),
        "consent": f"{campaign.policy.consent}, {len(campaign.suppressions)} suppressions",
        "eligibility": _conditions(campaign),
        "holdout": "; ".join(_kept(spec) for spec in campaign.holdouts) or "nobody",
        "budget": "; ".join(map(_budget, campaign.budgets)) or "none",
        "arbitration": _arbitration(campaign),
        "exploration": _exploration(campaign),
    }
    costs = {
        "holdout": _held_out(campaign),
        "quiet_hours": _waiting(campaign),
        "contacts": _contact_bytes(campaign),
        "exploration": _given_up(campaign),
    }
    for stage in STAGES:
        table.add_row(stage.name, stage.drops, here[stage.name], costs.get(stage.name, ""))
    return table


def what_chance_costs(campaign: Campaign) -> Iterator[str]:
    """What it costs to leave something to chance, or nothing, a sentence each."""
    explores = campaign.exploration.method != "none"
    if not explores and not campaign.holdouts:
        yield (
            "Nothing explores and nobody is held out: no contact is given up, and the log cannot prove "
            "what contacts earn, nor teach a model what else would have worked. [exploration] and "
            "[[holdouts]] change that."
        )
    everything = max((s.share for s in campaign.holdouts if s.is_universal), default=0.0)
    if everything:
        yield (
            f"Held out from everything: {everything:.3g} of the customers, and with them that share of "
            "what contacts earn; in return their difference from the others is what contacts earn."
        )
    if explores:
        yield (
            f"Explored: at least {_even(campaign):.3g} of the decisions in which there is a choice are "
            "drawn evenly; in these the best is given up as often as there are other arms."
        )
    if campaign.policy.without_model == "explore":
        share = campaign.exploration.without_model
        yield (
            f"Without a model {share:.3g} of the decisions are drawn evenly among what is allowed and "
            "doing nothing; the others do nothing, or the fallback."
        )


def what_contacts_need(campaign: Campaign) -> Iterator[str]:
    """What the rules about contacts take for granted, a sentence each."""
    if needed_ms := contact_memory_ms(campaign):
        yield (
            f"Rules about contacts look back {needed_ms / _DAY_MS:g} days: the decision topic has to keep "
            f"as much, {keep_decisions(campaign)}. Workers warn at their start when it does not."
        )
    if has_contact_rules(campaign):
        yield (
            f"A decision that is made later than {campaign.decisions.expires_after} after its event has "
            "expired: at a first start and after an outage it contacts nobody and counts nothing."
        )


def _even(campaign: Campaign) -> float:
    spec = campaign.exploration
    return max(spec.epsilon, spec.floor) if spec.method == "epsilon" else spec.floor


def _turned_off(campaign: Campaign) -> str:
    return ", ".join(s.id for s in campaign.strategies if not s.enabled) or "nothing"


def _conditions(campaign: Campaign) -> str:
    with_some = sum(1 for strategy in campaign.strategies if strategy.eligible)
    return f"conditions of {with_some} of {len(campaign.strategies)} strategies"


def _quiet_hours(campaign: Campaign) -> str:
    quiet = campaign.quiet_hours
    if quiet is None:
        return "none"
    free = [s.id for s in campaign.strategies if not s.obeys_quiet_hours]
    but = f", but for {', '.join(free)}" if free else ""
    return f"from {quiet.from_} until {quiet.until}, {quiet.mode}{but}"


def _waiting(campaign: Campaign) -> str:
    quiet = campaign.quiet_hours
    if quiet is None:
        return ""
    if quiet.mode == "drop":
        return "no contact in these hours"
    return (
        f"contacts wait, and go out over {quiet.release_spread}; what would expire "
        f"({campaign.decisions.expires_after} after its event) is lost"
    )


def _contacts(campaign: Campaign) -> str:
    cools = sum(
        1 for s in campaign.strategies
        if s.cool_down or s.cool_down_converted or s.cool_down_complained
    )  # fmt: skip
    free = [s.id for s in campaign.strategies if not s.obeys_caps]
    parts = [
        _many(len(campaign.caps), "cap"),
        _many(cools, "cool-down"),
        _many(len(campaign.exclusive), "exclusive entry", "exclusive entries"),
        "one open decision a strategy" if campaign.contacts.one_open else "",
        f"but for {', '.join(free)}" if free else "",
    ]
    return ", ".join(part for part in parts if part) or "no rules"


def _budget(budget: BudgetSpec) -> str:
    what = f"{budget.contacts} contacts" if budget.contacts else f"{budget.money:g} of cost"
    when = "in all" if budget.per == "total" else "a day"
    of = ", ".join((*budget.strategies, *(f"channel {name}" for name in budget.channels)))
    paced = ", paced" if budget.paced else ""
    return f"{budget.id}: {what} {when}{paced}{f', of {of}' if of else ''}"


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}" if count else ""


def _contact_bytes(campaign: Campaign) -> str:
    layout = lay_out_contacts(campaign)
    return f"{layout.row_bytes} bytes a customer" if layout.cells else ""


def _held_out(campaign: Campaign) -> str:
    everything = max((s.share for s in campaign.holdouts if s.is_universal), default=0.0)
    return f"{everything:.3g} of the contacts" if everything else ""


def _given_up(campaign: Campaign) -> str:
    if campaign.exploration.method == "none":
        return ""
    return f"the best in up to {_even(campaign):.3g} of the decisions, or more by the method"


def _kept(spec: HoldoutSpec) -> str:
    what = ", ".join((*spec.strategies, *(f"channel {name}" for name in spec.channels)))
    return f"{spec.id}: {spec.share:.3g} of the customers from {what or 'everything'}"


def _arbitration(campaign: Campaign) -> str:
    parts = ["uplift x value x weight - cost"]
    tiers = sorted({strategy.priority for strategy in campaign.strategies}, reverse=True)
    if len(tiers) > 1:
        parts.append("priorities " + " before ".join(map(str, tiers)))
    if campaign.policy.fallback:
        parts.append(f"fallback {campaign.policy.fallback}")
    if not campaign.policy.do_nothing:
        parts.append("also what is worth less than nothing")
    return ", ".join(parts)


def _exploration(campaign: Campaign) -> str:
    spec = campaign.exploration
    details = {
        "none": "nothing",
        "epsilon": f"epsilon {spec.epsilon:.3g}",
        "softmax": f"softmax, temperature {spec.temperature:.3g}",
        "inverse_gap": f"inverse gap, gamma {spec.gamma:.3g}",
    }[spec.method]
    return details if spec.method == "none" else f"{details}, floor {spec.floor:.3g}"
