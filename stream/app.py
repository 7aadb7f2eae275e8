"""The app for Faust's own command line: `faust -A stream.app worker`.

OPPORTUNE_CAMPAIGN names the campaign file (opportune.toml when not set); the other settings are the
environment variables of `opportune worker`: OPPORTUNE_BOOTSTRAP, OPPORTUNE_REGISTRY,
OPPORTUNE_LOG_FORMAT and so on.
"""

from __future__ import annotations

from stream.worker.commands.faust_command import app_of_environment

app = app_of_environment()
