"""The app for Faust's own command line: `faust -A stream.app worker`.

The campaign file is named by OPPORTUNE_CAMPAIGN (opportune.toml when not set), the Kafka address may
be overridden by OPPORTUNE_BOOTSTRAP, the model registry by OPPORTUNE_REGISTRY.
"""

from __future__ import annotations

import os

from stream import campaign
from stream.worker.app import create_app
from stream.worker.command import with_registry

app = create_app(
    with_registry(
        campaign.load(os.environ.get("OPPORTUNE_CAMPAIGN", "opportune.toml")),
        os.environ.get("OPPORTUNE_REGISTRY"),
    ),
    os.environ.get("OPPORTUNE_BOOTSTRAP"),
)
