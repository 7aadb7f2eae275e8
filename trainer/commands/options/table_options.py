"""`--table FILE`: a table instead of the topics, for commands that learn and judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.campaign.file import Campaign
from trainer.commands.options.registry import ModelError

if TYPE_CHECKING:
    from models.bundle import Bundle
    from trainer.train import Prepared

_OF_STREAMS = ("bootstrap", "archive", "since_ms", "until_ms", "offsets")

TABLE = click.option(
    "--table",
    "table_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read a table of customers, .parquet or .csv, and no topics.",
)
"""--table, as the argument `table_path`."""


@dataclass(frozen=True, slots=True)
class TableHistory:
    """A table that takes the place of a history.

    Attributes:
        campaign: The campaign of a training on it.
        prepare: Its rows as examples, in a folder, with the encoding of a bundle or of their own.
    """

    campaign: Campaign
    prepare: Callable[[Path, Bundle | None, bool], Prepared]


def table_history(campaign: Campaign, path: Path, history: dict[str, Any]) -> TableHistory:
    """Reads a table.

    Args:
        campaign: The campaign file.
        path: Of the table.
        history: The options of streams, of which none may be given.

    Raises:
        TableError: It cannot be read as the campaign file says.
    """
    given = [name for name in _OF_STREAMS if history.get(name)]
    if given:
        names = ", ".join(f"--{name.removesuffix('_ms')}" for name in given)
        raise click.UsageError(f"--table reads no topics: it goes without {names}.")
    from trainer.table.encoding import Encoding
    from trainer.table.examples_of import campaign_of, examples_of
    from trainer.table.table_file import read_table
    from trainer.train import Prepared

    table = read_table(path)
    own = campaign_of(campaign, table)

    def prepare(folder: Path, bundle: Bundle | None, is_fixed: bool) -> Prepared:
        before = None if bundle is None else Encoding.of(bundle.manifest.contract)
        inputs, dataset = examples_of(own, table, folder, before, is_fixed=is_fixed)
        return Prepared(inputs, dataset, {})

    return TableHistory(own, prepare)


def expect_of_tables(bundle: Bundle | None, registry: str) -> None:
    """Refuses a model for a stream.

    Raises:
        ModelError: It is one.
    """
    from trainer.table.encoding import Encoding

    if bundle is not None and Encoding.of(bundle.manifest.contract) is None:
        raise ModelError(
            f"{registry}: expected models for tables, got {bundle.manifest.version}, which is for the "
            "features of a stream. Name another registry with --registry"
        )
