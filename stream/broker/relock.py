"""Writes `kafka.lock` anew: `python -m stream.broker.relock`, after a change of the Kafka release.

For the developers of this project; nothing imports it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from jgo.maven import MavenContext

from stream.broker.lock import KAFKA_VERSION, LOCK_FILE, sha256_of

_ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Kafka calls slf4j and brings log4j, but not the bridge between the two, and without it logs
    # nothing. The "!" keeps the versions that the bridge's own parent manages out of the rest.
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!",
)


def write_lock() -> None:
    """Resolves the roots with all they need at run time, downloads that, and writes the lock."""
    with tempfile.TemporaryDirectory() as repository:
        maven = MavenContext(repo_cache=Path(repository))
        roots = [maven.create_dependency(root) for root in _ROOTS]
        found, needed = maven.resolver.resolve(roots)
        lines = []
        for dependency in [*found, *needed]:
            jar = dependency.artifact.resolve()
            coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
            lines.append(f"{sha256_of(jar)} {jar.stat().st_size} {coordinate}\n")
    LOCK_FILE.write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    write_lock()
