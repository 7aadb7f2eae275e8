"""Runs a worker in this process, with logs and exit codes of its own."""

from __future__ import annotations

import sys
from typing import cast

from mode import Worker

from stream.campaign.file import Campaign
from stream.cli import EXIT_OPERATOR_ERROR
from stream.log import LogFormat, configure
from stream.worker.commands.signals import install_signal_handlers
from stream.worker.faust_app.factory import create_app
from stream.worker.faust_app.opportune_app import OpportuneApp


class _Worker(Worker):
    """Faust's worker without its banner, its log format and its spinner."""

    def __init__(self, app: OpportuneApp) -> None:
        super().__init__(app, override_logging=False, redirect_stdouts=False, quiet=True)
        self._deadline = app.deadline

    def install_signal_handlers(self) -> None:
        install_signal_handlers(self, self._deadline)

    def _on_sigint(self) -> None:
        import signal

        self._schedule_shutdown(signal.SIGINT)


def run_worker(campaign: Campaign, bootstrap: str | None, log_format: str, level: str) -> None:
    """Runs until a signal; exits with the code that `opportune worker --help` lists."""
    configure(cast(LogFormat, log_format), level)
    app = create_app(campaign, bootstrap)
    app.finalize()
    try:
        _Worker(app).execute_from_commandline()
    except SystemExit:
        if app.stop_reason == "refused":  # the first error, whatever came of it
            sys.exit(EXIT_OPERATOR_ERROR)
        raise
