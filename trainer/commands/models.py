"""`opportune models`: what the registry holds, what a version is, how two of them differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import RenderableType

from models.errors import BundleError
from stream.terminal import Terminal
from trainer.commands.options.registry import opened, registry_options
from trainer.commands.printed import model_tables
from trainer.commands.printed.entry import Entry, difference, read_entry, read_marks

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group()
def models() -> None:
    """Look at published models.

    A version can be named by its beginning, or as champion, previous or latest.
    """


@models.command("list")
@registry_options
@_json
def list_models(registry: str | None, campaign: Path | None, as_json: bool) -> None:
    """All versions, the newest first."""
    entries: dict[str, Entry | str] = {}
    with opened(registry, campaign) as found:
        marks = read_marks(found)
        for version in reversed(found.versions()):
            try:
                entries[version] = read_entry(found, version)
            except BundleError as exc:
                entries[version] = str(exc)  # a damaged one is shown, beside those that are not
    if as_json:
        _print_json([_brief(name, entry, marks) for name, entry in entries.items()])
    else:
        _print(model_tables.versions(entries, marks))


@models.command()
@click.argument("version")
@registry_options
@_json
def show(version: str, registry: str | None, campaign: Path | None, as_json: bool) -> None:
    """Everything about one version, after a check of all its files."""
    with opened(registry, campaign) as found:
        name = found.resolve(version)
        found.load(name)
        entry, marks = read_entry(found, name), read_marks(found)
    if as_json:
        whole = {"manifest": entry.manifest, "report": entry.report}
        _print_json({**_brief(name, entry, marks), **whole})
    else:
        _print(*model_tables.version(entry, marks.get(name, [])))


@models.command()
@click.argument("before")
@click.argument("after")
@registry_options
@_json
def diff(
    before: str, after: str, registry: str | None, campaign: Path | None, as_json: bool
) -> None:
    """What differs from one version to another."""
    with opened(registry, campaign) as found:
        pair = [read_entry(found, found.resolve(name)) for name in (before, after)]
    found_difference = difference(*pair)
    if as_json:
        _print_json(found_difference)
    else:
        _print(*model_tables.difference(found_difference))


@models.command()
@registry_options
@_json
def history(registry: str | None, campaign: Path | None, as_json: bool) -> None:
    """Who moved the champion, when and why; the newest last."""
    with opened(registry, campaign) as found:
        moves = found.history()
    if as_json:
        _print_json(moves)
    else:
        _print(model_tables.history(moves))


@models.command()
@click.option("--keep", type=click.IntRange(1), required=True, help="Newest versions to keep.")
@registry_options
def prune(keep: int, registry: str | None, campaign: Path | None) -> None:
    """Remove old versions; champion and previous stay."""
    with opened(registry, campaign) as found:
        gone = found.prune(keep)
        left = len(found.versions())
    for version in gone:
        click.echo(f"removed {version}")
    click.echo(f"{len(gone)} removed, {left} left")


def _brief(version: str, entry: Entry | str, marks: dict[str, list[str]]) -> dict[str, Any]:
    known: dict[str, Any] = {"version": version, "pointers": marks.get(version, [])}
    if isinstance(entry, str):
        return {**known, "damaged": entry}
    manifest = entry.manifest
    return {
        **known,
        "created": manifest.created,
        "network": manifest.network,
        "features": len(manifest.contract.names),
        "contract_digest": manifest.contract_digest,
        "metrics": manifest.metrics,
        "verdict": entry.verdict,
        "bytes": entry.bytes,
    }


def _print(*parts: RenderableType) -> None:
    Terminal().print(*parts, sep="\n\n")


def _print_json(data: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2))
