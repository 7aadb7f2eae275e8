"""A turn through the flow: one chunk as it is, the window of a stretch merged."""

from __future__ import annotations

import time
from collections.abc import Mapping

from stream.contacts.contact_table import ContactTable
from stream.decisions.published import Published
from stream.merged_step import steps_merged
from stream.pipeline import Deployment, Pipeline, Step
from stream.state.table import CustomerTable
from stream.worker.order.replay import Turn


def steps_of(
    turn: Turn,
    pipeline: Pipeline,
    table: CustomerTable,
    deployment: Deployment,
    silent_until: Mapping[str, int],
    contacts: ContactTable | None,
    published: Mapping[str, Published],
) -> list[Step]:
    """What comes of each chunk of a turn.

    Args:
        turn: The chunks.
        pipeline: The flow.
        table: The customers of their partition. Changed.
        deployment: The model in force.
        silent_until: By topic, offset before which events change the table and are not decided.
        contacts: Their contacts, where rules remember them. Changed.
        published: By topic, what an earlier owner has published about events to come.
    """
    now_ms = time.time_ns() // 1_000_000
    if len(turn.chunks) == 1:
        (chunk,) = turn.chunks
        until = silent_until.get(chunk.topic, 0)
        return [
            pipeline.step(
                chunk,
                table,
                deployment,
                silent_until=until,
                now_ms=now_ms,
                contacts=contacts,
                published=published,
            )
        ]
    return steps_merged(
        pipeline, turn.chunks, turn.seen_ms, table, deployment,
        silent_until=silent_until, now_ms=now_ms, contacts=contacts, published=published,
    )  # fmt: skip
