"""`opportune rollback`: back to the champion before."""

from __future__ import annotations

from pathlib import Path

import click

from trainer.commands.options.registry import opened, registry_options


@click.command()
@registry_options
@click.option("--reason", default="", help="Why, for the history.")
def rollback(registry: str | None, campaign: Path | None, reason: str) -> None:
    """Make the previous champion the champion again; a second rollback takes it back."""
    with opened(registry, campaign) as models:
        before = models.pointer("champion")
        version = models.rollback(reason)
    click.echo(f"{version} is the champion, {before} was before")
