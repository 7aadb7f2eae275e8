"""Where a command writes what it found: told to be wrong before the work, not after it."""

from __future__ import annotations

import os
from pathlib import Path

import click


class OutputFile(click.Path):
    """A file to be written, in a folder that is there."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Returns the path, or fails when no file can be written there."""
        folder = Path(value).parent
        if not folder.is_dir():
            self.fail(f"Folder '{folder}' does not exist.", param, ctx)
        if not os.access(folder, os.W_OK):
            self.fail(f"Folder '{folder}' is not writable.", param, ctx)
        return super().convert(value, param, ctx)
