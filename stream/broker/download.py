"""Fetches locked jars from Maven Central, with a progress bar on standard error.

Needs the optional part `broker` (jgo); imported only when a jar is missing.

Rules of this file
1. A jar gets its name in the cache after its digest was checked, so what is there is right: a
   download that was cut off goes on where it stopped, and two at once do no harm.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import Artifact, MavenContext, PythonResolver
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from stream.broker.errors import BrokerError
from stream.broker.lock import KAFKA_VERSION, LockedJar, sha256_of
from stream.terminal import Terminal

_CONNECTIONS = 8
_TIMEOUT_S = 20
_PAUSE_BEFORE_RETRY_S = 1.0

_log = logging.getLogger(__name__)


def download(jars: Sequence[LockedJar], folder: Path) -> None:
    """Fetches the jars into the folder.

    Raises:
        BrokerError: The network, the mirror or the disk failed, or a jar is not the locked one.
    """
    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix="download-") as staging,
            _progress(sum(jar.size_bytes for jar in jars), folder) as advance,
        ):
            _fetch_all(jars, _maven(Path(staging), repositories, advance), folder)
    except (OSError, RuntimeError) as error:  # the errors of requests are OSErrors, jgo's Runtime
        raise BrokerError(
            f"Apache Kafka {KAFKA_VERSION} could not be downloaded to {folder} (needed once) from "
            f"{' or '.join(repositories.values())}: {error}. Check the network, HTTPS_PROXY and "
            "the space on the disk and try again; or name a mirror, as `central = URL` under "
            "[repositories] in ~/.config/jgo.conf; or copy that folder from a machine that has "
            "it; or use another Kafka, for example with `docker compose up`."
        ) from error


def _maven(
    repository: Path, remotes: dict[str, str], advance: Callable[[int], None]
) -> MavenContext:
    @contextmanager
    def report(_filename: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield advance

    return MavenContext(
        resolver=PythonResolver(progress_callback=report),
        repo_cache=repository,
        remote_repos=remotes,
        timeout=_TIMEOUT_S,
    )


def _fetch_all(jars: Sequence[LockedJar], maven: MavenContext, folder: Path) -> None:
    pool = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="kafka-download")
    try:
        for _ in pool.map(lambda jar: _fetch(jar, maven, folder), jars):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _fetch(jar: LockedJar, maven: MavenContext, folder: Path) -> None:
    artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        file = artifact.resolve()
    except OSError as error:
        _log.warning("%s: %s; trying once more", jar.filename, error)
        _forget(artifact)
        time.sleep(_PAUSE_BEFORE_RETRY_S)
        file = artifact.resolve()
    sha256 = sha256_of(file)
    if sha256 != jar.sha256:
        raise BrokerError(
            f"{jar.filename} came from {' or '.join(maven.remote_repos.values())} with SHA-256 "
            f"{sha256}, expected {jar.sha256}: it was changed on its way, or the mirror serves "
            "something else. Nothing was installed from it; ask whoever runs the mirror or proxy."
        )
    file.replace(folder / jar.filename)


def _forget(artifact: Artifact) -> None:
    """Removes what a failed download has left: jgo would take the part for the whole."""
    if artifact.cached_path is not None:
        artifact.cached_path.unlink(missing_ok=True)


@contextmanager
def _progress(total_bytes: int, folder: Path) -> Iterator[Callable[[int], None]]:
    """Shows bytes, speed and time left; yields what to call with each number of bytes."""
    console = Terminal(stderr=True)
    console.print(
        f"First start: fetching Apache Kafka {KAFKA_VERSION} into {folder}",
        soft_wrap=True,
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Maven Central", total=total_bytes)
        yield lambda count: progress.advance(task, count)
