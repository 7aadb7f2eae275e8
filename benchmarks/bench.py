"""Where measurements take place: an embedded broker, a folder, and progress for whoever waits."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.progress import Steps
from benchmarks.reference.contestants import Job
from stream.broker import EmbeddedKafka


@dataclass(frozen=True)
class Bench:
    """One broker for all runs of a command.

    Attributes:
        cluster: The broker.
        customers: Customers of the input.
        folder: For what workers need on disk.
        steps: Shows what is being done.
    """

    cluster: Cluster
    customers: int
    folder: Path
    steps: Steps

    @contextmanager
    def job(self) -> Iterator[Job]:
        """A job with topics of its own, deleted afterwards with those that its worker made."""
        name = f"ref-{uuid.uuid4().hex[:8]}"
        job = Job(self.cluster, name, self.folder / name)
        job.folder.mkdir()
        self.cluster.create(job.events, job.decisions)
        try:
            yield job
        finally:
            self.cluster.delete_all(f"{name}-")


@contextmanager
def open_bench(partitions: int, customers: int) -> Iterator[Bench]:
    """Starts a broker and stops it afterwards; nothing is left."""
    with (
        tempfile.TemporaryDirectory(prefix="opportune-benchmark-") as folder,
        EmbeddedKafka() as kafka,
        Steps() as steps,
    ):
        yield Bench(Cluster(kafka.bootstrap, partitions), customers, Path(folder), steps)
