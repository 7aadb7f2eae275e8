"""The command `opportune`.

Commands are entry points of the group `opportune.commands`: a package adds its own without this one
importing it, and nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Any

import click

from stream.errors import OperatorError
from stream.visible import visible_lines

GROUP = "opportune.commands"
EXIT_OPERATOR_ERROR = 2
"""Exit code when the person who runs the command has to change something."""


class _Commands(click.Group):
    """Loads a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(entry_points(group=GROUP).names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        found = entry_points(group=GROUP, name=cmd_name)
        if not found:
            return None
        command: click.Command = next(iter(found)).load()
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OperatorError as exc:
            click.echo(f"opportune: {visible_lines(exc)}", err=True)
            sys.exit(EXIT_OPERATOR_ERROR)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="opportune")
def main() -> None:
    """Real-time marketing decisions on Kafka: events in, one strategy per customer out.

    Start with `opportune demo`, then write a campaign file, `opportune check` it, `opportune train`
    a model for it and run `opportune worker`.
    """
