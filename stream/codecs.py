"""What a campaign file compiles to beside its features: how events are read and decisions written.

The worker starts with it, `opportune check` only tries it: what stops the one is told by the other.
Whoever reads the event topics of a campaign, now or again, has the decoder from here: the trainer and
a parity check see what the worker saw.

The format of events is chosen here as well, for all topics or for each: JSON, which the decoder reads
itself, or one of `stream.formats`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stream.campaign.file import Campaign, EventMapping
from stream.campaign.purposes import purposes_of
from stream.campaign.topics_section import EventFormat
from stream.columns import EventBatch, Int64s, RecordChunk
from stream.decisions.encoder import DecisionEncoder
from stream.events.cloudevents.envelopes import ValueFormat
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from stream.features.plan import FeaturePlan
from stream.formats.avro.avro_language import AVRO
from stream.formats.framed_json import FramedJson
from stream.formats.port import SchemaPort, Unasked
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.formats.reading import FramedFormat
from stream.formats.snowplow.snowplow_columns import mapping_of
from stream.formats.snowplow.snowplow_format import SnowplowFormat


class Decoder(Protocol):
    """Reads the event topics of a campaign."""

    def decode(self, chunk: RecordChunk, now_ms: int) -> Decoded:
        """As `EventDecoder.decode`."""

    def unreadable(self, chunk: RecordChunk, batch: EventBatch) -> list[tuple[str, str]]:
        """As `EventDecoder.unreadable`."""

    def pieces(self, chunk: RecordChunk) -> Iterator[RecordChunk]:
        """As `EventDecoder.pieces`."""

    def events_bound(self, chunk: RecordChunk) -> Int64s:
        """As `EventDecoder.events_bound`."""


class TopicDecoder:
    """Reads topics that are not in one format, each with a decoder of its own.

    Args:
        decoders: By topic.
    """

    def __init__(self, decoders: Mapping[str, EventDecoder]) -> None:
        self._decoders = decoders

    def decode(self, chunk: RecordChunk, now_ms: int) -> Decoded:
        """As `EventDecoder.decode`."""
        return self._decoders[chunk.topic].decode(chunk, now_ms)

    def unreadable(self, chunk: RecordChunk, batch: EventBatch) -> list[tuple[str, str]]:
        """As `EventDecoder.unreadable`."""
        return self._decoders[chunk.topic].unreadable(chunk, batch)

    def pieces(self, chunk: RecordChunk) -> Iterator[RecordChunk]:
        """As `EventDecoder.pieces`."""
        return self._decoders[chunk.topic].pieces(chunk)

    def events_bound(self, chunk: RecordChunk) -> Int64s:
        """As `EventDecoder.events_bound`."""
        return self._decoders[chunk.topic].events_bound(chunk)


@dataclass(frozen=True, slots=True)
class MessageCodecs:
    """Both directions of one campaign.

    Attributes:
        decoder: Of the events of all event topics.
        encoders: Of the decisions about the events of each event topic.
    """

    decoder: Decoder
    encoders: dict[str, DecisionEncoder]


def compile_codecs(
    campaign: Campaign, plan: FeaturePlan, schemas: SchemaPort | None = None
) -> MessageCodecs:
    """Compiles the messages of a campaign.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        schemas: The registry of the events; None for JSON, and where nothing is decoded.

    Raises:
        CampaignError: The earliest time is no time, or a property of a strategy cannot be said.
    """
    encoders = {topic: DecisionEncoder(campaign, topic) for topic in campaign.topics.events}
    return MessageCodecs(event_decoder(campaign, plan, schemas), encoders)


def event_decoder(
    campaign: Campaign, plan: FeaturePlan, schemas: SchemaPort | None = None
) -> Decoder:
    """Reads the event topics of a campaign, with all that its features look at.

    Raises:
        CampaignError: The earliest time is no time.
    """

    def decoder(mapping: EventMapping, form: ValueFormat | None) -> EventDecoder:
        return EventDecoder(
            mapping, plan.event_types, plan.number_paths, plan.category_paths,
            purposes_of(campaign), form, plan.category_columns,
        )  # fmt: skip

    return _by_topic(campaign, schemas, decoder)


def property_decoder(
    campaign: Campaign,
    numbers: Sequence[str],
    categories: Sequence[str],
    schemas: SchemaPort | None = None,
) -> Decoder:
    """Reads properties of the same events that no feature looks at; errors as `event_decoder`."""

    def decoder(mapping: EventMapping, form: ValueFormat | None) -> EventDecoder:
        return EventDecoder(mapping, (), numbers, categories, (), form)

    return _by_topic(campaign, schemas, decoder)


def _by_topic(
    campaign: Campaign,
    schemas: SchemaPort | None,
    decoder: Callable[[EventMapping, ValueFormat | None], EventDecoder],
) -> Decoder:
    """One decoder when all topics are in one format, else one for each format."""
    events = campaign.events
    decoders = {
        name: decoder(mapping_of(events, name), _value_format(events, name, schemas))
        for name in sorted(events.formats)
    }
    if isinstance(events.format, str):
        return decoders[events.format]
    return TopicDecoder({topic: decoders[name] for topic, name in events.format.items()})


def _value_format(
    events: EventMapping, name: EventFormat, schemas: SchemaPort | None
) -> ValueFormat | None:
    if name == "json":
        return FramedJson() if events.framed else None
    if name == "snowplow":
        return SnowplowFormat()
    return FramedFormat(AVRO if name == "avro" else PROTOBUF, schemas or Unasked())
