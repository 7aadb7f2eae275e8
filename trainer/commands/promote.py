"""`opportune promote`: makes a version the champion, as its verdict says or against it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from models.registry import Registry
from stream.visible import visible
from trainer.commands.options.registry import opened, registry_options
from trainer.commands.printed.entry import Entry, read_entry

EXIT_REFUSED = 1
"""Exit code when the verdict says no."""


@click.command()
@click.argument("version", default="latest")
@registry_options
@click.option("--force", is_flag=True, help="Promote it whatever its verdict says.")
@click.option("--reason", default="", help="Why, for the history; --force needs one.")
def promote(
    version: str, registry: str | None, campaign: Path | None, force: bool, reason: str
) -> None:
    """Make a version the champion; workers take it without a restart.

    VERSION is a version, the beginning of one, previous or latest. The gate must have
    judged it, against the champion of now, and said yes: exit code 1 and the figures when not.
    """
    if force and not reason:
        raise click.UsageError("--force needs a --reason: it is kept in the history.")
    with opened(registry, campaign) as models:
        entry = read_entry(models, models.resolve(version))
        chosen, champion = entry.manifest.version, models.pointer("champion")
        if chosen == champion:
            click.echo(f"{chosen} is the champion already")
            return
        if force:
            models.promote(chosen, why=f"forced: {reason}")
        else:
            _promote_as_judged(models, entry, champion, reason)
    click.echo(f"{chosen} is the champion, {champion or 'nobody'} was before")


def _promote_as_judged(models: Registry, entry: Entry, champion: str | None, reason: str) -> None:
    verdict, version = entry.verdict, entry.manifest.version
    if verdict is None:
        _refuse(version, "it has no verdict: it was published without being judged")
    elif not verdict.promote:
        _refuse(version, verdict.reasons)
    elif verdict.champion != champion:
        _refuse(
            version,
            f"it was judged when the champion was {verdict.champion or 'nobody'}, "
            f"and now it is {champion or 'nobody'}",
        )
    else:
        why = f"{verdict.words}; {reason}" if reason else verdict.words
        models.promote(version, over=champion, why=why)


def _refuse(version: str, reason: str) -> None:
    click.echo(
        f"{version} is not promoted: {visible(reason)}. To promote it all the same: --force --reason TEXT",
        err=True,
    )
    sys.exit(EXIT_REFUSED)
