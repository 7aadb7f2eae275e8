"""Options that several benchmarks have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from trainer.commands.options.output_file import OutputFile

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

json_option = click.option(
    "--json",
    "json_file",
    type=OutputFile(),
    help="Write the result, the machine and the versions to this file as JSON.",
)


def setting(name: str, kind: click.ParamType, default: Any, about: str, to: str = "") -> Decorator:
    """An option with a value, which --help shows; `to` is the argument that gets it."""
    names = (name, to) if to else (name,)
    return click.option(*names, type=kind, default=default, show_default=True, help=about)
