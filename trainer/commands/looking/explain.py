"""`opportune explain`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from stream.campaign import file as campaign_file
from stream.campaign.options import CAMPAIGN, with_registry
from stream.terminal import Terminal
from trainer.commands.options.history_options import HistoryOptions
from trainer.commands.options.registry import REGISTRY, opened
from trainer.commands.printed.progress import counting
from trainer.errors import TrainingError
from trainer.history.source import EVERYTHING


@click.command()
@click.argument("wanted", metavar="CUSTOMER|DECISION_ID")
@CAMPAIGN
@click.option("--bootstrap", envvar="OPPORTUNE_BOOTSTRAP", help="Kafka address.")
@click.option("--archive", help="Read an archive of the decision topic, a path or URL, not Kafka.")
@REGISTRY
@click.option(
    "--features", type=click.IntRange(1), default=10, show_default=True,
    help="So many features, those that moved it most.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON instead, all features.")
def explain(
    wanted: str, campaign: Path, bootstrap: str | None, archive: str | None, registry: str | None,
    features: int, as_json: bool,
) -> None:  # fmt: skip
    """Say why one decision is what it is: stages, scores, probabilities, and what moved them.

    Of a customer the newest decision is shown. Reads the decision topic, scores the features that the
    decision carries with its own model, and holds both against each other.
    """
    from trainer.account.found_decision import find_decision
    from trainer.account.telling import is_decision, tell

    loaded = with_registry(campaign_file.load(campaign), registry)
    topic = loaded.topics.decisions
    source = HistoryOptions(bootstrap, archive, EVERYTHING).source(loaded)
    with counting("Searching", "records") as on_records:
        found = find_decision(source, topic, wanted, on_records)
    if found is None or not is_decision(found.told):
        raise TrainingError(
            f"expected a decision with the id {wanted!r}, or one about a customer of that id, in {topic}, "
            "got none. Retention may have removed it: name an archive of the topic with --archive"
        )
    with opened(loaded.model.registry, None) as models:
        story = tell(found, loaded, models)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(story), indent=2) + b"\n")
        return
    from trainer.commands.printed.story_tables import print_story

    print_story(Terminal(), story, features)
