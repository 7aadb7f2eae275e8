"""Pauses: what an operator has switched off for now, everything or one strategy, and who, why and since when.

A pause is a record of the control topic: the key says what, the value is JSON. The newest record of a key
holds, so that compaction loses nothing.

Rules of this file
1. What cannot be read is a pause: a switch that nobody understands must not let messages go out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec import Struct

EVERYTHING = "*"
"""In the place of a strategy: all of them."""
_PREFIX = b"pause/"


class Switch(Struct, frozen=True, kw_only=True):
    """One pause, or its end.

    Attributes:
        paused: Whether it is paused from now on.
        by: Who said so.
        reason: Why.
        at: When, RFC 3339 in UTC.
    """

    paused: bool
    by: str = ""
    reason: str = ""
    at: str = ""


_UNREADABLE = Switch(paused=True, reason="a record of the control topic that cannot be read")
_decoder = msgspec.json.Decoder(Switch)


def record_of(strategy: str, switch: Switch) -> tuple[bytes, bytes]:
    """Key and value of the record that switches a strategy, or `EVERYTHING`."""
    return _PREFIX + strategy.encode(), msgspec.json.encode(switch)


def read_switch(key: bytes | None, value: bytes | None) -> tuple[str, Switch] | None:
    """What a record of the control topic switches, None when it is about something else."""
    if key is None or not key.startswith(_PREFIX):
        return None
    strategy = key[len(_PREFIX) :].decode("utf-8", "replace")
    if value is None:
        return strategy, Switch(paused=False)
    try:
        return strategy, _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return strategy, _UNREADABLE


def paused_of(switches: Mapping[str, Switch], strategies: Collection[str]) -> frozenset[str]:
    """Which of some strategies are paused."""
    paused = {name for name, switch in switches.items() if switch.paused}
    return frozenset(strategies if EVERYTHING in paused else paused.intersection(strategies))
