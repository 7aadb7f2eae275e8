"""Runs a worker in this process, with logs and exit codes of its own."""

from __future__ import annotations

import sys
from typing import Any, cast

from mode import Worker

from stream.campaign.file import Campaign
from stream.cli import EXIT_OPERATOR_ERROR
from stream.log import LogFormat, configure
from stream.worker.commands.signals import install_signal_handlers
from stream.worker.faust_app.opportune_app import OpportuneApp, create_app


class _Worker(Worker):
    """Faust's worker without its banner, its log format and its spinner."""

    def install_signal_handlers(self) -> None:
        (app,) = self.services
        install_signal_handlers(self, cast(OpportuneApp, app))

    def _on_sigint(self) -> None:
        import signal

        self._schedule_shutdown(signal.SIGINT)


def run_worker(campaign: Campaign, bootstrap: str | None, log_format: str, level: str) -> None:
    """Runs until a signal; exits with the code that `opportune worker --help` lists."""
    configure(cast(LogFormat, log_format), level)
    app = create_app(campaign, bootstrap)
    app.finalize()
    worker: Any = _Worker(app, override_logging=False, redirect_stdouts=False, quiet=True)
    try:
        worker.execute_from_commandline()
    except SystemExit:
        if app.stop_reason == "refused":  # the first error, whatever came of it
            sys.exit(EXIT_OPERATOR_ERROR)
        raise
