"""The topics that a worker needs: checked, and the outgoing ones created, before it joins the group.

Rules
1. Event topics must exist: they belong to others. No topic is created by asking for it.
2. All event topics, the decision and the dead-letter topic and the changelog have the same number of
   partitions, since a customer's events, state and decisions stay in one partition number.
3. Everything wrong is said at once, with who acts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from stream.campaign.file import Campaign
from stream.campaign.topics_section import Topics
from stream.contacts import contact_records
from stream.contacts.contact_layout import remembers
from stream.decisions.batch_limits import KAFKA_BATCH_BYTES_MAX, BatchLimits
from stream.errors import KafkaLayoutError
from stream.log import log_event
from stream.worker.control.control_topic import ensure_budgets, ensure_control
from stream.worker.topic_settings import tell_broken_promises

_BYTES_MAX = "max.message.bytes"
# Hosted Kafkas allow no more; and a request, with a letter of each partition, may have 100 MiB.
_LETTER_BYTES_MAX = 8 << 20
_LETTER_HEADERS_BYTES_MAX = 64 << 10
# As of the customers' changelog: what a worker writes that has lost its partition unawares can then
# not be the one record that compaction keeps before its successor's is there.
_CONTACT_CONFIGS = {
    "cleanup.policy": "compact", "min.compaction.lag.ms": "600000", _BYTES_MAX: "8388608",
}  # fmt: skip
_POLL_S = 0.1
_EVENTS_WAIT_S = 1.0
_CREATED_WAIT_S = 10.0


class Layout(NamedTuple):
    """What the topics are like.

    Attributes:
        partitions: Number of partitions of all of them.
        limits: What the outgoing ones take.
    """

    partitions: int
    limits: BatchLimits


async def ensure_topics(
    bootstrap: str, campaign: Campaign, changelog: str, **client_settings: object
) -> Layout:
    """Checks the topics and creates the decision and dead-letter topics where missing.

    Args:
        bootstrap: Kafka address.
        campaign: The campaign file.
        changelog: Name of the changelog; it need not exist.
        client_settings: Further settings of the admin client.

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
        topics = campaign.topics
        outgoing = (topics.decisions, topics.dead_letter)
        found = await _partitions(admin, topics.events, _EVENTS_WAIT_S)
        partitions = _check(found, topics, changelog)
        limits = await _bytes_max(admin, topics.events)
        wanted = _letter_bytes_max(campaign, limits)
        missing = [name for name in outgoing if name not in found]
        if missing:
            configs = {_BYTES_MAX: str(wanted)}
            await _create(admin, missing, partitions, campaign.worker.replication, configs)
            # Another worker, or a broker that creates topics by itself, may have been faster.
            found = await _partitions(admin, missing, _CREATED_WAIT_S)
            _check(found, topics, changelog)
        await ensure_control(admin, campaign.app, campaign.worker.replication)
        if campaign.budgets:
            await ensure_budgets(admin, campaign.app, campaign.worker.replication)
        if remembers(campaign):
            await _ensure_contacts(admin, campaign, found, partitions)
        limits = await _bytes_max(admin, outgoing)
        await tell_broken_promises(admin, campaign, [name for name in found if name == changelog])
        _say_if_small(topics.dead_letter, limits.get(topics.dead_letter), wanted)
        takes = (limits.get(name, KAFKA_BATCH_BYTES_MAX) for name in outgoing)
        return Layout(partitions, BatchLimits(*takes))
    finally:
        await admin.close()


async def _ensure_contacts(
    admin: AIOKafkaAdminClient, campaign: Campaign, found: Mapping[str, int], partitions: int
) -> None:
    """Checks the changelog of contacts, or creates it."""
    name = contact_records.topic_name(campaign.app)
    if name not in found:
        await _create(admin, [name], partitions, campaign.worker.replication, _CONTACT_CONFIGS)
        found = await _partitions(admin, [name], _CREATED_WAIT_S)
    if (count := found.get(name, partitions)) != partitions:
        raise KafkaLayoutError(_wrong_changelog(name, partitions, count))


async def _partitions(
    admin: AIOKafkaAdminClient, wanted: Sequence[str], wait_s: float
) -> dict[str, int]:
    """Partition counts of the topics that exist.

    Args:
        admin: The client.
        wanted: Topics that may just have been created, of which a broker hears a little later.
        wait_s: How long to wait for them, seconds.
    """
    while True:
        # Of all topics: describing a missing one by name would create it on many brokers.
        found = {
            topic["topic"]: len(topic["partitions"])
            for topic in await admin.describe_topics()
            if topic["error_code"] == 0 and topic["partitions"]
        }
        if wait_s <= 0 or found.keys() >= set(wanted):
            return found
        await asyncio.sleep(_POLL_S)
        wait_s -= _POLL_S


