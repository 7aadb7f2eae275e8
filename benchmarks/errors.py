"""The one error of the benchmarks: a measurement that did not come about."""

from __future__ import annotations

import click


class BenchmarkError(click.ClickException):
    """Says what was expected and what came instead; ends the command with exit code 1."""
