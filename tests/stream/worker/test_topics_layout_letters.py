"""What goes out fits into its topic, however large the record was that came in."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import Campaign
from stream.columns import RecordChunk, Reject, Spans
from stream.decisions import dead_letter
from stream.decisions.batch_limits import BatchLimits
from stream.kafka.records import RecordBatch, RecordReader, build_batches
from stream.pipeline import Pipeline
from stream.state.table import CustomerTable
from stream.worker.faust_app import opportune_app
from stream.worker.faust_app.factory import create_app
from stream.worker.topics import Layout
from tests.stream.worker.processor_harness import CAMPAIGN, PLAN, deployment

LIMIT = 4_096
PIECES = st.none() | st.sampled_from([0, 1, 100, 3_000, 3_900, 5_000, 20_000]).map(bytes)


def rejected(keys: list[bytes | None], values: list[bytes | None]) -> dead_letter.DeadLetters:
    n = np.arange(len(keys))
    chunk = RecordChunk("shop", 3, n, n, Spans.of(keys), Spans.of(values), len(keys))
    return dead_letter.encode([Reject(int(i), "oversize", "expected less") for i in n], chunk)


@given(st.lists(st.tuples(PIECES, PIECES), max_size=6))
def test_every_letter_fits_and_only_what_is_too_large_is_cut(
    records: list[tuple[bytes | None, bytes | None]],
) -> None:
    keys, values = [key for key, _ in records], [value for _, value in records]
    runs = dead_letter.fit(rejected(keys, values), LIMIT)
    told = [(run, i) for run in runs for i in range(len(run))]
    assert len(told) == len(records)
    for (run, i), key, value in zip(told, keys, values, strict=True):
        said = dict(run.headers[i])
        (batch,) = build_batches(
            run.key.take(slice(i, i + 1)), run.value.take(slice(i, i + 1)), 0,
            own_headers=run.all_headers()[i : i + 1],
        )  # fmt: skip
        assert len(batch.buffer) <= LIMIT
        kept_key, kept_value = run.key[i], run.value[i]
        if "truncated" in said:
            assert len(key or b"") + len(value or b"") > LIMIT - 600
            assert (key or b"").startswith(kept_key or b"")
            assert (value or b"").startswith(kept_value or b"")
            assert len(batch.buffer) > LIMIT - 300  # as much of it as there is room for
            assert said["key_bytes"] == str(-1 if key is None else len(key)).encode()
            assert said["value_bytes"] == str(-1 if value is None else len(value)).encode()
        else:
            assert (kept_key, kept_value) == (key, value)
            assert tuple(said) == dead_letter.HEADERS
        assert (kept_key is None, kept_value is None) == (key is None, value is None)


def test_the_value_is_cut_before_the_key() -> None:
    (run,) = dead_letter.fit(rejected([b"k" * 3_000], [b"v" * 3_000]), LIMIT)
    assert run.key[0] == b"k" * 3_000
    assert 0 < len(run.value[0] or b"") < 3_000
    (run,) = dead_letter.fit(rejected([b"k" * 9_000], [b"v"]), LIMIT)
    assert 0 < len(run.key[0] or b"") < LIMIT
    assert run.value[0] == b""


def decisions_of(batch: RecordBatch) -> RecordChunk:
    (chunk,) = RecordReader("out", 0, bytes(batch.seal(-1, -1, -1)), 0, 1_000)
    return chunk


def test_the_pipeline_keeps_to_the_limits_of_the_topics() -> None:
    event = (
        b'{"userId":"c1","messageId":"%s","type":"track","event":"Order Completed",'
        b'"timestamp":"2026-01-01T00:00:00Z"}'
    )
    ids = [b"%04d" % i + b"m" * 1_246 for i in range(40)]
    long = event % (b"m" * 20_000)
    values = [*(event % one for one in ids), b"no event" * 2_000, b"no event", long]
    n = np.arange(len(values))
    received_ms = np.full(len(values), 1_767_225_600_000)
    spans = Spans.of(values)
    chunk = RecordChunk("events", 0, n, received_ms, spans, spans, len(values))
    pipeline = Pipeline(CAMPAIGN, PLAN)
    pipeline.limits = BatchLimits(decisions=10_000, dead_letters=5_000)
    step = pipeline.step(
        chunk, CustomerTable(PLAN.row_words), deployment(),
        silent_until=0, now_ms=1_767_225_600_000,
    )  # fmt: skip
    assert [batch.records for batch in step.dead_letters] == [1, 1]
    assert all(len(batch.buffer) <= 5_000 for batch in step.dead_letters)
    assert sum(batch.records for batch in step.decisions) == 41
    assert len(step.decisions) > 1
    assert all(len(batch.buffer) <= 10_000 for batch in step.decisions)
    # Where an id is too long for the topic, that of the event stands as if it had none.
    last = decisions_of(step.decisions[-1]).value[step.decisions[-1].records - 1]
    assert msgspec.json.decode(last or b"")["causationid"] == f"events-0-{len(values) - 1}"
    first = decisions_of(step.decisions[0]).value[0]
    assert msgspec.json.decode(first or b"")["causationid"] == ids[0].decode()


def test_what_the_topics_are_like_reaches_those_who_need_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = create_app(CAMPAIGN, "localhost:1")
    (changelog,) = (table.changelog_topic for table in worker.tables.values())
    asked = []

    async def ensure_topics(bootstrap: str, campaign: Campaign, name: str) -> Layout:
        asked.append((bootstrap, campaign, name))
        return Layout(3, BatchLimits(1, 2))

    async def deploy_new_model() -> bool:
        return True

    async def nothing_switched() -> None:
        pass

    monkeypatch.setattr(opportune_app, "ensure_topics", ensure_topics)
    monkeypatch.setattr(worker, "deploy_new_model", deploy_new_model)
    monkeypatch.setattr(worker.switchboard, "open", nothing_switched)
    asyncio.run(worker._prepare())
    assert asked == [("localhost:1", CAMPAIGN, changelog.get_topic_name())]
    assert worker.processor.pipeline.limits == BatchLimits(1, 2)
    assert (changelog.partitions, changelog.replicas) == (3, -1)
