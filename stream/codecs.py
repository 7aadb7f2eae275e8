"""What a campaign file compiles to beside its features: how events are read and decisions written.

The worker starts with it, `opportune check` only tries it: what stops the one is told by the other.
Whoever reads the event topics of a campaign, now or again, has the decoder from here: the trainer and
a parity check see what the worker saw.

A second format of events is a second decoder, chosen in `event_decoder`: it gives what
`stream.events.decoder.EventDecoder` gives, an `EventBatch` and rejects, and the campaign file names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream.campaign.file import Campaign
from stream.campaign.purposes import purposes_of
from stream.decisions.encoder import DecisionEncoder
from stream.events.decoder import EventDecoder
from stream.features.plan import FeaturePlan


@dataclass(frozen=True, slots=True)
class MessageCodecs:
    """Both directions of one campaign.

    Attributes:
        decoder: Of the events of all event topics.
        encoders: Of the decisions about the events of each event topic.
    """

    decoder: EventDecoder
    encoders: dict[str, DecisionEncoder]


def compile_codecs(campaign: Campaign, plan: FeaturePlan) -> MessageCodecs:
    """Compiles the messages of a campaign.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.

    Raises:
        CampaignError: The earliest time is no time, or a property of a strategy cannot be said.
    """
    encoders = {topic: DecisionEncoder(campaign, topic) for topic in campaign.topics.events}
    return MessageCodecs(event_decoder(campaign, plan), encoders)


def event_decoder(campaign: Campaign, plan: FeaturePlan) -> EventDecoder:
    """Reads the event topics of a campaign, with all that its features look at.

    Raises:
        CampaignError: The earliest time is no time.
    """
    return EventDecoder(
        campaign.events, plan.event_types, plan.number_paths, plan.category_paths,
        purposes_of(campaign),
    )  # fmt: skip


def property_decoder(
    campaign: Campaign, numbers: Sequence[str], categories: Sequence[str]
) -> EventDecoder:
    """Reads properties of the same events that no feature looks at; errors as `event_decoder`."""
    return EventDecoder(campaign.events, (), numbers, categories)
