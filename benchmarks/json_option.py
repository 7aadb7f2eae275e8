"""The option by which every benchmark also writes what it found to a file."""

from __future__ import annotations

import click

from trainer.output_file import OutputFile

json_option = click.option(
    "--json",
    "json_file",
    type=OutputFile(),
    help="Write the result, the machine and the versions to this file as JSON.",
)
