"""`opportune parity`."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import msgspec

from stream.campaign import file as campaign_file
from stream.campaign.field_path import header_paths
from stream.campaign.file import Campaign
from stream.campaign.options import BOOTSTRAP, CAMPAIGN, with_registry
from stream.kafka.skip_list import ReadRules
from stream.kafka.skip_report import log_skip_list
from stream.terminal import Terminal
from trainer.commands.options.history_options import EventTime
from trainer.commands.options.output_file import OutputFile
from trainer.commands.options.registry import REGISTRY, opened
from trainer.commands.printed.parity_tables import print_parity
from trainer.commands.printed.progress import counting
from trainer.parity.logged import Scope
from trainer.parity.result import Parity

EXIT_INCONCLUSIVE = 3
"""Exit code when too few decisions could be compared to say anything."""


@click.command()
@CAMPAIGN
@BOOTSTRAP
@click.option(
    "--archive",
    metavar="FOLDER",
    help="Read the events from an archive, a path or URL, as far as it goes; decisions from Kafka.",
)
@REGISTRY
@click.option(
    "--since",
    "since_ms",
    type=EventTime(),
    help="Compare decisions about events from this time on.",
)
@click.option("--until", "until_ms", type=EventTime(), help="And before this one.")
@click.option(
    "--customers-share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Compare a sample of the customers, each with its whole history.",
)
@click.option(
    "--show-customers",
    is_flag=True,
    help="Name the customer of each event that is shown, not only its offset.",
)
@click.option(
    "--json",
    "json_file",
    type=OutputFile(),
    help="Write the report to this file as JSON, too.",
)
def parity(
    campaign: Path,
    bootstrap: str | None,
    archive: str | None,
    registry: str | None,
    since_ms: int | None,
    until_ms: int | None,
    customers_share: float,
    show_customers: bool,
    json_file: Path | None,
) -> None:
    """Compare the features that workers decided on with a replay of the events.

    CAMPAIGN is the campaign file. Reads its decision topic and replays its event topics with the
    feature kernel; each vector has to be the same in every bit. Differences are explained as far as
    topics and registry tell. The exit code is 1 when something is left that nothing explains, and 3
    when nothing, or almost nothing, could be compared in earnest.
    """
    # Trouble with the broker is told by the error; aiokafka also tells what it then tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    loaded = with_registry(campaign_file.load(campaign), registry)
    scope = Scope(customers_share, since_ms, until_ms)
    found = _check(loaded, bootstrap or loaded.bootstrap, archive, scope, show_customers)
    console = Terminal()
    print_parity(console, found)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    if found.faults:
        raise SystemExit(1)
    if found.inconclusive:
        raise SystemExit(EXIT_INCONCLUSIVE)


def _check(
    campaign: Campaign, bootstrap: str, archive: str | None, scope: Scope, show_customers: bool
) -> Parity:
    """Checks under a progress bar."""
    from stream.features.plan import compile_features
    from stream.state.changelog_name import topic_name
    from trainer.parity.archived import ArchivedTopics
    from trainer.parity.check import check_parity
    from trainer.parity.partition_reader import Topics, open_topics

    changelog = topic_name(campaign.app, compile_features(campaign).layout_digest)
    names = (campaign.topics.decisions, *campaign.topics.events, changelog)
    rules = ReadRules.of(campaign)
    with counting("Replaying", "records") as on_records:
        log_skip_list(rules)
        with open_topics(bootstrap, names, on_records, rules) as topics:
            source: Topics | ArchivedTopics = topics
            if archive is not None:
                of_events, headers = campaign.topics.events, header_paths(campaign)
                source = ArchivedTopics(topics, archive, of_events, rules, headers)
            with opened(campaign.model.registry, None) as registry:
                return check_parity(
                    campaign, registry, source, scope, show_customers=show_customers
                )
