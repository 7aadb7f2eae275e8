"""Settings of topics that break what the worker relies on: told at its start, since it can work all the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.campaign.file import Campaign
from stream.campaign.topic_promises import PROMISED, broken_promises
from stream.log import log_event


async def tell_broken_promises(
    admin: AIOKafkaAdminClient, campaign: Campaign, changelogs: Sequence[str]
) -> None:
    """Writes a warning for each setting that breaks a promise.

    Args:
        admin: A client that has been started.
        campaign: The campaign file.
        changelogs: The changelog, when it is there.
    """
    names = [*campaign.topics.events, campaign.topics.decisions, *changelogs]
    asked = [
        ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(PROMISED)) for name in names
    ]
    (response,) = await admin.describe_configs(asked)
    settings = {
        name: {entry[0]: entry[1] for entry in entries}
        for error_code, _, _, name, entries in response.resources
        if error_code == 0
    }
    for topic, reason in broken_promises(campaign, settings, *changelogs):
        log_event("topic_settings", level=logging.WARNING, topic=topic, reason=reason)
