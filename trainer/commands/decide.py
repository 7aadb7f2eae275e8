"""`opportune decide`: a model applied to a table of customers, for campaigns that go out in batches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import numpy as np

from stream.campaign import file as campaign_file
from stream.campaign.options import CAMPAIGN, with_registry
from stream.terminal import Terminal
from trainer.commands.options.output_file import OutputFile
from trainer.commands.options.registry import REGISTRY, opened
from trainer.commands.options.table_options import expect_of_tables

if TYPE_CHECKING:
    from trainer.table.apply import Decided


@click.command()
@CAMPAIGN
@click.option(
    "--table",
    "table_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The customers, a row each, .parquet or .csv.",
)
@click.option(
    "--out", required=True, type=OutputFile(), help="Write the decisions here, .parquet or .csv."
)
@click.option("--version", default="champion", show_default=True, help="Model to decide with.")
@click.option(
    "--run",
    help="Name of this campaign: another one draws anew.  [default: the name of the table]",
)
@REGISTRY
@click.option("--json", "as_json", is_flag=True, help="How many got what, as one line of JSON.")
def decide(
    campaign: Path,
    table_path: Path,
    out: Path,
    version: str,
    run: str | None,
    registry: str | None,
    as_json: bool,
) -> None:
    """Decide what each customer of a table gets.

    CAMPAIGN is the campaign file. The policy is that of the worker: consent, conditions, hold-outs,
    exploration, value and cost; a row of the result has the strategy, its probability, and what every
    strategy would be worth.
    """
    loaded = with_registry(campaign_file.load(campaign), registry)
    from trainer.table.table_file import read_table, write_table

    table = read_table(table_path)
    with opened(loaded.model.registry, None) as models:
        bundle = models.load(models.resolve(version))
    expect_of_tables(bundle, loaded.model.registry)
    with Terminal(stderr=True).status("Loading TensorFlow"):
        from stream.scoring.scorer import Scorer
        from trainer.table.apply import columns_of, decide_rows
        from trainer.table.encoding import Encoding
    encoding = Encoding.of(bundle.manifest.contract)
    assert encoding is not None, "`expect_of_tables` has seen to it"
    scorer = Scorer(bundle, loaded.model.builder)
    scorer.check_golden()
    decided = decide_rows(loaded, table, scorer, encoding, run or table_path.stem)
    write_table(columns_of(decided, loaded, scorer.version), out)
    counts = _counts(decided)
    if as_json:
        line = {"model": scorer.version, "customers": len(decided.ids), "strategies": counts}
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    else:
        _tell(decided, counts, scorer.version, out)


def _counts(decided: Decided) -> dict[str, int]:
    chosen = np.bincount(decided.decisions.strategy, minlength=len(decided.names)).tolist()
    return dict(zip(decided.names, chosen, strict=True))


def _tell(decided: Decided, counts: dict[str, int], version: str, out: Path) -> None:
    from stream.policy.decision import Reason

    console, made = Terminal(), decided.decisions
    console.print(f"{len(decided.ids):,} customers, decided by {version}", soft_wrap=True)
    for name, count in counts.items():
        console.print(f"  {count:>9,} {name}", highlight=False)
    reasons = np.bincount(made.reason, minlength=len(Reason))
    told = [f"{reasons[one]:,} {one.name.lower()}" for one in Reason if reasons[one]]
    console.print(f"Why: {', '.join(told)}", soft_wrap=True, highlight=False)
    gain = float(made.expected_value.sum())
    console.print(f"Expected gain over doing nothing: {gain:,.2f}", highlight=False)
    for notice in decided.notices:
        console.print(f"{notice}.", style="yellow", soft_wrap=True)
    console.print(f"Written to {out}", soft_wrap=True)
