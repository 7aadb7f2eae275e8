"""The topics that a worker needs: checked, and the outgoing ones created, before it joins the group.

Rules
1. Event topics must exist: they belong to others.
2. All event topics, the decision and the dead-letter topic have the same number of partitions, since
   a customer's events, state and decisions stay in one partition number.
3. Everything wrong is said at once, with who acts.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from stream.campaign import Topics
from stream.errors import KafkaLayoutError

_TOPIC_EXISTS = 36


async def ensure_topics(
    bootstrap: str, topics: Topics, replication: int, **client_settings: object
) -> int:
    """Checks the topics and creates the decision and dead-letter topics where missing.

    Returns:
        The number of partitions of all of them.

    Raises:
        KafkaLayoutError: The broker cannot be reached, or topics do not fit together.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **client_settings)
    try:
        await admin.start()
    except KafkaError as exc:
        raise KafkaLayoutError(
            f"expected a Kafka broker at {bootstrap}, got: {exc}. Operator action: start it "
            "(`opportune broker`, `docker compose up kafka`) or set `bootstrap` or OPPORTUNE_BOOTSTRAP"
        ) from exc
    try:
        outgoing = (topics.decisions, topics.dead_letter)
        found = await _partitions(admin, [*topics.events, *outgoing])
        partitions = _check(found, topics)
        missing = [name for name in outgoing if name not in found]
        if missing:
            await _create(admin, missing, partitions, replication)
        return partitions
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Partition counts of the topics that exist."""
    described = await admin.describe_topics(names)
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in described
        if topic["error_code"] == 0 and topic["partitions"]
    }


def _check(found: Mapping[str, int], topics: Topics) -> int:
    missing = [name for name in topics.events if name not in found]
    if missing:
        raise KafkaLayoutError(
            f"expected the event topics {list(topics.events)}, missing: {missing}. Operator action: "
            "create them with the producers' partition count, or correct topics.events"
        )
    counts = {name: found[name] for name in topics.events}
    partitions = next(iter(counts.values()))
    if len(set(counts.values())) > 1:
        raise KafkaLayoutError(
            f"expected one partition count for all event topics, got {counts}. Operator action: "
            "repartition them, so that a customer is in the same partition number of each"
        )
    for name in (topics.decisions, topics.dead_letter):
        if found.get(name, partitions) != partitions:
            raise KafkaLayoutError(
                f"expected {partitions} partitions of {name!r}, as the event topics have, got "
                f"{found[name]}. Operator action: create it anew with {partitions}"
            )
    return partitions


async def _create(
    admin: AIOKafkaAdminClient, names: list[str], partitions: int, replication: int
) -> None:
    new = [NewTopic(name, partitions, replication) for name in names]
    response = await admin.create_topics(new)
    for name, code, *rest in response.topic_errors:
        if code not in (0, _TOPIC_EXISTS):  # another worker may have been faster
            raise KafkaLayoutError(
                f"expected to create topic {name!r}, got {for_code(code).__name__} {rest}. "
                "Operator action: create it, or grant the worker the right to"
            )
