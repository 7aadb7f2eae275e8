"""The app as the parts see it that Faust makes by itself: consumer, its thread, store, recovery.

Faust hands each of them the app by a type of its own, which knows nothing of chunks. `port_of` is the
one place where that becomes what they work with.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from faust.types import AppT

from stream.campaign.file import Campaign
from stream.kafka.skip_log import SkipCount
from stream.worker.partition.snapshots import Snapshots
from stream.worker.processor import Processor
from stream.worker.shell import Shell


@runtime_checkable
class AppPort(Protocol):
    """What the app is made of, for those that Faust makes."""

    @property
    def campaign(self) -> Campaign:
        """The campaign file."""

    @property
    def processor(self) -> Processor:
        """What happens to a chunk."""

    @property
    def shell(self) -> Shell:
        """Faust as the processor sees it."""

    @property
    def snapshots(self) -> Snapshots | None:
        """The table on disk, None where none is kept."""

    @property
    def skips(self) -> SkipCount:
        """Counts what the skip list leaves out."""


def port_of(app: AppT) -> AppPort:
    """The app that Faust hands over, as its parts need it."""
    assert isinstance(app, AppPort), f"expected an app made by `create_app`, got {type(app)}"
    return app