async def _bytes_max(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Largest record batch by topic, bytes; without those that the worker may not ask about."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, {_BYTES_MAX: None}) for name in names]
    (response,) = await admin.describe_configs(asked)
    return {
        name: int(entries[0][1])
        for error_code, _, _, name, entries in response.resources
        if error_code == 0 and entries
    }


def _letter_bytes_max(campaign: Campaign, event_bytes_max: Mapping[str, int]) -> int:
    """What the outgoing topics should take, bytes: any record that comes, and what is said of it.

    A batch that was compressed can hold a larger one; its letter is cut.
    """
    largest = max(event_bytes_max.values(), default=0)
    configured = max(campaign.events.value_bytes_max, campaign.worker.fetch_bytes_max)
    wanted = max(largest, configured) + _LETTER_HEADERS_BYTES_MAX
    return min(wanted, max(largest, _LETTER_BYTES_MAX))


def _say_if_small(topic: str, bytes_max: int | None, wanted: int) -> None:
    if bytes_max is None:
        reason = (
            f"the worker may not read {_BYTES_MAX} of the dead-letter topic, and cuts letters "
            f"at {KAFKA_BATCH_BYTES_MAX} bytes; grant it DescribeConfigs"
        )
    elif bytes_max < wanted:
        reason = f"letters about larger records are cut; set {_BYTES_MAX}={wanted} on the topic"
    else:
        return
    log_event("letters_cut", level=logging.WARNING, topic=topic, bytes_max=bytes_max, reason=reason)


def _check(found: Mapping[str, int], topics: Topics, changelog: str) -> int:
    missing = [name for name in topics.events if name not in found]
    if missing:
        raise KafkaLayoutError(
            f"expected the event topics {list(topics.events)}, missing: {missing}. Operator action: "
            "create them with the producers' partition count, or correct topics.events"
        )
    return check_partitions(found, topics, changelog)


def check_partitions(found: Mapping[str, int], topics: Topics, changelog: str) -> int:
    """The number of partitions of all topics.

    Args:
        found: Partition counts by topic, those of the event topics among them.
        topics: Of the campaign.
        changelog: Name of the changelog.

    Raises:
        KafkaLayoutError: They differ.
    """
    counts = {name: found[name] for name in topics.events}
    partitions = next(iter(counts.values()))
    if len(set(counts.values())) > 1:
        raise KafkaLayoutError(
            f"expected one partition count for all event topics, got {counts}. Operator action: "
            "repartition them, so that a customer is in the same partition number of each"
        )
    wrong = []
    if (count := found.get(changelog, partitions)) != partitions:
        wrong.append(_wrong_changelog(changelog, partitions, count))
    for key in ("decisions", "dead_letter"):
        name = getattr(topics, key)
        if (count := found.get(name, partitions)) != partitions:
            wrong.append(_wrong_outgoing(name, key, partitions, count))
    if wrong:
        raise KafkaLayoutError(". ".join(wrong))
    return partitions


def _wrong_changelog(name: str, partitions: int, count: int) -> str:
    return (
        f"expected {partitions} partitions of the changelog {name!r}, as the event topics have, got "
        f"{count}: when their number changes, customers move to other partitions, and their rows and "
        "earlier events stay behind. Operator action: copy the events, keyed by customer, to new "
        "topics, and name those in topics.events, with another `app`: the table is built anew from "
        "them; or, if customers that moved may begin with nothing, stop all workers and delete the "
        "changelog (docs/operations.md, More partitions)"
    )


def _wrong_outgoing(name: str, key: str, partitions: int, count: int) -> str:
    action = f"name another topic in topics.{key}"
    if count < partitions:  # Kafka takes none away
        action = (
            f"add partitions, `kafka-topics.sh --alter --topic {name} --partitions {partitions}`"
        )
    return (
        f"expected {partitions} partitions of {name!r}, as the event topics have, got {count}. "
        f"Operator action: {action}"
    )


async def _create(
    admin: AIOKafkaAdminClient,
    names: Sequence[str],
    partitions: int,
    replication: int,
    configs: Mapping[str, str],
) -> None:
    # aiokafka takes -1, the broker's own, only beside an assignment, be it empty.
    assignment: dict[int, list[int]] | None = {} if replication == -1 else None
    new = [NewTopic(name, partitions, replication, assignment, dict(configs)) for name in names]
    response = await admin.create_topics(new)
    for name, code, *rest in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise KafkaLayoutError(
                f"expected to create topic {name!r}, got {for_code(code).__name__} {rest}. "
                "Operator action: create it, grant the worker the right to, or correct worker.replication"
            )
