"""What `opportune check` prints: compiled features, the state they take, topics, doubts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Column, Table

from stream.campaign.consent_sections import GENERAL
from stream.campaign.file import Campaign
from stream.campaign.purposes import purposes_of
from stream.codecs import compile_codecs
from stream.columns import Spans
from stream.features.plan import FeaturePlan, compile_features
from stream.policy.decision import NOTHING
from stream.policy.known import Known
from stream.state.table import CustomerTable
from stream.terminal import Terminal, words
from stream.worker.commands.doubts import doubts
from stream.worker.commands.explained import champion_of
from stream.worker.commands.funnel_table import (
    funnel_table,
    what_chance_costs,
    what_contacts_need,
)

_ROWS_FOR_ESTIMATE = 100_000


def describe_campaign(path: Path, campaign: Campaign, registry: str | None = None) -> None:
    """Prints a campaign that a worker can start with to stdout, and what looks mistyped in it.

    Args:
        path: The campaign file.
        campaign: What it says.
        registry: Where a champion is that it is compared with.

    Raises:
        CampaignError: A worker would not start with it.
        ExplainError: The registry cannot be read.
    """
    plan = compile_features(campaign)
    compile_codecs(campaign, plan)
    console = Terminal()
    console.print(words((str(path), "bold"), " is valid: app ", (campaign.app, "bold"), "\n"))
    console.print(_topics(campaign, plan))
    console.print(_features(plan))
    console.print(_strategies(campaign))
    console.print(_purposes(campaign))
    for line in _suppressions(campaign):
        console.print(line)
    console.print(funnel_table(campaign))
    for line in what_chance_costs(campaign):
        console.print(line)
    for line in what_contacts_need(campaign):
        console.print(line)
    console.print(
        f"State: {plan.row_bytes} bytes a row, about {_bytes_per_customer(plan)} bytes per customer "
        f"in memory with its key and index.\n"
        f"Feature contract {plan.contract.digest}, row layout {plan.layout_digest}."
    )
    if registry is not None:
        _compare(console, campaign, plan, registry)
    for doubt in doubts(campaign):
        console.print(f"warning: {doubt}", style="yellow")


def _compare(console: Terminal, campaign: Campaign, plan: FeaturePlan, registry: str) -> None:
    """Says what workers would make of the champion."""
    champion = champion_of(registry)
    if champion is None:
        do = (
            "wait for one"
            if campaign.policy.without_model == "wait"
            else "explore until there is one"
        )
        console.print(f"warning: no champion in {registry}: workers {do}", style="yellow")
        return
    ids = [strategy.id for strategy in campaign.strategies]
    told = Known.of(ids, champion.strategies, champion.untrained).words()
    if champion.contract_digest != plan.contract.digest:
        told = ["it is for other features: workers refuse it"]
    elif not set(ids) & set(champion.strategies):
        told = ["it has none of the strategies: workers refuse it"]
    for words_of in told:
        console.print(f"warning: champion {champion.version}: {words_of}", style="yellow")
    if not told:
        console.print(f"Champion {champion.version} knows every strategy.")


def _topics(campaign: Campaign, plan: FeaturePlan) -> Table:
    table = Table(
        "direction", Column("topic", overflow="fold"), "what", title="Topics", title_justify="left"
    )
    for name in campaign.topics.events:
        table.add_row("in", name, "events, keyed by customer")
    decisions = campaign.decisions
    table.add_row("out", campaign.topics.decisions, f"decisions, {decisions.format}")
    table.add_row("out", campaign.topics.dead_letter, "records that are no events, with the reason")
    changelog = f"{campaign.app}-customers-{plan.layout_digest}-changelog"
    table.add_row("state", changelog, "rows of the customer table, compacted")
    return table


def _features(plan: FeaturePlan) -> Table:
    title = f"{len(plan.names)} features"
    table = Table("#", "feature", "transform", title=title, title_justify="left")
    for i, (name, transform) in enumerate(zip(plan.names, plan.transforms, strict=True)):
        table.add_row(str(i), name, str(transform))
    return table


def _strategies(campaign: Campaign) -> Table:
    table = Table(
        "strategy", "channel", "value", "cost", "eligible", title="Strategies", title_justify="left"
    )
    for strategy in campaign.strategies:
        table.add_row(
            strategy.id,
            strategy.channel,
            f"{strategy.value:g}",
            f"{strategy.cost:g}",
            " and ".join(strategy.eligible) or "always",
        )
    table.add_row(NOTHING, "", "0", "0", "always")
    return table


def _purposes(campaign: Campaign) -> Table:
    title = f"Consent, {campaign.policy.consent}"
    table = Table(
        "purpose", Column("names", overflow="fold"), Column("paths", overflow="fold"), "of strategies",
        title=title, title_justify="left",
    )  # fmt: skip
    for purpose in purposes_of(campaign):
        needed_by = [
            strategy.id
            for strategy in campaign.strategies
            if purpose.id in (GENERAL, strategy.channel, *strategy.purposes)
        ]
        table.add_row(
            purpose.id,
            ", ".join(purpose.names),
            ", ".join((*purpose.paths, *(f"not {path}" for path in purpose.opt_out))),
            ", ".join(needed_by),
        )
    return table


def _suppressions(campaign: Campaign) -> Iterator[str]:
    """What closes which channel, a sentence each."""
    for spec in campaign.suppressions:
        where = " and ".join(f"{path} in {', '.join(v)}" for path, v in spec.where.items())
        yield (
            f"Channel {spec.channel} is closed by {', '.join(spec.events)}"
            + (f" with {where}" if where else "")
            + (f" for {spec.for_}" if spec.for_ else " for ever")
            + (f", until {', '.join(spec.lifted_by)}." if spec.lifted_by else ".")
        )


def _bytes_per_customer(plan: FeaturePlan) -> int:
    table = CustomerTable(plan.row_words)
    table.rows_for(Spans.of([b"customer-%07d" % i for i in range(_ROWS_FOR_ESTIMATE)]))
    return round(table.nbytes / table.rows)
