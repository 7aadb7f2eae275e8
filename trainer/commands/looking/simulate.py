"""`opportune simulate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.table import Table

from models.registry import Registry
from stream.campaign import file as campaign_file
from stream.campaign.file import Campaign
from stream.campaign.options import CAMPAIGN, with_registry
from stream.terminal import Terminal
from trainer.commands.options.history_options import EventTime, HistoryOptions
from trainer.commands.options.output_file import OutputFile
from trainer.commands.options.registry import REGISTRY, opened
from trainer.commands.printed.progress import counting
from trainer.errors import TrainingError
from trainer.history.source import Bounds, Source

if TYPE_CHECKING:
    from stream.pipeline import Deployment
    from trainer.simulation.policy_outcome import Overlap, PolicyOutcome


@click.command()
@CAMPAIGN
@click.option(
    "--from", "archive", required=True, metavar="ARCHIVE",
    help="The history: an archive of the event topics, a path or URL.",
)  # fmt: skip
@click.option(
    "--beside", type=click.Path(path_type=Path), metavar="CAMPAIGN",
    help="The campaign file in force, over the same history. Without it what was decided is shown "
    "beside, if the archive holds the decision topic.",
)  # fmt: skip
@REGISTRY
@click.option("--model", default="champion", show_default=True, help="Version that scores.")
@click.option("--since", "since_ms", type=EventTime(), help="Events from this time on.")
@click.option("--until", "until_ms", type=EventTime(), help="Events before this time.")
@click.option("--html", "page", type=OutputFile(), help="Write a page with pictures to this file.")
@click.option(
    "--json", "json_file", type=OutputFile(), help="Write all counts to this file as JSON."
)
def simulate(
    campaign: Path, archive: str, beside: Path | None, registry: str | None, model: str,
    since_ms: int | None, until_ms: int | None, page: Path | None, json_file: Path | None,
) -> None:  # fmt: skip
    """Run a changed policy over history: who would have been contacted, and which rules fired.

    CAMPAIGN is the changed campaign file. Nothing is published. Every event is decided at the timestamp
    of its record, with the worker's own features, rules and draws; what customers would then have done
    otherwise nobody knows.
    """
    from trainer.simulation.as_decided import decided
    from trainer.simulation.policy_outcome import Overlap

    changed = with_registry(campaign_file.load(campaign), registry)
    bounds = Bounds(since_ms, until_ms)
    source = HistoryOptions(None, archive, bounds).source(changed)
    if changed.budgets:
        Terminal(stderr=True).print(
            "budgets are left out: they are shared by partitions, which are replayed alone"
        )
    with opened(changed.model.registry, None) as models:
        deployment = _deployment(changed, models, model)
        outcomes = [_rehearse(changed, deployment, campaign, source)]
        if beside is not None:
            present = campaign_file.load(beside)
            outcomes.append(_rehearse(present, _deployment(present, models, model), beside, source))
    if beside is None:
        topic = changed.topics.decisions
        try:
            with counting("Reading decisions", "records") as on_records:
                outcomes.append(decided(source, topic, on_records))
        except TrainingError:
            Terminal(stderr=True).print(f"the archive does not hold {topic}: nothing beside")
    overlap = Overlap.of(*outcomes) if len(outcomes) > 1 else None
    _print(outcomes, overlap)
    _write(changed.app, deployment.scorer.version, outcomes, overlap, page, json_file)


def _deployment(campaign: Campaign, models: Registry, model: str) -> Deployment:
    """The model, or none where the campaign explores without one and nobody is champion."""
    from stream.features.plan import compile_features
    from stream.pipeline import Deployment
    from stream.policy.choice import Policy
    from stream.scoring.no_model import NoModel
    from stream.scoring.scorer import Scorer

    explores = campaign.policy.without_model == "explore"
    if model == "champion" and explores and models.pointer("champion") is None:
        contract = compile_features(campaign).contract
        return Deployment(NoModel(contract), Policy.without_model(campaign))
    scorer = Scorer(models.load(models.resolve(model)), campaign.model.builder)
    policy = Policy(campaign, scorer.head, scorer.strategies, scorer.untrained)
    return Deployment(scorer, policy)


def _rehearse(
    campaign: Campaign, deployment: Deployment, file: Path, source: Source
) -> PolicyOutcome:
    from trainer.simulation.past import by_arrival
    from trainer.simulation.rehearsal import Rehearsal

    rehearsal = Rehearsal(campaign, deployment, file.stem)
    with counting(f"Deciding by {file.name}", "records") as on_records:
        for chunk in by_arrival(source, campaign.topics.events, on_records):
            rehearsal.take(chunk)
    return rehearsal.outcome


def _print(outcomes: Sequence[PolicyOutcome], overlap: Overlap | None) -> None:
    from trainer.simulation.simulation_page import (
        headline,
        rule_rows,
        strategy_rows,
        total_rows,
    )

    console = Terminal()
    names = [one.name for one in outcomes]
    for title, rows in (
        ("Totals", total_rows(outcomes)), ("Decisions", strategy_rows(outcomes)),
        ("Strategies dropped, by rule", rule_rows(outcomes)),
    ):  # fmt: skip
        table = Table("", title=title, title_justify="left")
        for name in names:
            table.add_column(name, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(headline(outcomes, overlap))


def _write(
    app: str, model: str, outcomes: Sequence[PolicyOutcome], overlap: Overlap | None,
    page: Path | None, json_file: Path | None,
) -> None:  # fmt: skip
    from trainer.simulation.simulation_page import render_simulation

    if page is not None:
        page.write_bytes(render_simulation(app, model, outcomes, overlap))
    if json_file is not None:
        found = {
            "app": app, "model": model, "policies": [one.figures() for one in outcomes],
            "customers": None if overlap is None else {
                "both": overlap.both, "first_only": overlap.first_only,
                "second_only": overlap.second_only,
            },
        }  # fmt: skip
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
