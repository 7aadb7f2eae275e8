"""Section `topics` of the campaign file: their names, and what is accepted of them by hand."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from stream.campaign.words import FieldPath, HttpAddress, Section, TopicName

Offset = Annotated[int, Meta(ge=0, le=2**62)]


class SkipSpec(Section, frozen=True):
    """One `[[topics.skip]]` entry: offsets that nobody reads, since a batch of them cannot be read.

    Attributes:
        topic: One of the topics of the campaign.
        partition: Partition of it.
        first: First offset that is left out, `from` in the file.
        last: Last offset that is left out, `to` in the file.
    """

    topic: TopicName
    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    first: Offset = field(name="from")
    last: Offset = field(name="to")


class AnewSpec(Section, frozen=True):
    """One entry of `topics.anew`: an event topic that was created anew, or cut back, is accepted.

    Attributes:
        topic: One of `topics.events`.
        epoch: For the how manieth time. It is in the ids of decisions about the topic's events, so the
            entry stays as long as the topic is read.
        id: Id of the topic that is accepted, as `kafka-topics.sh --describe` shows it; empty where
            the broker tells none.
    """

    topic: TopicName
    epoch: Annotated[int, Meta(ge=1, le=32_767)]
    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,32}\Z", description="a topic id")] = ""


class Topics(Section, frozen=True):
    """Kafka topics, each another one: a worker that read what it writes would not come to an end.

    All event topics have the same number of partitions, keyed by customer.
    """

    events: Annotated[tuple[TopicName, ...], Meta(min_length=1, max_length=16)]
    decisions: TopicName = "decisions"
    dead_letter: TopicName = "dead-letters"
    skip: Annotated[tuple[SkipSpec, ...], Meta(max_length=1000)] = ()
    anew: tuple[AnewSpec, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """All topics."""
        return (*self.events, self.decisions, self.dead_letter)


def shared_topic(topics: Topics, app: str) -> str:
    """What is wrong with the names of the topics, "" if nothing is."""
    named = [(f"topics.events[{i}]", name) for i, name in enumerate(topics.events)]
    named += [("topics.decisions", topics.decisions), ("topics.dead_letter", topics.dead_letter)]
    first: dict[str, str] = {}
    for path, name in named:
        if path != first.setdefault(name, path):
            return f'at {path}: expected a topic of its own, got "{name}", as at {first[name]}'
        if re.fullmatch(rf"{re.escape(app)}-customers-[0-9a-f]{{12}}-changelog", name):
            return f'at {path}: expected another topic than the changelog of the app, got "{name}"'
        if re.fullmatch(rf"{re.escape(app)}-(contacts-changelog|control|budgets)", name):
            return f'at {path}: expected another topic than those of the app, got "{name}"'
    return ""


def wrong_skip(topics: Topics) -> str:
    """Which entry of the skip list names nothing, "" if none does."""
    for i, skip in enumerate(topics.skip):
        if skip.topic not in topics.named:
            return (
                f"at topics.skip[{i}].topic: expected one of the topics {', '.join(topics.named)}, "
                f'got "{skip.topic}"'
            )
        if skip.last < skip.first:
            return (
                f"at topics.skip[{i}].to: expected an offset from {skip.first} on, where it begins, "
                f"got {skip.last}"
            )
    return ""


def wrong_anew(topics: Topics) -> str:
    """What is wrong with the topics that are accepted anew, "" if nothing is."""
    names = [spec.topic for spec in topics.anew]
    for i, name in enumerate(names):
        if name not in topics.events:
            return f'at topics.anew[{i}].topic: expected one of topics.events, got "{name}"'
        if name in names[:i]:
            return f'at topics.anew[{i}].topic: expected each topic once, got "{name}" again'
    return ""


EventFormat: TypeAlias = Literal["json", "avro", "protobuf", "snowplow"]
_OF_REGISTRY: tuple[EventFormat, ...] = ("avro", "protobuf")


class EventFormats(Section, frozen=True):
    """What the values of event topics are, of all topics or by topic.

    Avro and Protobuf stand behind the frame of a schema registry; JSON does when it is `framed`. `batch`
    is where JSON records hold an array of events: a record without one is one event.
    """

    format: EventFormat | dict[TopicName, EventFormat] = "json"
    framed: bool = False
    schema_registry: HttpAddress = ""
    batch: FieldPath | None = None
    batch_events_max: Annotated[int, Meta(ge=1, le=100_000)] = 10_000

    @property
    def formats(self) -> frozenset[EventFormat]:
        """The formats of all event topics."""
        return frozenset([self.format] if isinstance(self.format, str) else self.format.values())

    @property
    def registry_formats(self) -> tuple[EventFormat, ...]:
        """Those of them whose schemas a registry has."""
        return tuple(name for name in _OF_REGISTRY if name in self.formats)

    def format_of(self, topic: str) -> EventFormat:
        """The format of an event topic."""
        return self.format if isinstance(self.format, str) else self.format[topic]


def wrong_format(topics: Topics, events: EventFormats) -> str:
    """What contradicts the formats of events, "" if nothing does."""
    if not isinstance(events.format, str) and set(events.format) != set(topics.events):
        return (
            f"at events.format: expected the format of each of {', '.join(topics.events)}, got "
            f"{', '.join(events.format) or 'none'}"
        )
    if events.registry_formats and not events.schema_registry:
        return (
            "at events.schema_registry: expected the address of the registry that has the schemas of "
            f'events.format = "{events.registry_formats[0]}", such as http://registry:8081, got none'
        )
    if not events.registry_formats and events.schema_registry:
        return (
            f'at events.schema_registry: expected none with events.format = "{min(events.formats)}", got '
            f'"{events.schema_registry}"'
        )
    return ""


def wrong_batch(events: EventFormats) -> str:
    """Why the events of no batch can be read, "" if they can."""
    others = sorted(events.formats - {"json"})
    if events.batch is None or not others:
        return ""
    return (
        f'at events.batch: expected none with events.format = "{others[0]}", got "{events.batch}": '
        "batches of events are read in JSON alone"
    )
