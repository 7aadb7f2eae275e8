"""The schemas of a registry as far as they were asked for, and the wait while it does not answer."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from functools import cache

from stream.campaign.file import EventMapping
from stream.formats.port import SchemaKey, WriterSchema
from stream.log import log_event
from stream.schemas.registry_client import AUTH_VARIABLE, RegistryClient, RegistryDown

_UNKNOWN_FOR_S = 30.0
"""How long an id that the registry did not know is not asked for again."""
_PAUSE_S, _PAUSE_MAX_S = 0.2, 10.0


class SchemaRegistry:
    """What a registry has said; threads may share it.

    Args:
        client: Asks it.
        url: Where it is, for the log.
        monotonic_s: The clock.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        client: RegistryClient,
        url: str,
        monotonic_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._url = url
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._known: dict[SchemaKey, WriterSchema | None] = {}
        self._lacked_s: dict[SchemaKey, float] = {}

    def schema(self, schema_id: SchemaKey) -> WriterSchema | None:
        """As `SchemaPort.schema`; blocks while the registry does not answer."""
        waiting = self.waiting()
        while schema_id not in self._known:
            try:
                self.load(schema_id)
            except RegistryDown as exc:
                self._sleep(waiting.failed(str(exc)))
        waiting.over()
        return self._known[schema_id]

    def is_fresh(self, schema_id: SchemaKey) -> bool:
        """Whether an id needs no question: it is known, or was unknown a moment ago."""
        lacked_s = self._lacked_s.get(schema_id)
        if lacked_s is not None:
            return self._monotonic_s() - lacked_s < _UNKNOWN_FOR_S
        return schema_id in self._known

    def load(self, schema_id: SchemaKey) -> None:
        """Asks once.

        Raises:
            RegistryDown: There was no answer.
        """
        found = self._client.fetch(schema_id)
        self._known[schema_id] = found
        if found is None:
            self._lacked_s[schema_id] = self._monotonic_s()
        else:
            self._lacked_s.pop(schema_id, None)

    def waiting(self) -> Waiting:
        """A wait that may begin: see `Waiting`."""
        return Waiting(self._url, self._monotonic_s)


class Waiting:
    """One wait for a registry, told once when it begins and once when it is over."""

    def __init__(self, url: str, monotonic_s: Callable[[], float]) -> None:
        self._url = url
        self._monotonic_s = monotonic_s
        self._began_s: float | None = None
        self._pauses = _pauses()

    def failed(self, reason: str) -> float:
        """Seconds until the next try, after one that failed for a reason."""
        if self._began_s is None:
            self._began_s = self._monotonic_s()
            log_event(
                "schema_registry", level=logging.WARNING, state="waiting", url=self._url,
                reason=reason,
            )  # fmt: skip
        return next(self._pauses)

    def over(self) -> None:
        """The registry has answered, or nobody waits any more."""
        if self._began_s is not None:
            waited_s = round(self._monotonic_s() - self._began_s, 1)
            log_event("schema_registry", state="answers", url=self._url, waited_s=waited_s)


def _pauses() -> Iterator[float]:
    pause_s = _PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _PAUSE_MAX_S)


def registry_of(mapping: EventMapping) -> SchemaRegistry | None:
    """The registry that a campaign's events need, None when none has schemas there; one for all who ask."""
    if not mapping.registry_formats:
        return None
    return _registry(mapping.schema_registry, mapping.registry_formats)


@cache
def _registry(url: str, formats: tuple[str, ...]) -> SchemaRegistry:
    auth = os.environ.get(AUTH_VARIABLE, "")
    is_mixed = len(formats) > 1
    client = RegistryClient(url, auth, serialized="protobuf" in formats, is_mixed=is_mixed)
    return SchemaRegistry(client, url)
