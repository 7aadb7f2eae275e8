"""`opportune train`: one model, from history to a verdict, and to the champion if that is yes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click
import msgspec
from rich.console import Console

from stream.campaign import file as campaign_file
from stream.campaign.file import Campaign
from stream.campaign.options import CAMPAIGN, with_registry
from stream.terminal import Terminal
from trainer.commands.options.history_options import chosen, history_options
from trainer.commands.options.output_file import OutputFile, PageFile, write_report
from trainer.commands.options.registry import REGISTRY, ModelError, opened
from trainer.commands.options.table_options import TABLE, expect_of_tables, table_history
from trainer.commands.options.work import work_folder
from trainer.commands.printed.progress import watching

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.registry import Registry
    from trainer.learning import Watch
    from trainer.train import Prepared, Trained

    Prepare = Callable[[Watch], Prepared]

Promote = Literal["auto", "always", "never"]
SEED_MAX = (1 << 32) - 1
"""NumPy's generator of the old kind, which Keras seeds, takes 32 bits."""


@click.command()
@CAMPAIGN
@history_options
@TABLE
@REGISTRY
@click.option("--search", is_flag=True, help="Search for structure, optimizer and loss first.")
@click.option(
    "--trials",
    type=OutputFile(),
    help="File in which the search is kept: one that was interrupted goes on.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, SEED_MAX),
    help="Instead of training.seed of the campaign file.",
)
@click.option(
    "--promote",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Make it the champion: when the gate says so, or whatever it says.",
)
@click.option("--html", type=PageFile(), help="Write the report here, and as JSON beside it.")
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="Make the folder for what does not fit into memory here, not in TMPDIR.",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON on standard output.")
def train(
    campaign: Path,
    table_path: Path | None,
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

    With --table the rows of a file take the place of the topics, and `opportune decide` applies the
    model: workers do not.
    """
    if trials is not None and not search:
        raise click.UsageError("--trials keeps a search: it needs --search.")
    loaded = with_registry(campaign_file.load(campaign), registry)
    url = loaded.model.registry
    with opened(url, None) as models:  # what is wrong there is told now, not after hours of work
        champion = _champion(models)
        models.expect_writable()
    console = Terminal(stderr=True)
    with console.status("Loading TensorFlow"):
        from trainer.train import train as fit_and_judge  # noqa: F401  # takes seconds
    with work_folder(work) as folder:
        seed = loaded.training.seed if seed is None else seed
        prepare = _prepare(loaded, table_path, history, champion, folder, seed)
        with watching(console, loaded, searches=search, replays=table_path is None) as watch:
            found = _train(*prepare, champion, seed, watch, trials, searches=search)
    how = cast(Promote, promote)
    with opened(url, None) as models:
        told = [_publish(models, one, how, console) for one in found]
    trained, instead = found[0], found[1:]
    if html is not None:  # last: a full disk costs no promotion
        write_report(trained.report, html)
    if as_json:
        line = {**told[0], "instead": told[1] if instead else None}
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        return
    from trainer.commands.printed.console_summary import summarize, summarize_instead

    summarize(loaded, trained.report, told[0]["version"], promoted=told[0]["promoted"])
    if instead:
        summarize_instead(instead[0].report, told[1]["version"], promoted=told[1]["promoted"])


def _champion(models: Registry) -> Bundle | None:
    """The model to be compared with, None when there is none yet.

    Raises:
        ModelError: It is damaged, or its report cannot be read.
        RegistryError, OSError: As `Registry.pointer`.
    """
    from models.errors import BundleError
    from trainer.report.published import learned

    version = models.pointer("champion")
    if version is None:
        return None
    try:
        champion = models.load(version)
        learned(champion)
    except BundleError as exc:
        raise ModelError(
            f"expected a champion to compare the new model with, got a damaged one, {exc}. "
            "`opportune rollback`, or promote another version with --force"
        ) from exc
    return champion


def _prepare(
    campaign: Campaign, table: Path | None, history: dict[str, Any], champion: Bundle | None,
    folder: Path, seed: int,
) -> tuple[Campaign, Prepare]:  # fmt: skip
    """The campaign of the training, and what makes its examples."""
    if table is not None:
        expect_of_tables(champion, campaign.model.registry)
        rows = table_history(campaign, table, history)
        return rows.campaign, lambda _: rows.prepare(folder, champion, False)
    from trainer import train as training

    options = chosen(**history)
    return campaign, lambda watch: training.prepare(
        campaign, options.source(campaign), folder, seed, options.bounds, watch
    )


def _train(
    campaign: Campaign,
    prepare: Prepare,
    champion: Bundle | None,
    seed: int,
    watch: Watch,
    trials: Path | None,
    *,
    searches: bool,
) -> list[Trained]:
    """The model, and if it is not good enough perhaps the best single strategy."""
    from trainer import constant
    from trainer import train as training

    prepared = prepare(watch)
    trained = training.train(
        campaign,
        prepared,
        seed=seed,
        created=datetime.now(UTC),
        champion=champion,
        searches=searches,
        trials_file=trials,
        watch=watch,
    )
    instead = constant.instead_of(campaign, prepared, trained, champion)
    return [trained] if instead is None else [trained, instead]


def _publish(
    models: Registry, trained: Trained, promote: Promote, console: Console
) -> dict[str, Any]:
    """Publishes a bundle, promotes it if it may be, and says what came of it.

    A constant policy does not take the place of a model that was to be promoted at any price.
    """
    version = models.publish(trained.bundle)
    waits = bool(trained.verdict.constant) and promote == "always"
    promoted = _promote(models, trained, version, "never" if waits else promote, console)
    return {"version": version, "promoted": promoted, "verdict": trained.verdict}


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
        console.print(f"not promoted: {exc}")
        return False
    return True
