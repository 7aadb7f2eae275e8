"""The parity check. Read this file first.

    decision topic -> `logged`: places, models, vectors ┐
                                                        ├ by topic, partition, offset: same bits?
    event topics -> `partition`: features after each     ┘

Partition after partition: the decisions of one are held in memory while its events go by. `explain`
says why what differs may differ, `findings` adds up, `report` is what comes out.
"""

from __future__ import annotations

from models.registry import Registry
from stream.campaign.file import Campaign
from stream.features.plan import compile_features
from stream.state.changelog_name import topic_name
from trainer.errors import TrainingError
from trainer.history.topics import Extent
from trainer.parity.archived import ArchivedTopics
from trainer.parity.bundles import Bundles
from trainer.parity.caught_up import caught_up
from trainer.parity.explain import Holds
from trainer.parity.findings import Findings
from trainer.parity.logged import Scope
from trainer.parity.partition import Subject, compare_partition
from trainer.parity.partition_reader import Topics
from trainer.parity.result import Parity

_NOTHING = Extent(0, 0)


def check_parity(
    campaign: Campaign,
    registry: Registry,
    topics: Topics | ArchivedTopics,
    scope: Scope,
    *,
    show_customers: bool = False,
) -> Parity:
    """Compares what workers logged with a replay of the event topics.

    Args:
        campaign: The campaign file.
        registry: The models that decided.
        topics: Its decision topic and event topics.
        scope: What is asked about.
        show_customers: Whether findings name the customer.

    Raises:
        TrainingError: The campaign's decisions carry no vectors, or the registry or the topics cannot
            be read.
    """
    _expect_vectors(campaign)
    plan = compile_features(campaign)
    subject = Subject(campaign, plan, Bundles(registry, plan.contract), scope, show_customers)
    findings = Findings(plan.names)
    # Decisions first: then each finds its event, and events that came since are not decided yet.
    names = (campaign.topics.decisions, *campaign.topics.events)
    held = [topics.extents(name) for name in names]
    changelog = topic_name(campaign.app, plan.layout_digest)
    is_alone = len(campaign.topics.events) == 1
    markers = {} if is_alone else topics.extents_if_there(changelog)
    findings.partitions = max(map(len, held))
    for partition in sorted(set().union(*held)):
        extents = [extents.get(partition, _NOTHING) for extents in held]
        decisions, *events = (
            topics.chunks(name, partition, extent)
            for name, extent in zip(names, extents, strict=True)
        )
        archived = [topics.archived(name, partition) for name in names[1:]]
        aligned = caught_up(topics, changelog, partition, markers.get(partition, _NOTHING))
        holds = Holds(partition, extents[0], extents[1:], archived, aligned)
        compare_partition(subject, holds, decisions, events, findings)
    return findings.report(campaign.app, plan.contract.digest, scope.share)


def _expect_vectors(campaign: Campaign) -> None:
    decisions = campaign.decisions
    if decisions.format != "cloudevents" or not decisions.feature_header:
        raise TrainingError(
            'expected decisions.format = "cloudevents" and decisions.feature_header = true, got '
            f'"{decisions.format}" and {str(decisions.feature_header).lower()}: only such decisions '
            "say which event they are about and carry the vector that was scored"
        )
