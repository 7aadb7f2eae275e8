"""`opportune train`: one model, from history to a verdict, and to the champion if that is yes."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click
import msgspec
from rich.console import Console

from stream import campaign as campaign_file
from stream.campaign import Campaign
from stream.worker.command import CAMPAIGN, with_registry
from trainer.commands.history import HistoryOptions, chosen, history_options
from trainer.commands.watching import watching
from trainer.output_file import OutputFile

if TYPE_CHECKING:
    from models.registry import Registry
    from trainer.train import Trained

Promote = Literal["auto", "always", "never"]


@click.command()
@CAMPAIGN
@history_options
@click.option("--registry", envvar="OPPORTUNE_REGISTRY", help="Model registry, a path or URL.")
@click.option("--search", is_flag=True, help="Search for structure, optimizer and loss first.")
@click.option(
    "--trials",
    type=OutputFile(),
    help="File in which the search is kept: one that was interrupted goes on.",
)
@click.option("--seed", type=int, help="Instead of training.seed of the campaign file.")
@click.option(
    "--promote",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Make it the champion: when the gate says so, or whatever it says.",
)
@click.option("--html", type=OutputFile(), help="Write the report here, too.")
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for what does not fit into memory.  [default: a temporary one]",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON on standard output.")
def train(
    campaign: Path,
    registry: str | None,
    search: bool,
    trials: Path | None,
    seed: int | None,
    promote: str,
    html: Path | None,
    work: Path | None,
    as_json: bool,
    **history: Any,
) -> None:
    """Train a model on history, judge it, publish it, and promote it if it is better.

    CAMPAIGN is the campaign file. The event topics are read to their end of now, or an archive of
    them, and replayed with the feature kernel of the worker. The network is fitted to what was done
    and what came of it, and judged on later data than it was fitted on, beside the champion. Workers
    take a promoted model without a restart.
    """
    loaded = with_registry(campaign_file.load(campaign), registry)
    console = Console(stderr=True)
    with console.status("Loading TensorFlow"):
        from models.registry import Registry
        from trainer.train import train as fit_and_judge  # noqa: F401  # takes seconds
    models = Registry(loaded.model.registry)
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opportune-")))
        folder.mkdir(parents=True, exist_ok=True)
        trained = _train(
            loaded, chosen(**history), models, folder, seed, console, trials, searches=search
        )
    version = models.publish(trained.bundle)
    promoted = _promote(models, trained, version, cast(Promote, promote), console)
    if html is not None:  # last: a full disk costs no promotion
        html.write_bytes(trained.report.html())
    if as_json:
        line = {"version": version, "promoted": promoted, "verdict": trained.verdict}
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        return
    from trainer.commands.summary import summarize

    summarize(loaded, trained.report, version, promoted=promoted)


def _train(
    campaign: Campaign,
    options: HistoryOptions,
    models: Registry,
    folder: Path,
    seed: int | None,
    console: Console,
    trials: Path | None,
    *,
    searches: bool,
) -> Trained:
    from trainer import train as training

    seed = campaign.training.seed if seed is None else seed
    champion = models.pointer("champion")
    with watching(console, campaign, searches=searches) as watch:
        prepared = training.prepare(
            campaign, options.source(campaign), folder, seed, options.bounds, watch
        )
        return training.train(
            campaign,
            prepared,
            seed=seed,
            created=datetime.now(UTC),
            champion=None if champion is None else models.load(champion),
            searches=searches,
            trials_file=trials,
            watch=watch,
        )


def _promote(
    models: Registry, trained: Trained, version: str, promote: Promote, console: Console
) -> bool:
    """Whether it is the champion now."""
    from models.errors import RegistryError

    verdict = trained.verdict
    if promote == "never" or (promote == "auto" and not verdict.promote):
        return False
    if not verdict.promote:
        models.promote(version, why=f"--promote always; {verdict.words}")
        return True
    try:
        models.promote(version, over=verdict.champion, why=verdict.words)
    except RegistryError as exc:  # somebody else has promoted in the meantime
        console.print(f"not promoted: {exc}", highlight=False, markup=False)
        return False
    return True
