"""What a sample of the topics of a campaign shows, as plain data: the JSON of `opportune doctor`.

The keys are an interface: they are only added to.
"""

from __future__ import annotations

from msgspec import Struct

from trainer.doctor.paths import PathCount


class Finding(Struct, frozen=True):
    """Something to look at.

    Attributes:
        topic: Where; empty for the campaign as a whole.
        what: What was expected and what is there.
        action: What to do.
    """

    topic: str
    what: str
    action: str


class Skew(Struct, frozen=True):
    """How much older events are than their records, seconds, after clocks that are ahead were corrected.

    Attributes:
        p01_s: 1 % are below it.
        p50_s: The median.
        p99_s: 99 % are below it.
        ahead: Events that said a time further ahead than `events.timestamp_ahead_max`.
    """

    p01_s: float
    p50_s: float
    p99_s: float
    ahead: int


class KeyFacts(Struct, frozen=True):
    """What keys the events have.

    Attributes:
        null: None.
        differ: Another than their customer.
        partitioner: Which has placed them; empty when few keys cannot say.
        fit: Share of the keys that each known one puts where they are.
    """

    null: int
    differ: int
    partitioner: str
    fit: dict[str, float]


class TopicDiagnosis(Struct, frozen=True, kw_only=True):
    """One event topic.

    Attributes:
        topic: Its name.
        partitions: How many.
        held: Offsets that it holds.
        records: Records of the sample.
        events: Those of them that are events.
        first_ms: Oldest record timestamp of the sample, epoch milliseconds, None without records.
        last_ms: The newest.
        settings: What the broker tells of the topic.
        forms: What the values look like, most frequent first.
        remedies: What to do about those of the forms that cannot be read as they are.
        refused: Records that are no events, by reason code.
        examples: A reason in full for each code.
        keys: What keys the events have.
        skew: Event times against record timestamps, None without events.
        times: How event times are written.
        types: Events by type, most frequent first.
        paths: What stood at each declared path.
        consent: What was said of consent, by path and value.
        granted: Customers whose last word was yes.
        denied: Customers whose last word was no, or cannot be read.
        customers: Different customers.
        repeated: Events whose id had come before, in the sample.
    """

    topic: str
    partitions: int
    held: int
    records: int
    events: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    settings: dict[str, str] = {}
    forms: dict[str, int] = {}
    remedies: dict[str, str] = {}
    refused: dict[str, int] = {}
    examples: dict[str, str] = {}
    keys: KeyFacts = KeyFacts(0, 0, "", {})
    skew: Skew | None = None
    times: dict[str, int] = {}
    types: dict[str, int] = {}
    paths: tuple[PathCount, ...] = ()
    consent: dict[str, int] = {}
    granted: int = 0
    denied: int = 0
    customers: int = 0
    repeated: int = 0


class Diagnosis(Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        app: Of the campaign.
        topics: The event topics.
        dead_letters: Newest dead letters by reason code.
        champion: Version of the champion, empty without one or without a registry.
        findings: What to look at, the gravest first.
    """

    app: str
    topics: tuple[TopicDiagnosis, ...]
    dead_letters: dict[str, int] = {}
    champion: str = ""
    findings: tuple[Finding, ...] = ()
