"""What a campaign file compiles to beside its features: how events are read and decisions written.

The worker starts with it, `opportune check` only tries it: what stops the one is told by the other.
Whoever reads the event topics of a campaign, now or again, has the decoder from here: the trainer and
a parity check see what the worker saw.

The format of events is chosen here as well: JSON, which the decoder reads itself, or one of
`stream.formats`, which ask a schema registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream.campaign.file import Campaign, EventMapping
from stream.campaign.purposes import purposes_of
from stream.decisions.encoder import DecisionEncoder
from stream.events.cloudevents.envelopes import ValueFormat
from stream.events.decoder import EventDecoder
from stream.features.plan import FeaturePlan
from stream.formats.avro.avro_language import AVRO
from stream.formats.framed_json import FramedJson
from stream.formats.port import SchemaPort, Unasked
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.formats.reading import FramedFormat


@dataclass(frozen=True, slots=True)
class MessageCodecs:
    """Both directions of one campaign.

    Attributes:
        decoder: Of the events of all event topics.
        encoders: Of the decisions about the events of each event topic.
    """

    decoder: EventDecoder
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
) -> EventDecoder:
    """Reads the event topics of a campaign, with all that its features look at.

    Raises:
        CampaignError: The earliest time is no time.
    """
    return EventDecoder(
        campaign.events, plan.event_types, plan.number_paths, plan.category_paths,
        purposes_of(campaign), _value_format(campaign.events, schemas),
    )  # fmt: skip


def property_decoder(
    campaign: Campaign,
    numbers: Sequence[str],
    categories: Sequence[str],
    schemas: SchemaPort | None = None,
) -> EventDecoder:
    """Reads properties of the same events that no feature looks at; errors as `event_decoder`."""
    events = campaign.events
    return EventDecoder(events, (), numbers, categories, (), _value_format(events, schemas))


def _value_format(events: EventMapping, schemas: SchemaPort | None) -> ValueFormat | None:
    if events.format == "json":
        return FramedJson() if events.framed else None
    language = AVRO if events.format == "avro" else PROTOBUF
    return FramedFormat(language, schemas or Unasked())
