"""How many of the latest images were decided rightly: `python examples/digits/score.py`."""

# ruff: noqa: INP001 - a script

from __future__ import annotations

import asyncio
import json
from typing import Any

import click
from aiokafka import AIOKafkaConsumer

EVENTS, DECISIONS = "digits", "digit-decisions"
_TEST_SHARE = 0.2  # training.test_share of the campaign file


async def read(bootstrap: str, topic: str) -> list[dict[str, Any]]:
    """All values of a topic."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        values = []
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                fetched = await consumer.getmany(partition, timeout_ms=500)
                values += [json.loads(record.value) for record in fetched.get(partition, ())]
    finally:
        await consumer.stop()
    return values


async def score(bootstrap: str) -> tuple[int, int, int]:
    """Of the latest images: how many there are, were decided, and were decided rightly."""
    labels = {
        event["userId"]: event["properties"]["strategy"]
        for event in await read(bootstrap, EVENTS)
        if event["event"] == "Labelled"
    }
    decided = {
        decision["data"]["external_id"]: decision["data"]["action"]["strategy"]
        for decision in await read(bootstrap, DECISIONS)
    }
    latest = sorted(labels)[-round(_TEST_SHARE * len(labels)) :]
    known = [image for image in latest if image in decided]
    return len(latest), len(known), sum(decided[image] == labels[image] for image in known)


@click.command()
@click.option("--bootstrap", default="localhost:9092", show_default=True, help="Kafka address.")
def main(bootstrap: str) -> None:
    """Compare the decisions with the labels that came after them."""
    images, known, right = asyncio.run(score(bootstrap))
    share = f", {right / known:.1%} of them rightly" if known else ""
    click.echo(f"{known} of the latest {images} images are decided{share}")


if __name__ == "__main__":
    main()
