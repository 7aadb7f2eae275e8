"""`faust -A stream.app worker`: Faust's own command line over the worker of `opportune worker`."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any, NoReturn

import click
import faust

from stream.cli import EXIT_OPERATOR_ERROR
from stream.errors import OperatorError
from stream.log import LogFormat, configure
from stream.worker.commands.command import load_for_worker, worker
from stream.worker.commands.signals import install_signal_handlers
from stream.worker.faust_app.factory import create_app
from stream.worker.faust_app.opportune_app import OpportuneApp

_SAID = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
_PAGES = ("tables", "router", "graph", "stats", "metrics")
"""Faust's own, which show customers and topics to whoever asks; without them / says that it lives."""


class _Refused(click.ClickException):
    """Ends Faust's command with one line and the exit code that `opportune worker` has."""

    exit_code = EXIT_OPERATOR_ERROR


def app_of_environment() -> OpportuneApp:
    """The app of the campaign that OPPORTUNE_CAMPAIGN names, with the settings of `opportune worker`.

    Raises:
        click.ClickException: The campaign or a setting has to be changed first.
    """
    campaign = os.environ.get("OPPORTUNE_CAMPAIGN", "opportune.toml")
    settings = worker.make_context("opportune worker", [campaign]).params
    log = {name: settings.pop(name) for name in ("log_format", "log_level")}
    bootstrap = settings.pop("bootstrap")
    try:
        loaded = load_for_worker(**settings)
        app = create_app(loaded, bootstrap, Worker=partial(_Worker, **log))
    except OperatorError as exc:
        raise _Refused(str(exc)) from exc
    for page in _PAGES:  # given when the app is made, Faust's environment variables would win
        setattr(app.conf, f"web_{page}_enabled", False)
    return app


def _asks_for_port() -> bool:
    """Whether the command line says that Faust shall open a port: its own default is to."""
    context = click.get_current_context()
    said = (name for name in context.params if name.startswith(("with_web", "web_")))
    return any(context.get_parameter_source(name) in _SAID for name in said)


class _Worker(faust.Worker):
    """Faust's worker with the log lines and the exit codes of `opportune worker`."""

    app: OpportuneApp  # Faust makes this worker of the app whose setting names it

    def __init__(self, *args: Any, log_format: LogFormat, log_level: str, **kwargs: Any) -> None:
        mine = {"override_logging": False, "redirect_stdouts": False}
        super().__init__(*args, **(kwargs | mine))
        if not _asks_for_port():
            self.app.conf.web_enabled = False
        configure(log_format, log_level)

    def install_signal_handlers(self) -> None:
        install_signal_handlers(self, self.app.deadline)

    def execute_from_commandline(self) -> NoReturn:
        try:
            super().execute_from_commandline()
        except SystemExit:
            if self.app.stop_reason == "refused":
                sys.exit(EXIT_OPERATOR_ERROR)
            raise
