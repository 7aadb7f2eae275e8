"""The whole of `opportune doctor`: sample, examine, compare with the registry, conclude."""

from __future__ import annotations

from models.errors import BundleError, RegistryError
from models.registry import Registry
from stream.campaign.file import Campaign
from stream.features.plan import FeaturePlan, compile_features
from stream.kafka.skip_list import ReadRules
from stream.policy.known import Known
from trainer.doctor.advice import findings_of
from trainer.doctor.diagnosis import Diagnosis, Finding
from trainer.doctor.examine import Declared, examine, refused_now
from trainer.doctor.sample import take_sample
from trainer.history.source import OnRecords


def diagnose(
    campaign: Campaign,
    bootstrap: str,
    registry: str,
    *,
    records: int,
    now_ms: int,
    oldest: bool = False,
    shows_examples: bool = False,
    on_records: OnRecords | None = None,
) -> Diagnosis:
    """Looks at the topics of a campaign; changes nothing.

    Args:
        campaign: The campaign file.
        bootstrap: Kafka address.
        registry: Where the champion is; what cannot be read there is a finding.
        records: Most records of each topic.
        now_ms: The present, epoch milliseconds.
        oldest: Whether to look at the oldest records instead of the newest.
        shows_examples: Whether ids of customers and events are shown as they are.
        on_records: Told of the progress.

    Raises:
        CampaignError: A worker would not start with the campaign.
        DoctorError: An event topic is missing.
        TrainingError: The broker cannot be reached or refuses.
    """
    plan = compile_features(campaign)
    declared = Declared(campaign, plan, shows_examples)
    events, dead = campaign.topics.events, campaign.topics.dead_letter
    found = take_sample(
        bootstrap, events, [dead], records,
        oldest=oldest, rules=ReadRules.of(campaign), on_records=on_records,
    )  # fmt: skip
    topics = tuple(examine(declared, found[name], now_ms) for name in events)
    letters = refused_now(declared, found[dead], now_ms) if dead in found else {}
    champion, about_model = _champion(campaign, plan, registry)
    findings = findings_of(campaign, plan, topics)
    if letters:
        findings.append(_letters(dead, letters))
    return Diagnosis(
        app=campaign.app, topics=topics, champion=champion, findings=(*findings, *about_model),
        dead_letters={code or "events now": count for code, count in letters.items()},
    )  # fmt: skip


def _letters(topic: str, letters: dict[str, int]) -> Finding:
    told = ", ".join(
        f"{count:,} {code or 'that are events now'}" for code, count in letters.items()
    )
    return Finding(
        topic, f"{sum(letters.values()):,} of the newest dead letters, by what the campaign file says now: {told}",
        "Correct the section [events] or the producer; docs/events.md says what each reason means.",
    )  # fmt: skip


def _champion(campaign: Campaign, plan: FeaturePlan, registry: str) -> tuple[str, list[Finding]]:
    """Version of the champion, and what workers would say of it."""
    try:
        opened = Registry(registry)
        version = opened.pointer("champion")
        manifest = None if version is None else opened.manifest(version)
    except (BundleError, RegistryError, OSError) as exc:
        action = "Name a registry that can be read with --registry."
        return "", [Finding("", f"the registry {registry} cannot be read: {exc}", action)]
    if version is None or manifest is None:
        action = "`opportune train`, which promotes a model when it is good enough."
        return "", [Finding("", f"no champion in {registry}: workers wait for one", action)]
    if manifest.contract_digest != plan.contract.digest:
        what = f"champion {version} is for other features: workers refuse it"
        return version, [Finding("", what, "`opportune train` with this campaign file.")]
    ids = [strategy.id for strategy in campaign.strategies]
    told = Known.of(ids, manifest.strategies, manifest.untrained).words()
    action = "`opportune train` with this campaign file."
    return version, [Finding("", f"champion {version}: {words}", action) for words in told]
