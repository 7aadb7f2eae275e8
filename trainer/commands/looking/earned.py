"""`opportune earned`: what strategies earn while they run, by customers who are held out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from stream.campaign import file as campaign_file
from stream.campaign.options import CAMPAIGN
from trainer.commands.options.history_options import chosen, history_options
from trainer.commands.options.output_file import PageFile
from trainer.commands.printed.progress import counting

EXIT_LOSES = 1
"""Exit code when the contacts lose money, or when the arms are broken."""


@click.command()
@CAMPAIGN
@history_options
@click.option(
    "--holdout", help="Measure by this hold-out.  [default: the largest that keeps everything]"
)
@click.option("--html", type=PageFile(), help="Write the page here, and as JSON beside it.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON on standard output.")
def earned(
    campaign: Path, holdout: str | None, html: Path | None, as_json: bool, **history: Any
) -> None:
    """Say what contacts have earned: customers who were treated beside those who were held out.

    CAMPAIGN is the campaign file, with a hold-out. The decision topic says who had, or would have had, a
    contact; the event topics what came of it. Its intervals may be looked at every day. Exit code 1
    when the contacts lose money, or when more or fewer customers are held out than should be.
    """
    loaded = campaign_file.load(campaign)
    options = chosen(**history)
    from stream.features.plan import compile_features
    from trainer.evaluation.earned.reading import read_earned

    plan = compile_features(loaded)
    with counting("Reading history", "records") as counted:
        found = read_earned(loaded, plan, options.source(loaded), options.bounds, holdout, counted)
    line = msgspec.json.encode(found)
    if html is not None:
        from trainer.report.earned_page import render_earned

        html.write_bytes(render_earned(found, loaded.app))
        html.with_suffix(".json").write_bytes(line)
    if as_json:
        sys.stdout.buffer.write(line + b"\n")
    else:
        from trainer.commands.printed.earned_tables import print_earned

        print_earned(found)
    if found.verdict in {"loses", "broken"}:
        sys.exit(EXIT_LOSES)
