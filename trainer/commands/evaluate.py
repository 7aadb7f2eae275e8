"""`opportune evaluate`: how good a published model is on what happened after it was fitted."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from stream.campaign import file as campaign_file
from stream.campaign.options import CAMPAIGN, with_registry
from stream.terminal import Terminal
from trainer.commands.options.history_options import chosen, history_options
from trainer.commands.options.output_file import PageFile, write_report
from trainer.commands.options.registry import REGISTRY, opened
from trainer.commands.options.table_options import TABLE, expect_of_tables, table_history
from trainer.commands.options.work import work_folder
from trainer.commands.printed.progress import watching


@click.command()
@CAMPAIGN
@click.argument("version", default="champion")
@history_options
@TABLE
@REGISTRY
@click.option("--html", type=PageFile(), help="Write the report here, and beside it as JSON.")
@click.option("--json", "as_json", is_flag=True, help="The evaluation as JSON on standard output.")
def evaluate(
    campaign: Path,
    version: str,
    table_path: Path | None,
    registry: str | None,
    html: Path | None,
    as_json: bool,
    **history: Any,
) -> None:
    """Judge a published model on examples from after those that it was fitted on.

    CAMPAIGN is the campaign file, VERSION a version, the beginning of one, champion, previous or
    latest. Stands beside the champion, if that is another one, and beside the base rates.
    Publishes and promotes nothing.
    """
    loaded = with_registry(campaign_file.load(campaign), registry)
    console = Terminal(stderr=True)
    with console.status("Loading TensorFlow"):
        from trainer import review, train
    with opened(loaded.model.registry, None) as models:
        bundle = models.load(models.resolve(version))
        champion = models.pointer("champion")
        rival = None if champion in (None, bundle.manifest.version) else models.load(champion)
    with (
        work_folder() as folder,
        watching(console, loaded, searches=False, fits=False, replays=table_path is None) as watch,
    ):
        if table_path is None:
            options = chosen(**history)
            prepared = train.prepare(
                loaded, options.source(loaded), folder, bundle.manifest.seed, options.bounds,
                watch,
            )  # fmt: skip
        else:
            expect_of_tables(bundle, loaded.model.registry)
            rows = table_history(loaded, table_path, history)
            loaded, prepared = rows.campaign, rows.prepare(folder, bundle, True)
        watch.step("judging")
        report = review.review(loaded, prepared, bundle, rival, datetime.now(UTC))
    if html is not None:
        write_report(report, html)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(report.evaluation) + b"\n")
        return
    from trainer.commands.printed.console_summary import summarize_review

    summarize_review(report, bundle.manifest.version)
