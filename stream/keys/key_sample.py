"""A sample of the keys of topics, and which partitioner has placed them.

Rules of this file
1. Different keys count, each once: a busy customer is in one partition whoever has placed it.
2. What few keys say is not said: with two partitions every other key fits by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.columns import RecordChunk
from stream.keys.partitioners import PARTITIONERS, KeyHashes, key_hashes

KEYS_MIN = 50
"""Different keys of a topic from which on they say something."""

UNKNOWN = "unknown"
"""The partitioner of keys that no known one has placed where they are."""

_KEYS_MAX = 500
_LOOKS_MAX = 5_000  # where few customers come again and again
_KEYS_OF_CHUNK_MAX = 32
_FIT_MIN = 0.98


@dataclass(frozen=True, slots=True)
class Placed:
    """The keys of one topic.

    Attributes:
        keys: Different keys in the sample.
        fit: Share of them that is where a partitioner puts them, by its name.
    """

    keys: int
    fit: Mapping[str, float]

    @property
    def partitioner(self) -> str:
        """Its name, `UNKNOWN`, or "" while there are too few keys to say."""
        if self.keys < KEYS_MIN:
            return ""
        best = max(PARTITIONERS, key=lambda name: self.fit[name])
        return best if self.fit[best] >= _FIT_MIN else UNKNOWN


class KeySample:
    """The first different keys of each topic."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[KeyHashes, int]] = {}
        self._looks: Counter[str] = Counter()

    def add(self, chunk: RecordChunk) -> None:
        """Takes a few keys of a chunk, as long as there is room; null and empty ones go anywhere."""
        seen = self._keys.setdefault(chunk.topic, {})
        if len(seen) >= _KEYS_MAX or self._looks[chunk.topic] >= _LOOKS_MAX:
            return
        keyed = np.flatnonzero(chunk.key.size > 0)
        step = max(len(keyed) // _KEYS_OF_CHUNK_MAX, 1)
        chosen = keyed[::step][:_KEYS_OF_CHUNK_MAX].tolist()
        self._looks[chunk.topic] += len(chosen)
        for i in chosen:
            key = chunk.key[i]
            assert key is not None, "its size is above 0"
            seen.setdefault(key_hashes(key), chunk.partition)

    def placed(self, partitions: int) -> dict[str, Placed]:
        """What the keys of each topic say.

        Args:
            partitions: Of each topic. With one there is nothing to say, and no topic is told of.
        """
        if partitions < 2:
            return {}
        return {topic: _placed(seen, partitions) for topic, seen in self._keys.items() if seen}


def disagreement(placed: Mapping[str, Placed]) -> str:
    """Why a customer may be in several partitions, with who acts; "" when nothing says so.

    Args:
        placed: By event topic.
    """
    found = {topic: of.partitioner for topic, of in placed.items() if of.partitioner}
    unknown = sorted(topic for topic, name in found.items() if name == UNKNOWN)
    if unknown:
        fits = "; ".join(f"{topic}: {_fits(placed[topic])}" for topic in unknown)
        return (
            f"expected the records of {', '.join(unknown)} where one partitioner puts their keys, "
            f"{', '.join(PARTITIONERS)}, got keys that each of them puts elsewhere ({fits}): several "
            "kinds of producers, partitions given by hand, or partitions that were added. A customer "
            "may then be in several partitions. Operator action: have all producers of the event topics use "
            "one partitioner and the customer as key"
        )
    if len(set(found.values())) < 2:
        return ""
    told = ", ".join(f"{topic} by {name}" for topic, name in sorted(found.items()))
    return (
        f"expected one partitioner for all event topics, got {told}: a customer is in one partition of "
        "the one and in another of the other, and what is counted on either side is not seen on the "
        "other. Operator action: set one partitioner in all producers (librdkafka: "
        "partitioner=murmur2_random is Java's), and copy the events of the other topics to new ones"
    )


def _placed(seen: Mapping[KeyHashes, int], partitions: int) -> Placed:
    hashes = np.array(list(seen), np.int64)
    partition = np.array(list(seen.values()), np.int64)
    fit = (hashes % partitions == partition[:, None]).mean(axis=0)
    return Placed(len(seen), dict(zip(PARTITIONERS, fit.tolist(), strict=True)))


def _fits(placed: Placed) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in placed.fit.items())
