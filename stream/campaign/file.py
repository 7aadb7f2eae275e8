"""The campaign file `opportune.toml`: one validated, frozen description of a service.

Rules of this file
1. Every tunable has its unit in its name or is a duration ("30d"), and its bound in its type.
2. A wrong file is refused with the path in the file, the value and what was expected.
3. No secret lives here: the file systems of registry and archive take theirs from the environment.
4. Structure only. What the features mean is compiled in `stream.features.plan`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, field

from stream.campaign.consent_sections import (
    ConsentWord,
    PurposeSpec,
    SuppressionSpec,
    wrong_purpose,
    wrong_suppression,
)
from stream.campaign.explain import explain
from stream.campaign.field_path import wrong_path
from stream.campaign.funnel_sections import ExplorationSpec, Holdouts, wrong_funnel
from stream.campaign.operator_table import OPERATORS, Transform
from stream.campaign.sections.contact_sections import ContactRules, StrategyContacts, wrong_contacts
from stream.campaign.sections.table_section import TableSpec, wrong_table
from stream.campaign.topics_section import (
    EventFormats,
    Topics,
    shared_topic,
    wrong_anew,
    wrong_batch,
    wrong_format,
    wrong_skip,
)
from stream.campaign.training import EvaluationSpec, GateSpec, ModelSpec, SearchSpec, TrainingSpec
from stream.campaign.words import Duration, FieldPath, KafkaAddress, Name, Section
from stream.errors import CampaignError


class EventMapping(EventFormats, frozen=True):
    """Where each part of an event stands in its JSON; of several paths the first present wins.

    The default reads the Segment/RudderStack spec (track, identify, page, screen), bare or as the
    `data` of a CloudEvent. The type of a `track` call is its `event`, of the others the call itself.
    Of consent all paths count, not only the first: docs/consent.md.

    With `login = "merge"` a login event, which has a customer and an id from before at `previous_id`,
    carries what is known of that id over to the customer.
    """

    customer_id: tuple[FieldPath, ...] = ("userId", "anonymousId")
    no_ids: tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...] = (
        "undefined", "null", "none", "nil", "nan", "0", "00000000-0000-0000-0000-000000000000",
        "unknown", "anonymous", "n/a", "[object Object]",
    )  # fmt: skip
    event_id: tuple[FieldPath, ...] = ("messageId",)
    type: tuple[FieldPath, ...] = ("event", "type")
    timestamp: tuple[FieldPath, ...] = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
    consent: tuple[FieldPath, ...] = ("traits.marketing_consent", "context.consent.marketing")
    consent_opt_out: tuple[FieldPath, ...] = ()
    consent_names: Annotated[tuple[ConsentWord, ...], Meta(max_length=16)] = (
        "marketing", "advertising", "targeted_advertising",
    )  # fmt: skip
    consent_categories: tuple[FieldPath, ...] = ("context.consent.categoryPreferences",)
    consent_allowed_ids: tuple[FieldPath, ...] = ("context.consentManagement.allowedConsentIds",)
    consent_denied_ids: tuple[FieldPath, ...] = ("context.consentManagement.deniedConsentIds",)
    consent_strategy: tuple[FieldPath, ...] = ("context.consentManagement.resolutionStrategy",)
    consent_xdm: tuple[FieldPath, ...] = ("consents.marketing",)
    consent_granted: Annotated[tuple[ConsentWord, ...], Meta(max_length=64)] = ()
    consent_denied: Annotated[tuple[ConsentWord, ...], Meta(max_length=64)] = ()
    sent_at: tuple[FieldPath, ...] = ("sentAt",)
    cloudevents: bool = True
    strict: bool = False
    time_zone: str = "UTC"
    timestamp_earliest: str = "2000-01-01T00:00:00Z"
    timestamp_ahead_max: Duration = "5m"
    value_bytes_max: Annotated[int, Meta(ge=64, le=16 << 20)] = 1 << 20
    repeats_remembered: Annotated[int, Meta(ge=0, le=1024)] = 16
    tombstones: Literal["ignore", "letter", "forget"] = "ignore"
    login: Literal["separate", "merge"] = "separate"
    login_events: Annotated[tuple[str, ...], Meta(min_length=1)] = ("identify", "alias", "merge")
    previous_id: Annotated[tuple[FieldPath, ...], Meta(min_length=1)] = (
        "previousId",
        "anonymousId",
    )


if TYPE_CHECKING:
    FeatureOp: TypeAlias = str
else:
    FeatureOp = Literal[tuple(OPERATORS)]


class FeatureSpec(Section, frozen=True):
    """One `[[features]]` entry; it expands to one feature per event type and half-life.

    Attributes:
        op: The operator, see docs/features.md.
        events: Event types it looks at; "*" is every event.
        name: One feature with this name over all the events, instead of one per event.
        property: Path of the number (`sum`, `window_sum`, `last`) or category (`share`, `distinct`). A
            range such as properties.pixel_{0..783} stands for so many entries; properties.products[].price
            is the sum over a list, properties.products[] how many elements it has.
        time_zone: IANA name of the zone of `time_of_day` and `day_of_week`, also of customers whose own
            is not known; their `property` is the path of it in events.
        half_lives: Half-lives of `count`, `sum` and `share`.
        window: Length of `window_count`, `window_sum`, `distinct`; a multiple of `tile`.
        tile: Resolution of the window.
        cap: Longest time that `recency` and `tenure` report, and what `recency` reports for never.
        buckets: Hash buckets of `share`.
        transform: Before normalization; the operator's own when not given.
    """

    op: FeatureOp
    events: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$")] | None = None
    property: FieldPath | None = None
    time_zone: str = "UTC"
    half_lives: tuple[Duration, ...] = ()
    window: Duration | None = None
    tile: Duration = "1d"
    cap: Duration = "90d"
    buckets: Annotated[int, Meta(ge=2, le=64)] = 16
    transform: Transform | None = None


StrategyId = Annotated[
    str,
    Meta(
        pattern=r"^(?!nothing\Z)[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z",
        description='a name of letters, digits, dots, dashes and underscores, and not "nothing", '
        "which is always there",
    ),
]


class StrategySpec(StrategyContacts, frozen=True, kw_only=True):
    """What a campaign engine may be told to do. Doing nothing is always there and not listed.

    Value and cost have a bound: six decimals of a sum stay exact in a float64 far beyond it. One that
    is not enabled is never chosen, and the model goes on to know it. A transactional one is taken for
    its own sake: its value is certain, and chance has no part in it.
    """

    id: StrategyId
    enabled: bool = True
    channel: str = ""
    campaign_id: str = ""
    value: Annotated[float, Meta(ge=-1e9, le=1e9)] = 1.0
    cost: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    value_from: str = ""
    weight: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    transactional: bool = False
    eligible: tuple[str, ...] = ()
    purposes: Annotated[tuple[Name, ...], Meta(max_length=16)] = ()
    properties: dict[str, str | int | float | bool] = field(default_factory=dict)


class PolicySpec(Section, frozen=True):
    """How a strategy is chosen from the scores."""

    version: Name = "1"
    consent: Literal["opt_out", "opt_in", "ignore"] = "opt_out"
    do_nothing: bool = True
    fallback: str = ""
    without_model: Literal["wait", "explore"] = "wait"


class DecisionSpec(Section, frozen=True):
    """What is published.

    Attributes:
        format: One of the two forms of docs/decisions.md.
        on: Event types that ask for a decision; "*" is all.
        source: Of the CloudEvents.
        expires_after: From the time of the event until nobody may act on the decision any more.
        feature_header: Whether the feature vector is published beside it.
    """

    format: Literal["cloudevents", "flat"] = "cloudevents"
    on: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    source: str = "/opportune"
    expires_after: Duration = "1h"
    feature_header: bool = True


class WorkerSpec(Section, frozen=True):
    """Limits of one worker process."""

    chunk_events_max: Annotated[int, Meta(ge=1, le=65_536)] = 4096
    commit_interval_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1000
    revoke_deadline_s: Annotated[float, Meta(ge=0.1, le=300)] = 20.0
    session_timeout_s: Annotated[float, Meta(ge=6, le=300)] = 10.0
    summary_interval_s: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    stuck_after_s: Annotated[float, Meta(ge=5, le=86_400)] = 120.0
    fetch_bytes_max: Annotated[int, Meta(ge=1024, le=64 << 20)] = 4 << 20
    unpacked_bytes_max: Annotated[int, Meta(ge=1 << 20, le=1 << 30)] | None = None  # by the fetch
    compression: Literal["none", "lz4", "zstd"] = "none"
    replication: Literal[-1, 1, 2, 3, 4, 5] = -1  # -1: default.replication.factor of the broker
    health_file: str = ""
    snapshots: str = ""


class Campaign(ContactRules, frozen=True, kw_only=True):
    """The whole file. Topics and features are required, but of one that is for tables alone."""

    app: Name
    strategies: Annotated[tuple[StrategySpec, ...], Meta(min_length=1, max_length=200)]
    topics: Topics = Topics(events=())
    features: Annotated[tuple[FeatureSpec, ...], Meta(min_length=1, max_length=500)] = ()
    bootstrap: KafkaAddress = "localhost:9092"
    events: EventMapping = EventMapping()
    purposes: Annotated[tuple[PurposeSpec, ...], Meta(max_length=15)] = ()
    suppressions: Annotated[tuple[SuppressionSpec, ...], Meta(max_length=64)] = ()
    policy: PolicySpec = PolicySpec()
    holdouts: Holdouts = ()
    exploration: ExplorationSpec = ExplorationSpec()
    decisions: DecisionSpec = DecisionSpec()
    model: ModelSpec = ModelSpec()
    training: TrainingSpec = TrainingSpec()
    search: SearchSpec = SearchSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    gate: GateSpec = GateSpec()
    table: TableSpec = TableSpec()
    worker: WorkerSpec = WorkerSpec()


_CHARS_MAX = 4 << 20
"""Hundreds of times the largest campaign; what is longer is another file."""


def load(path: str | Path) -> Campaign:
    """Reads and validates a campaign file.

    Raises:
        CampaignError: The file is missing, is no TOML, or breaks a rule; says which and where.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_CHARS_MAX + 1)
    except OSError as exc:
        raise CampaignError(f"{path}: expected a campaign file, {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise CampaignError(
            f"{path}: expected UTF-8, got byte {exc.object[exc.start]:#04x}"
        ) from exc
    return parse(text, where=str(path))


