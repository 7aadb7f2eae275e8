"""Settings of topics that break what the campaign, or the worker, relies on.

Pure rules over what a broker says of topics: the worker tells of them at its start, `opportune doctor`
at any time. A setting that the broker did not tell breaks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from stream.campaign.file import Campaign
from stream.campaign.words import duration_ms

CLEANUP, RETENTION, UNCLEAN = "cleanup.policy", "retention.ms", "unclean.leader.election.enable"
PROMISED = (CLEANUP, RETENTION, UNCLEAN)
"""The settings that are looked at."""

_DAY_MS = 86_400_000
_LONGEST = {"day": "1d", "week": "7d", "month": "31d"}
Settings = Mapping[str, Mapping[str, str]]


class Broken(NamedTuple):
    """A setting that breaks a promise.

    Attributes:
        topic: Whose.
        reason: What was expected, what is set, what comes of it, and what to do.
    """

    topic: str
    reason: str


def broken_promises(campaign: Campaign, settings: Settings, changelog: str = "") -> list[Broken]:
    """What the settings of the topics break.

    Args:
        campaign: The campaign file.
        settings: By topic, what the broker told of `PROMISED`.
        changelog: Name of the changelog, empty to leave it out.
    """
    found = [Broken(topic, reason) for topic in campaign.topics.events
             for reason in _of_events(campaign, topic, settings.get(topic, {}))]  # fmt: skip
    decisions = campaign.topics.decisions
    found += [
        Broken(decisions, why) for why in _of_decisions(campaign, settings.get(decisions, {}))
    ]
    if changelog:
        reasons = _of_changelog(changelog, settings.get(changelog, {}))
        found += [Broken(changelog, reason) for reason in reasons]
    for topic, of in settings.items():
        if of.get(UNCLEAN) == "true":
            found.append(Broken(topic, _unclean(topic)))
    return found


def memory_ms(campaign: Campaign) -> int:
    """How far back windows of features and the attribution of outcomes look, milliseconds."""
    windows = [feature.window for feature in campaign.features if feature.window is not None]
    return max(duration_ms(one) for one in (*windows, campaign.training.attribution_window))


def contact_memory_ms(campaign: Campaign) -> int:
    """How far back the rules about contacts look, milliseconds; 0 without any."""
    spans = [cap.within for cap in campaign.caps if cap.within]
    spans += [_LONGEST[cap.per] for cap in campaign.caps if cap.per]
    spans += [exclusive.within for exclusive in campaign.exclusive]
    spans += [strategy.cool_down for strategy in campaign.strategies if strategy.cool_down]
    return max((duration_ms(span) for span in spans), default=0)


def keep_decisions(campaign: Campaign) -> str:
    """The command that has the decision topic keep what the rules about contacts look back to."""
    return (
        f"`kafka-configs.sh --alter --topic {campaign.topics.decisions} --add-config "
        f"{RETENTION}={contact_memory_ms(campaign)}`"
    )


def _of_decisions(campaign: Campaign, settings: Mapping[str, str]) -> Iterator[str]:
    retention_ms, needed_ms = int(settings.get(RETENTION, "-1")), contact_memory_ms(campaign)
    policy = _policy(settings)
    if "delete" in policy and 0 <= retention_ms < needed_ms:
        yield (
            f"expected {RETENTION} of {needed_ms / _DAY_MS:g} days or more of the decision topic, as far as "
            f"the rules about contacts look back, got {retention_ms / _DAY_MS:g} days: who was contacted can "
            "then not be looked up, nor made again when its changelog is lost. Operator action: "
            + keep_decisions(campaign)
        )
    if "compact" in policy:
        yield (
            f"expected {CLEANUP}=delete of the decision topic, got {settings[CLEANUP]}: its key is the "
            "customer, so that compaction keeps the newest decision about each, and what a worker has "
            "published before a crash may be gone when the next one looks. Operator action: "
            f"`kafka-configs.sh --alter --topic {campaign.topics.decisions} --add-config {CLEANUP}=delete`"
        )


def _of_events(campaign: Campaign, topic: str, settings: Mapping[str, str]) -> Iterator[str]:
    policy = _policy(settings)
    if "compact" in policy:
        yield (
            f"expected {CLEANUP}=delete of an event topic, got {settings[CLEANUP]}: of the events of a "
            "customer with one key compaction keeps the newest, so that training and every rebuild of the "
            f"table count too few. Operator action: `kafka-configs.sh --alter --topic {topic} --add-config "
            f"{CLEANUP}=delete`; what is gone may be in an archive"
        )
    retention_ms = int(settings.get(RETENTION, "-1"))
    needed_ms = memory_ms(campaign)
    if "delete" in policy and 0 <= retention_ms < needed_ms:
        yield (
            f"expected {RETENTION} of {needed_ms / _DAY_MS:g} days or more, as far as windows of features "
            f"and training.attribution_window look back, got {retention_ms / _DAY_MS:g} days: a table that "
            "is rebuilt, and every training, know less than the worker has seen. Operator action: raise it, "
            "or archive the topic (`opportune archive`) and train from the archive"
        )


def _of_changelog(topic: str, settings: Mapping[str, str]) -> Iterator[str]:
    policy = _policy(settings)
    if policy and policy != {"compact"}:
        yield (
            f"expected {CLEANUP}=compact of the changelog, got {settings[CLEANUP]}: "
            + ("rows of customers who were quiet for long are deleted" if "delete" in policy else "it grows")
            + f". Operator action: `kafka-configs.sh --alter --topic {topic} --add-config {CLEANUP}=compact`"
        )  # fmt: skip


def _unclean(topic: str) -> str:
    return (
        f"expected {UNCLEAN}=false, got true: when replicas fail, a broker that lacks the last records may "
        "become leader, and what was acknowledged is gone. Operator action: "
        f"`kafka-configs.sh --alter --topic {topic} --add-config {UNCLEAN}=false`"
    )


def _policy(settings: Mapping[str, str]) -> set[str]:
    return {one.strip() for one in settings.get(CLEANUP, "").split(",") if one.strip()}
