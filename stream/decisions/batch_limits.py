"""How large a record batch each outgoing topic takes."""

from __future__ import annotations

from typing import NamedTuple

KAFKA_BATCH_BYTES_MAX = 1_048_588
"""Largest record batch of a topic for which nobody has said anything else."""


class BatchLimits(NamedTuple):
    """Largest record batch that each outgoing topic takes, bytes: its max.message.bytes."""

    decisions: int = KAFKA_BATCH_BYTES_MAX
    dead_letters: int = KAFKA_BATCH_BYTES_MAX