def parse(text: str, where: str = "campaign") -> Campaign:
    """Validates the text of a campaign file; `where` names it in errors."""
    if len(text) > _CHARS_MAX:
        raise CampaignError(f"{where}: expected at most {_CHARS_MAX} characters, got more")
    try:
        raw = tomllib.loads(text)
    except RecursionError as exc:
        raise CampaignError(f"{where}: expected TOML, got brackets nested without end") from exc
    except ValueError as exc:  # its own error, and that of an integer of thousands of digits
        raise CampaignError(f"{where}: expected TOML, {exc}") from exc
    try:
        campaign = msgspec.convert(raw, Campaign, strict=True)
    except msgspec.ValidationError as exc:
        raise CampaignError(f"{where}: {explain(Campaign, raw, str(exc))}") from exc
    for contradiction in (
        shared_topic(campaign.topics, campaign.app),
        wrong_skip(campaign.topics),
        wrong_anew(campaign.topics),
        _repeated_strategy(campaign),
        wrong_contacts(campaign),
        wrong_format(campaign.topics, campaign.events),
        wrong_batch(campaign.events),
        wrong_path(campaign),
        wrong_purpose(campaign),
        wrong_suppression(campaign),
        wrong_funnel(campaign),
        wrong_table(campaign, raw),
    ):
        if contradiction:
            raise CampaignError(f"{where}: {contradiction}")
    return campaign


def _repeated_strategy(campaign: Campaign) -> str:
    """Which strategy is there twice, "" if none is."""
    ids = [strategy.id for strategy in campaign.strategies]
    for i, name in enumerate(ids):
        if name in ids[:i]:
            return f'at strategies[{i}].id: expected each id once, got "{name}" again'
    return ""
