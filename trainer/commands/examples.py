"""`opportune examples`: the training set of a stream as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stream.campaign import file as campaign_file
from stream.campaign.options import CAMPAIGN
from stream.terminal import Terminal
from trainer.commands.options.history_options import chosen, history_options
from trainer.commands.options.output_file import OutputFile
from trainer.commands.options.work import work_folder
from trainer.commands.printed.progress import watching


@click.command()
@CAMPAIGN
@history_options
@click.option(
    "--out", required=True, type=OutputFile(), help="Write the examples here, .parquet or .csv."
)
def examples(campaign: Path, out: Path, **history: Any) -> None:
    """Write what a training would learn from as a table: a row for each example.

    CAMPAIGN is the campaign file. The columns are those that `opportune train --table` reads: customer
    (a number), time, what was done and with which probability, what came of it, and the features.
    """
    loaded = campaign_file.load(campaign)
    options = chosen(**history)
    console = Terminal(stderr=True)
    with console.status("Loading TensorFlow"):
        from trainer import learning, train
        from trainer.table.table_file import write_table
        from trainer.table.written import table_of
    with (
        work_folder() as folder,
        watching(console, loaded, searches=False, fits=False) as watch,
    ):
        prepared = train.prepare(
            loaded, options.source(loaded), folder, loaded.training.seed, options.bounds, watch
        )
        table = table_of(prepared.plan, prepared.dataset, learning.outputs(loaded))
        write_table(table, out)
    Terminal().print(
        f"{table.num_rows:,} examples with {len(prepared.plan.names)} features, written to {out}",
        soft_wrap=True,
    )
