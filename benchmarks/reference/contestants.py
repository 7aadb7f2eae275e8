"""The workers that do the reference job, each started on topics and a group of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from benchmarks.cluster import Cluster
from benchmarks.reference.campaign_variant import write_variant
from benchmarks.reference.model import ReferenceModel
from benchmarks.reference.read import Decisions, Events, Form, read_decisions, read_events
from benchmarks.reference.verify import Verdict, compare, decide
from benchmarks.worker_process import WorkerProcess
from models.bundle import Bundle
from models.registry import Registry
from stream.campaign import file as campaign_file
from stream.campaign.file import Campaign
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

    @property
    def campaign_file(self) -> Path:
        """The campaign file of its worker, once it is written."""
        return self.folder / "opportune.toml"

    @property
    def registry(self) -> Registry:
        """The models of its worker."""
        return Registry(self.folder / "registry")

    def write_campaign(
        self, source: Path, changes: Mapping[str, Any] = MappingProxyType({})
    ) -> Campaign:
        """Derives the campaign file of its worker from another, and loads it."""
        topics = {
            "events": [self.events],
            "decisions": self.decisions,
            "dead_letter": f"{self.name}-dead-letters",
        }
        write_variant(source, self.campaign_file, {"app": self.name, "topics": topics, **changes})
        return campaign_file.load(self.campaign_file)

    def new_log(self) -> Path:
        """A file for the log of one more worker."""
        return self.folder / f"worker-{len(list(self.folder.glob('worker-*.log')))}.log"

    def start(self, *more: str) -> WorkerProcess:
        """Starts `opportune worker` on its campaign file."""
        return WorkerProcess(
            [
                *("-m", "stream", "worker", str(self.campaign_file), "--log-format", "json"),
                *("--bootstrap", self.cluster.bootstrap, "--registry", self.registry.url, *more),
            ],
            self.new_log(),
        )

    def judge(self, form: Form) -> tuple[Events, Decisions, Verdict]:
        """Its events and decisions, read back, and what the referee says of them."""
        events = read_events(self.cluster, self.events)
        decisions = read_decisions(self.cluster, self.decisions, form)
        right = decide(events, ReferenceModel.load())
        return events, decisions, compare(events, right, decisions)


Start: TypeAlias = Callable[[Job], WorkerProcess]
"""Starts a worker of a job."""


def opportune(form: Form, *, snapshots: bool = False, source: Path = CAMPAIGN) -> Start:
    """Starts `opportune worker` with the reference model as champion.

    Args:
        form: Of the decisions.
        snapshots: Whether it keeps its table on disk while it is stopped.
        source: Campaign file with the features of the reference job.
    """

    def start(job: Job) -> WorkerProcess:
        if not job.campaign_file.exists():
            changes = {"decisions.format": form, "worker.summary_interval_s": 1.0}
            bundle = reference_bundle(ReferenceModel.load(), job.write_campaign(source, changes))
            job.registry.promote(job.registry.publish(bundle))
        return job.start(*(("--snapshots", str(job.folder / "snapshots")) if snapshots else ()))

    return start


def reference_bundle(model: ReferenceModel, campaign: Campaign) -> Bundle:
    """The bundle of the reference model, or of a like one, for a campaign with its features."""
    strategies = tuple(strategy.id for strategy in campaign.strategies)
    return model.bundle(compile_features(campaign).contract, strategies)


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
