"""`opportune simulate`: the same decisions as a worker that keeps up, counted, beside others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from models.registry import Registry
from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk
from stream.contacts.contact_layout import lay_out_contacts
from stream.contacts.contact_table import ContactTable
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline
from stream.policy.choice import Policy
from stream.policy.decision import NOTHING
from stream.scoring.scorer import Scorer
from stream.state.table import CustomerTable
from tests.trainer.archive.archive_harness import Kafka, Topic, archive_to
from tests.trainer.archive.archive_harness import Record as Archived
from tests.trainer.archive.archive_harness import chunk_of as archived_chunk
from tests.trainer.parity import parity_harness
from tests.trainer.parity.parity_harness import Record, Worker, bundle, history, text
from trainer.commands.looking.simulate import simulate
from trainer.errors import TrainingError
from trainer.history.source import OnRecords
from trainer.simulation.past import by_arrival
from trainer.simulation.policy_outcome import Overlap, PolicyOutcome
from trainer.simulation.rehearsal import Rehearsal, seconds

RULES = """
[contacts]
time_zone = "Europe/Berlin"
one_open = true
[[caps]]
id = "day"
contacts = 2
within = "1d"
[[caps]]
id = "week"
contacts = 3
per = "week"
[quiet_hours]
from = "22:00"
until = "07:00"
mode = "drop"
[exploration]
method = "epsilon"
epsilon = 0.2
[[holdouts]]
id = "some"
share = 0.2
"""


def ruled(more: str = RULES) -> Campaign:
    return parse(text("shop", ["events"]) + more)


def events(n: int, seed: int = 1) -> list[Record]:
    """A history in the order in which it came, sometimes several in a second."""
    found = sorted(history(n, seed), key=lambda record: record.timestamp_ms)
    return [one for pair in pairwise(found) for one in pair][:n]


def one_by_one(of: Campaign, records: Sequence[Record]) -> tuple[Counter[str], Counter[str]]:
    """Decisions and codes of a pipeline that takes each record when it comes."""
    plan = compile_features(of)
    scorer = Scorer(bundle(plan, 3))
    deployment = Deployment(scorer, Policy(of, scorer.head, scorer.strategies))
    pipeline, table = Pipeline(of, plan), CustomerTable(plan.row_words)
    contacts = ContactTable(lay_out_contacts(of))
    strategies: Counter[str] = Counter()
    second_ms, decisions = -1, 0
    for offset, record in enumerate(records):
        if record.timestamp_ms // 1000 != second_ms // 1000:
            second_ms = record.timestamp_ms
        step = pipeline.step(
            parity_harness.chunk_of("events", [record], offset), table, deployment,
            silent_until=0, now_ms=second_ms, contacts=contacts,
        )  # fmt: skip
        decisions += step.decided
        for k, count in enumerate(step.strategies.tolist()):
            strategies[deployment.policy.strategies[k]] += count
    return strategies, Counter({"decisions": decisions})


def rehearsed(of: Campaign, records: Sequence[Record], size: int = 1_000) -> PolicyOutcome:
    plan = compile_features(of)
    scorer = Scorer(bundle(plan, 3))
    deployment = Deployment(scorer, Policy(of, scorer.head, scorer.strategies))
    rehearsal = Rehearsal(of, deployment, "changed")
    for chunk in parity_harness.chunks("events", records, size=size):
        rehearsal.take(chunk)
    return rehearsal.outcome


def test_a_rehearsal_decides_as_a_worker_that_keeps_up() -> None:
    of, records = ruled(), events(150)
    strategies, counts = one_by_one(of, records)
    outcome = rehearsed(of, records)
    assert outcome.strategies == strategies
    assert outcome.decisions == counts["decisions"] == outcome.reasons.total()
    fired = {code for code, _ in outcome.rules}
    assert fired >= {"CAPPED", "OPEN_DECISION", "QUIET_HOURS", "HOLDOUT"}
    dropped = sum(outcome.rules.values())
    acts = outcome.decisions - outcome.strategies[NOTHING]
    assert dropped == 2 * outcome.decisions - acts
    assert outcome.contacts.total() + outcome.expired == acts


def test_chunks_change_nothing() -> None:
    of, records = ruled(), events(80)
    assert rehearsed(of, records, 7).figures() == rehearsed(of, records).figures()


def test_without_rules_about_contacts_a_chunk_is_decided_at_once() -> None:
    of, records = ruled(""), events(60)
    outcome = rehearsed(of, records)
    assert outcome.strategies == one_by_one(of, records)[0]


def test_a_model_of_other_features_is_refused() -> None:
    of = ruled()
    scorer = Scorer(bundle(compile_features(of), 3))
    other = parse(text("shop", ["events"], more='{ op = "tenure" },'))
    policy = Policy(other, scorer.head, scorer.strategies)
    with pytest.raises(TrainingError, match="which the campaign file x declares"):
        Rehearsal(other, Deployment(scorer, policy), "x")


@given(st.lists(st.integers(0, 5_000), max_size=20))
def test_seconds_are_runs_of_one_second(times: list[int]) -> None:
    time_ms = np.array(times, np.int64)
    parts = [part.tolist() for part in seconds(time_ms)]
    assert [i for part in parts for i in part] == list(range(len(times)))
    for part in parts:
        assert len({times[i] // 1000 for i in part}) <= 1


class Logs:
    """Topics of two partitions as a source, partition by partition."""

    def __init__(self, topics: Mapping[str, Sequence[Sequence[Archived]]]) -> None:
        self._topics = topics

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        for topic in topics:
            for partition, records in enumerate(self._topics[topic]):
                for at in range(0, len(records), 3):
                    some = records[at : at + 3]
                    yield archived_chunk(some, some[-1][0] + 1, topic, partition)


_TIMES = st.lists(st.integers(0, 50), max_size=9)


@given(st.lists(st.tuples(_TIMES, _TIMES), min_size=1, max_size=3))
def test_topics_are_taken_by_their_times_partition_by_partition(
    logs: list[tuple[list[int], list[int]]],
) -> None:
    named: dict[str, list[list[Archived]]] = {
        f"t{i}": [[(n, time, b"k", b"v") for n, time in enumerate(sorted(p))] for p in partitions]
        for i, partitions in enumerate(logs)
    }
    taken = [
        (chunk.partition, int(chunk.timestamp_ms[i]), chunk.topic, int(chunk.offset[i]))
        for chunk in by_arrival(Logs(named), list(named))
        for i in range(len(chunk))
    ]
    assert len(taken) == sum(len(p) for partitions in logs for p in partitions)
    assert [one[:2] for one in taken] == sorted(one[:2] for one in taken)
    for topic in named:
        mine = [one[3] for one in taken if one[2] == topic and one[0] == 0]
        assert mine == sorted(mine)


def test_whom_both_contact() -> None:
    first, second = PolicyOutcome("a"), PolicyOutcome("b")
    for customer in (b"x", b"y", b"y"):
        first.contact(customer, 1)
    second.contact(b"y", 2)
    second.contact(b"z", 2)
    assert Overlap.of(first, second) == Overlap(1, 1, 1)
    assert first.figures()["contacts_of_one_customer_max"] == 2


def test_the_command_beside_what_was_decided_and_beside_another_file(tmp_path: Path) -> None:
    of, records = ruled(), events(120)
    model = bundle(compile_features(of), 3)
    registry = Registry(tmp_path / "registry")
    registry.promote(registry.publish(model))
    worker = Worker(ruled(""), model)
    for offset, record in enumerate(records):
        worker.take([record], offset, now_ms=record.timestamp_ms)
    logs = {
        ("events", 0): [(i, r.timestamp_ms, r.key, r.value) for i, r in enumerate(records)],
        ("shop-decisions", 0): [(i, 5, d.key, d.value) for i, d in enumerate(worker.decisions)],
    }
    archive_to(tmp_path / "archive", Kafka({at: Topic(log) for at, log in logs.items()}))
    changed, present = tmp_path / "changed.toml", tmp_path / "present.toml"
    changed.write_text(text("shop", ["events"]) + RULES)
    present.write_text(text("shop", ["events"]))
    page, found = tmp_path / "page.html", tmp_path / "found.json"
    arguments = [
        str(changed), "--from", str(tmp_path / "archive"), "--registry", registry.url,
        "--html", str(page), "--json", str(found),
    ]  # fmt: skip
    shown = CliRunner().invoke(simulate, arguments, catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    policies = json.loads(found.read_text())["policies"]
    assert policies[0]["strategies"] == dict(rehearsed(of, records).strategies.most_common())
    assert policies[1]["policy"] == "as it was decided"
    told = Counter(
        json.loads(d.value or b"")["data"]["action"]["strategy"] for d in worker.decisions
    )
    assert policies[1]["strategies"] == dict(told)
    html = page.read_text()
    assert html.count("<svg") == 3
    assert "contacts: CAPPED" in html
    again = CliRunner().invoke(
        simulate, [*arguments, "--beside", str(present)], catch_exceptions=False
    )
    assert again.exit_code == 0, again.output
    beside = json.loads(found.read_text())["policies"][1]
    assert beside["policy"] == "present"
    assert beside["strategies"] == policies[1]["strategies"]
