"""`opportune train`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from stream import campaign as campaign_file
from stream.campaign import Campaign
from stream.timestamps import iso_ms
from stream.worker.command import CAMPAIGN, with_registry
from trainer.progress import progress

if TYPE_CHECKING:
    from trainer.report import Report
    from trainer.train import Trained


class EventTime(click.ParamType):
    """An ISO 8601 date or time on the command line, as epoch milliseconds."""

    name = "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Returns epoch milliseconds, or fails with what was expected."""
        try:
            return iso_ms(str(value))
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 date or time, such as 2026-11-01.", param, ctx)


@click.command()
@CAMPAIGN
@click.option("--bootstrap", envvar="OPPORTUNE_BOOTSTRAP", help="Kafka address, host:port.")
@click.option("--registry", envvar="OPPORTUNE_REGISTRY", help="Model registry, a path or URL.")
@click.option("--until", "until_ms", type=EventTime(), help="Leave out events from this time on.")
@click.option("--seed", type=int, help="Instead of training.seed of the campaign file.")
@click.option(
    "--promote/--no-promote", default=True, show_default=True, help="Make it the champion."
)
def train(
    campaign: Path,
    bootstrap: str | None,
    registry: str | None,
    until_ms: int | None,
    seed: int | None,
    promote: bool,
) -> None:
    """Train a model on the event topics and publish it.

    CAMPAIGN is the campaign file. Reads its event topics from the beginning to their end of now,
    replays them with the feature kernel of the worker, and fits the network to what was done and
    what came of it. Workers take a promoted model without a restart.
    """
    # Trouble with the broker is told by the error; aiokafka also tells what it then tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    loaded = with_registry(campaign_file.load(campaign), registry)
    console = Console(stderr=True)
    with console.status("Loading TensorFlow"):
        from models.registry import Registry
        from trainer.train import publish

    trained = _train(loaded, bootstrap or loaded.bootstrap, seed, until_ms, console)
    version = publish(trained, Registry(loaded.model.registry), promote=promote)
    _summarize(loaded, trained.report, version, promoted=promote)


def _train(
    campaign: Campaign, bootstrap: str, seed: int | None, until_ms: int | None, console: Console
) -> Trained:
    """Trains under two progress bars: records read, epochs fitted."""
    from trainer import train as training
    from trainer.history import read_topics

    with progress(console) as bars:
        reading = bars.add_task("Reading history", unit="records", total=None, note="")
        fitting = bars.add_task(
            "Fitting", unit="epochs", total=campaign.training.epochs, start=False, note=""
        )

        def on_records(done: int, total: int) -> None:
            bars.update(reading, completed=done, total=total)

        def on_epoch(epoch: int, loss: float, validation_loss: float | None) -> None:
            if epoch == 1:
                bars.start_task(fitting)
            judged = "" if validation_loss is None else f", later data {validation_loss:.4f}"
            bars.update(fitting, completed=epoch, note=f"loss {loss:.4f}{judged}")

        return training.train(
            campaign,
            read_topics(bootstrap, campaign.topics.events, on_records),
            seed=campaign.training.seed if seed is None else seed,
            created=datetime.now(UTC),
            until_ms=until_ms,
            on_epoch=on_epoch,
        )


def _summarize(campaign: Campaign, report: Report, version: str, *, promoted: bool) -> None:
    console = Console(highlight=False)
    console.print(
        f"{report.events:,} events of {report.customers:,} customers, "
        f"{report.history_start:%Y-%m-%d} to {report.history_end:%Y-%m-%d}"
        + (f"; {sum(report.rejects.values()):,} records were no events" if report.rejects else "")
    )
    table = Table("strategy", "examples", "converted", "rate", "AUC, later data")
    for name, count in report.examples.items():
        rate = count.conversions / count.rows if count.rows else 0.0
        auc = report.metrics.get(f"{name}.auc")
        table.add_row(
            name,
            f"{count.rows:,}",
            f"{count.conversions:,}",
            f"{rate:.1%}",
            "" if auc is None else f"{auc:.3f}",
        )
    console.print(table)
    left = report.treatments
    console.print(
        f"Of {left['in_history']:,} treatments {left['immature']:,} are younger than "
        f"{campaign.training.attribution_window}, {left['no_decision_point']:,} had no decision "
        f"point before, {left['unknown_strategy']:,} named another strategy."
    )
    console.print(
        f"Fitted on {report.train_rows:,} examples, {report.epochs} epochs; judged on "
        f"{report.validation_rows:,} later ones, which also said when to stop: {_judgement(report)}."
    )
    state = "champion" if promoted else "published, not promoted"
    console.print(f"{version} in {campaign.model.registry}: {state}")


def _judgement(report: Report) -> str:
    """The metrics in one line, each beside that of a model without features."""
    shown = []
    for name, reference in (
        ("log_loss", "log_loss_of_base_rates"),
        ("log_loss", "log_loss_of_shares"),
        ("brier", "brier_of_base_rates"),
        ("accuracy", "accuracy_of_most_frequent"),
    ):
        if name in report.metrics and reference in report.metrics:
            shown.append(
                f"{name.replace('_', ' ')} {report.metrics[name]:.4f} "
                f"({report.metrics[reference]:.4f} without features)"
            )
    if "auc_contacted" in report.metrics:
        shown.append(f"AUC among the contacted {report.metrics['auc_contacted']:.3f}")
    return ", ".join(shown) or "nothing is known"
