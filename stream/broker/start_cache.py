"""What Java has learnt of Kafka's start, kept for the next: a start takes a third of its time then.

Rules of this file
1. The file is Java's ahead-of-time cache (JEP 483, JEP 514). Java ignores one of another release of
   it, or of other jars, and starts as it does without.
2. It gets its name when it is whole, so that of two that write it at once the later one wins.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from stream.broker.embedded import EmbeddedKafka
from stream.broker.errors import BrokerError
from stream.broker.install import installed_kafka

_STOP_S = 120  # it is written when the broker stops
# Measured: of use with every collector and compiler, and more so than one recorded with the defaults
# of Java (a start of 4.1 CPU seconds becomes 1.25 instead of 2.0).
_PLAIN = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def record() -> Path:
    """Starts a broker and stops it, and keeps what Java has learnt; returns the file.

    Raises:
        BrokerError: The broker did not start, or the file was not written.
    """
    kafka = installed_kafka()
    with tempfile.TemporaryDirectory(dir=kafka.folder, prefix="start-") as work:
        made = Path(work) / kafka.start_cache.name
        broker = EmbeddedKafka(jvm_flags=[*_PLAIN, f"-XX:AOTCacheOutput={made}"])
        broker.start()
        broker.stop(_STOP_S)
        if not made.exists():
            raise BrokerError(
                f"Java has not written {made}, what it keeps of Kafka's start. Give the folder "
                "100 MB of disk; without the file the broker starts as before, more slowly."
            )
        return made.replace(kafka.start_cache)
