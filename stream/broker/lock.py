"""The lock of the embedded broker: every jar of one Kafka release, with its size and SHA-256.

Rules of this file
1. `kafka.lock` is what runs. Nothing is resolved on a user's machine, so every user runs the same
   jars, and a jar that differs by one bit is refused.
2. The lock is only ever written by `python -m stream.broker.relock`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.3.1"
"""The release of Apache Kafka; after a change the lock has to be written anew."""

LOCK_FILE = Path(__file__).with_name("kafka.lock")
"""One line per jar, in the order of the class path: SHA-256, size in bytes, Maven coordinate."""


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One jar of Maven Central.

    Attributes:
        sha256: Hexadecimal digest of the file.
        size_bytes: Length of the file.
        group: Maven group, dotted.
        artifact: Maven artifact.
        version: Maven version.
    """

    sha256: str
    size_bytes: int
    group: str
    artifact: str
    version: str

    @property
    def filename(self) -> str:
        """Name of the file, in Maven Central and in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock() -> tuple[LockedJar, ...]:
    """Returns the jars of `KAFKA_VERSION` in the order of the class path."""
    jars = []
    for line in LOCK_FILE.read_text(encoding="ascii").splitlines():
        sha256, size_bytes, coordinate = line.split()
        jars.append(LockedJar(sha256, int(size_bytes), *coordinate.split(":")))
    return tuple(jars)


def sha256_of(file: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
