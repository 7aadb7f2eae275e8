"""`python -m benchmarks cdnow`."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.cdnow.contest import METRICS, MODELS, OURS
from benchmarks.cdnow.customers import customers, read_purchases
from benchmarks.cdnow.result import Result, as_json, contest
from benchmarks.errors import BenchmarkError
from benchmarks.options import json_option, setting
from benchmarks.progress import Steps
from benchmarks.report import environment, write_json

MASTER = Path("cdnow") / "cdnow_master.csv.gz"


def data_folder() -> Path:
    """Where data sets are: `OPPORTUNE_DATA`, or shared/data beside the repository."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    return Path(os.environ.get("OPPORTUNE_DATA") or beside)


@click.command()
@setting(
    "--seeds",
    click.IntRange(1),
    10,
    "How often the customers are dealt into learning, choosing and judging.",
)
@click.option(
    "--data",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The purchases, a CSV file; default: cdnow/cdnow_master.csv.gz in OPPORTUNE_DATA.",
)
@json_option
def cdnow(seeds: int, data: Path | None, json_file: Path | None) -> None:
    """Who buys again: our networks beside scikit-learn's models, on real purchases.

    The first 39 weeks of 23,570 customers of CDNOW go through the event decoder and the feature
    kernel; who of them bought in the next 39 is to be predicted. All models see the same features
    of the same customers. The exit code is 1 when a network has a lower mean ROC AUC than another
    model.
    """
    path = data or data_folder() / MASTER
    if not path.is_file():
        raise BenchmarkError(
            f"{path}: expected the purchases of CDNOW, got no file. Name it with --data, or the "
            "folder that has cdnow/cdnow_master.csv.gz with OPPORTUNE_DATA"
        )
    with Steps() as steps:
        with steps.step("Features of the customers"):
            known = customers(read_purchases(path))
        with steps.step("Deals", seeds) as advance:
            result = contest(known, seeds, advance)
    _print(result)
    if json_file is not None:
        write_json(json_file, {**as_json(result), **environment()})
    if not result.holds:
        raise BenchmarkError("a network has a lower mean ROC AUC than another model, see above")


def _print(result: Result) -> None:
    console = Console()
    title = f"CDNOW: {result.customers:,} customers, {result.bought_again:.1%} buy again"
    table = Table("", "roc_auc ± sd", *METRICS[1:], title=title, title_justify="left")
    for name, figures in result.figures.items():
        auc, *others = (figures[metric] for metric in METRICS)
        spread = auc.std(ddof=1) if result.seeds > 1 else 0.0
        means = (f"{values.mean():.4f}" for values in others)
        table.add_row(name, f"{auc.mean():.4f} ± {spread:.4f}", *means)
    console.print(table)
    title = f"Difference in ROC AUC, the same customers, mean of {result.seeds} deals"
    table = Table("", "more than", "", "95 %", "deals won", title=title, title_justify="left")
    for ours, other in product(OURS, (name for name in MODELS if name not in OURS)):
        one = result.difference(ours, other)
        interval = f"{one.low:+.4f} to {one.high:+.4f}"
        table.add_row(ours, other, f"{one.mean:+.4f}", interval, f"{one.wins} of {result.seeds}")
    console.print(table)


if __name__ == "__main__":
    cdnow()
