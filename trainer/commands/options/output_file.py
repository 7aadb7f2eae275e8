"""Where a command writes what it found: told to be wrong before the work, not after it.

`--html PAGE` is a report as a page for people, and beside it as JSON for programs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from trainer.report.report import Report

_Path = str | os.PathLike[str]
_JSON = ".json"


class OutputFile(click.Path):
    """A file to be written, in a folder that is there."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(
        self, value: _Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Returns the path, or fails when no file can be written there."""
        folder = Path(value).parent
        if not folder.is_dir():
            self.fail(f"Folder '{folder}' does not exist.", param, ctx)
        if not os.access(folder, os.W_OK):
            self.fail(f"Folder '{folder}' is not writable.", param, ctx)
        return super().convert(value, param, ctx)


class PageFile(OutputFile):
    """A page to be written, in a folder that is there; its name leaves room for the JSON beside it."""

    def convert(
        self, value: _Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Returns the path, or fails when page and JSON cannot be written there."""
        page = Path(value)
        if page.suffix == _JSON:
            self.fail(f"'{page}' is where the JSON goes, beside the page; say .html.", param, ctx)
        super().convert(page.with_suffix(_JSON), param, ctx)
        return super().convert(value, param, ctx)


def write_report(report: Report, page: Path) -> None:
    """Writes the page, and the content of a bundle's report.json as PAGE with the suffix .json."""
    page.write_bytes(report.html())
    page.with_suffix(_JSON).write_bytes(report.encode())
