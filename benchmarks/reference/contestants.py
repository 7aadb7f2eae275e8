"""The workers that do the reference job, each started on topics and a group of its own."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks.cluster import Cluster
from benchmarks.reference.campaign_variant import write_variant
from benchmarks.reference.model import ReferenceModel
from benchmarks.reference.read import Form
from benchmarks.worker_process import WorkerProcess
from models.registry import Registry
from stream.campaign import file as campaign_file
from stream.features.plan import compile_features

CAMPAIGN = Path(__file__).parents[1] / "reference" / "opportune.toml"


@dataclass(frozen=True)
class Job:
    """One run of the reference job: fresh topics, a fresh group, a folder.

    Attributes:
        cluster: Where the topics are.
        name: Consumer group, and the beginning of every topic name.
        folder: For what the worker needs on disk, and for its log.
    """

    cluster: Cluster
    name: str
    folder: Path

    @property
    def events(self) -> str:
        """Topic of the events."""
        return f"{self.name}-events"

    @property
    def decisions(self) -> str:
        """Topic of the decisions."""
        return f"{self.name}-decisions"

    def new_log(self) -> Path:
        """A file for the log of one more worker."""
        return self.folder / f"worker-{len(list(self.folder.glob('worker-*.log')))}.log"


Start: TypeAlias = Callable[[Job], WorkerProcess]
"""Starts a worker of a job."""


@contextmanager
def fresh_job(cluster: Cluster, folder: Path) -> Iterator[Job]:
    """Creates the topics of a job and deletes them afterwards, with those that its worker made."""
    name = f"ref-{uuid.uuid4().hex[:8]}"
    job = Job(cluster, name, folder / name)
    job.folder.mkdir()
    cluster.create(job.events, job.decisions)
    try:
        yield job
    finally:
        cluster.delete_all(f"{name}-")


def opportune(form: Form, *, snapshots: bool = False) -> Start:
    """Starts `opportune worker` with the reference model as champion.

    Args:
        form: Of the decisions.
        snapshots: Whether it keeps its table on disk while it is stopped.
    """

    def start(job: Job) -> WorkerProcess:
        file, registry = job.folder / "opportune.toml", job.folder / "registry"
        if not file.exists():
            _prepare(job, form, file, registry)
        return WorkerProcess(
            [
                *("-m", "stream", "worker", str(file), "--log-format", "json"),
                *("--bootstrap", job.cluster.bootstrap, "--registry", str(registry)),
                *(("--snapshots", str(job.folder / "snapshots")) if snapshots else ()),
            ],
            job.new_log(),
        )

    return start


def _prepare(job: Job, form: Form, file: Path, registry: Path) -> None:
    """Writes the campaign file of a job and publishes its model."""
    changes = {
        "app": job.name,
        "topics": {
            "events": [job.events],
            "decisions": job.decisions,
            "dead_letter": f"{job.name}-dead-letters",
        },
        "decisions.format": form,
        "worker.summary_interval_s": 1.0,
    }
    write_variant(CAMPAIGN, file, changes)
    campaign = campaign_file.load(file)
    strategies = tuple(strategy.id for strategy in campaign.strategies)
    bundle = ReferenceModel.load().bundle(compile_features(campaign).contract, strategies)
    models = Registry(registry)
    models.promote(models.publish(bundle))


def naive(job: Job) -> WorkerProcess:
    """Starts the baseline, `benchmarks.reference.naive_faust`."""
    return WorkerProcess(
        ["-m", "benchmarks.reference.naive_faust", "worker", "--loglevel", "info", "--without-web"],
        job.new_log(),
        {
            "NAIVE_GROUP": job.name,
            "NAIVE_BOOTSTRAP": job.cluster.bootstrap,
            "NAIVE_EVENTS": job.events,
            "NAIVE_DECISIONS": job.decisions,
            "NAIVE_PARTITIONS": str(job.cluster.partitions),
            "NAIVE_DATA": str(job.folder),
        },
    )
