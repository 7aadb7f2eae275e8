"""`python -m benchmarks worth`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.cdnow.command import data_folder
from benchmarks.errors import BenchmarkError
from benchmarks.options import json_option, setting
from benchmarks.progress import Steps
from benchmarks.report import environment, write_json
from benchmarks.worth import hillstrom, played
from benchmarks.worth.coverage import coverage

_LOGS, _JUDGING, _PLACEBO_DECISIONS, _PLACEBO_SEEDS = 1_000, 10_000, 5_000, 20
_QUICK = ("uniform_10k", "biased", "hidden")


@click.command()
@setting("--seeds", click.IntRange(1), 20, "Logs of each kind.")
@click.option("--quick", is_flag=True, help="The small logs alone, and a tenth of the repetitions.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(
        [*played.GAMES, "placebo_promoted", "null_promoted", "coverage", "hillstrom"]
    ),
    help="Nothing but these; may be given several times.",
)
@json_option
def worth(seeds: int, quick: bool, only: tuple[str, ...], json_file: Path | None) -> None:
    """What learned policies earn in a world whose truth is known, and on a real experiment.

    Examples of logs with 10,000 to 200,000 decisions go through the code that trains and judges every
    model. value is the true gain per customer over doing nothing of the policy that was learned,
    claimed what the model says it is, promoted_wrong the share of logs from which a policy goes live
    that earns less than the best constant one. The exit code is 1 when that is more than one in twenty.
    """
    asked = only or ([*_QUICK, "coverage"] if quick else ())
    result: dict[str, Any] = {}
    with Steps() as steps:
        for name, game in played.GAMES.items():
            if not asked or name in asked:
                with steps.step(name, seeds) as advance:
                    result[name] = played.figures(game, seeds, advance)
        for name, total, measure in _others(seeds, quick):
            if not asked or name in asked:
                with steps.step(name, total) as advance:
                    result[name] = measure(advance)
    _print(result)
    if json_file is not None:
        write_json(json_file, {**result, "seeds": seeds, **environment()})
    wrong = [name for name in played.GAMES if result.get(name, {}).get("promoted_wrong", 0) > 0.05]
    if wrong:
        raise BenchmarkError(
            f"policies that earn less than the best constant one were promoted: {', '.join(wrong)}"
        )


def _others(seeds: int, quick: bool) -> list[tuple[str, int, Any]]:
    """What is measured beside the games: name, steps, and how."""
    logs = _LOGS // 10 if quick else _LOGS
    placebos = seeds * (1 if quick else _PLACEBO_SEEDS)
    return [
        ("placebo_promoted", placebos,
         lambda advance: played.placebo_promoted(_PLACEBO_DECISIONS, placebos, advance)),
        ("null_promoted", seeds,
         lambda advance: played.null_promoted(_JUDGING, seeds, advance)),
        ("coverage", logs, lambda advance: coverage(_JUDGING // 5, logs, advance)),
        ("hillstrom", seeds, lambda advance: _hillstrom(seeds, advance)),
    ]  # fmt: skip


def _hillstrom(seeds: int, advance: Any) -> dict[str, dict[str, float]]:
    path = data_folder() / hillstrom.FILE
    if not path.is_file():
        raise BenchmarkError(
            f"{path}: expected Hillstrom's experiment, got no file. Name the folder that has "
            "hillstrom/hillstrom.csv.gz with OPPORTUNE_DATA"
        )
    return hillstrom.deals(hillstrom.read(path), seeds, advance)


def _print(result: dict[str, Any]) -> None:
    console = Console()
    columns = ("value", "value_error", "claimed", "best", "constant", "promoted", "promoted_wrong")
    table = Table("log", *columns, title="Gain per customer", title_justify="left")
    for name in played.GAMES:
        if name in result:
            table.add_row(name, *(f"{result[name][column]:.2f}" for column in columns))
    if table.row_count:
        console.print(table)
    for name in ("placebo_promoted", "null_promoted", "coverage"):
        if name in result:
            console.print(f"{name} {result[name]:.3f}")
    if "hillstrom" in result:
        table = Table("Hillstrom", *next(iter(result["hillstrom"].values())), title_justify="left")
        for name, row in result["hillstrom"].items():
            table.add_row(name, *(f"{value:.4f}" for value in row.values()))
        console.print(table)
