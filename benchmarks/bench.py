"""Where measurements take place: an embedded broker, a folder, and progress for whoever waits."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.progress import Steps
from benchmarks.reference.contestants import Job, fresh_job
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
        """A job with topics of its own, deleted afterwards."""
        with fresh_job(self.cluster, self.folder) as job:
            yield job


@contextmanager
def open_bench(partitions: int, customers: int) -> Iterator[Bench]:
    """Starts a broker and stops it afterwards; nothing is left."""
    with (
        tempfile.TemporaryDirectory(prefix="opportune-benchmark-") as folder,
        EmbeddedKafka() as kafka,
        Steps() as steps,
    ):
        yield Bench(Cluster(kafka.bootstrap, partitions), customers, Path(folder), steps)
