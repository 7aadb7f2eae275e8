"""What the embedded broker is told: Kafka's settings, its log, and a formatted storage folder.

Rules of this file
1. Every file path is relative to the data folder, where Java runs: a properties file knows neither
   blanks at the end nor letters beyond Latin-1, and `log.dirs` no comma.
2. A storage folder that is formatted is left alone: its cluster id and its topics are kept.
"""

from __future__ import annotations

import base64
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

STORAGE = "topics"
"""Folder of the topics, below the data folder: Kafka takes no foreign folder beside them."""

SERVER_FILE = "server.properties"
LOG4J_FILE = "log4j2.properties"

LOG4J = """\
# Kafka stops in a hook of its own: without this, log4j would be gone before the last lines.
shutdownHook = disable
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c{1})%n
# Prints every setting of every component at every start, some thousand lines.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
"""

_SINGLE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "CLIENT",
    "log.dirs": STORAGE,
    "min.insync.replicas": "1",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    # A topic exists because somebody chose its partition count; a typing error is an error.
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": str(8 << 20),
    # Retention looks at the time in the record: a replayed year would be gone as it comes in. So
    # space alone bounds a partition.
    "log.retention.ms": "-1",
    "log.retention.bytes": str(2 << 30),
    # The default takes 128 MiB of the heap, to remember 5 million keys in one pass of compaction.
    "log.cleaner.enable": "true",
    "log.cleaner.dedupe.buffer.size": str(32 << 20),
    # After a kill the controller waits for the session of the dead broker, 9 s by default, before
    # it lets the new one in under the same id.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}


def server_properties(client_port: int, controller_port: int, overrides: Mapping[str, str]) -> str:
    """Returns the text of `server.properties`: a broker that only this machine can reach.

    Args:
        client_port: TCP port of 127.0.0.1 for clients.
        controller_port: TCP port of 127.0.0.1 that the node uses with itself.
        overrides: Settings of Kafka, by name, that win over these.
    """
    client, controller = f"127.0.0.1:{client_port}", f"127.0.0.1:{controller_port}"
    settings = {
        **_SINGLE_NODE,
        "listeners": f"CLIENT://{client},CONTROLLER://{controller}",
        "advertised.listeners": f"CLIENT://{client}",
        "controller.quorum.voters": f"1@{controller}",
        **overrides,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def format_storage(storage: Path, bootstrap_checkpoint: Path) -> None:
    """Makes a folder the storage of a new cluster, as `kafka-storage format` does, without a JVM.

    Args:
        storage: The folder; left as it is when it was formatted before.
        bootstrap_checkpoint: The first metadata of a cluster of this Kafka release: the levels of
            its features, no names and no ids.
    """
    marker = storage / "meta.properties"
    if marker.exists():
        return
    storage.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bootstrap_checkpoint, storage / "bootstrap.checkpoint")
    marker.write_text(
        f"version=1\nnode.id=1\ncluster.id={random_id()}\ndirectory.id={random_id()}\n",
        encoding="ascii",
    )


def random_id() -> str:
    """Returns a new id as Kafka writes it: 16 random bytes, base64, never a leading dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode("ascii")
        if not text.startswith("-"):
            return text
