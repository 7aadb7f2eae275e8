"""From the records of one topic to what they show. No I/O and no clock.

Whether a record is an event is asked of the decoder of the worker; what stands in it, of the plain JSON.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream.campaign.file import Campaign
from stream.codecs import event_decoder
from stream.columns import EventBatch, Int64s, RecordChunk, Reject
from stream.events.consent.vocabulary import NOT_SAID, UNREADABLE, WITHDRAWN
from stream.events.present import Root
from stream.features.plan import FeaturePlan
from stream.formats.snowplow.snowplow_columns import mapping_of
from stream.kafka.headers import read_headers
from stream.keys.customer_keys import compare_keys
from stream.keys.key_sample import KeySample
from stream.schemas.registry import registry_of
from stream.state.table import CustomerTable
from stream.visible import visible
from trainer.doctor.diagnosis import KeyFacts, Skew, TopicDiagnosis
from trainer.doctor.forms import BATCH, form_of, parsed
from trainer.doctor.paths import count_path, epoch_kind, paths_of
from trainer.doctor.roots import at, roots_of
from trainer.doctor.sample import TopicSample

_ORIGIN = "topic"
"""The header of a dead letter that says it, see docs/events.md."""
_REASON_CHARS_MAX = 300
_VALUE_CHARS_MAX = 40


@dataclass(frozen=True, slots=True)
class Declared:
    """What a campaign file looks for in events.

    Attributes:
        campaign: The campaign file.
        plan: Its compiled features.
        shows_examples: Whether ids are shown as they are.
    """

    campaign: Campaign
    plan: FeaturePlan
    shows_examples: bool = False

    @property
    def paths(self) -> list[tuple[str, str, bool]]:
        """Each path, what it is for, and whether what stands there may be personal."""
        mapping, hidden = self.campaign.events, not self.shows_examples
        if mapping.formats == {"snowplow"}:
            mapping = mapping_of(mapping, "snowplow")
        numbers = len(self.plan.number_paths)
        return [
            *((path, "customer id", hidden) for path in mapping.customer_id),
            *((path, "event id", hidden) for path in mapping.event_id),
            *((path, "event type", False) for path in mapping.type),
            *((path, "time", False) for path in mapping.timestamp),
            *((path, "number", False) for path in self.plan.number_paths),
            *((path, "category", False) for path in self.plan.property_paths[numbers:]),
        ]


def examine(declared: Declared, sample: TopicSample, now_ms: int) -> TopicDiagnosis:
    """What the sample of an event topic shows.

    Args:
        declared: What is looked for.
        sample: Its records.
        now_ms: The present, epoch milliseconds.
    """
    seen = _Seen(declared, now_ms)
    for chunk in sample.chunks:
        seen.add(chunk)
    return seen.diagnosis(sample)


def refused_now(declared: Declared, sample: TopicSample, now_ms: int) -> dict[str, int]:
    """Dead letters by what the campaign file says of them now; "" for those that are events now."""
    seen = _Seen(declared, now_ms)
    for chunk in sample.chunks:
        for part in _by_origin(declared.campaign, chunk):
            seen.add(part)
    return dict(Counter({"": seen.events} if seen.events else {}) + seen.refused)


def _by_origin(campaign: Campaign, letters: RecordChunk) -> list[RecordChunk]:
    """Dead letters by the event topic that they came from, where topics are not in one format."""
    if isinstance(campaign.events.format, str):
        return [letters]
    headers = letters.headers
    origin = [
        dict(read_headers(None if headers is None else headers[i])).get(_ORIGIN)
        for i in range(len(letters))
    ]
    return [
        replace(letters.take(np.array(rows)), topic=topic)
        for topic in campaign.topics.events
        if (rows := [i for i, name in enumerate(origin) if name == topic.encode()])
    ]


class _Seen:
    """Adds up chunks."""

    def __init__(self, declared: Declared, now_ms: int) -> None:
        self._declared = declared
        self._now_ms = now_ms
        self._decoder = event_decoder(
            declared.campaign, declared.plan, registry_of(declared.campaign.events)
        )
        self._customers = CustomerTable(1)
        self._keys = KeySample()
        self._null = self._differ = self._ahead = 0
        self._age_ms: list[Int64s] = []
        self._consent = np.zeros(0, np.int8)
        self._event_ids: Counter[bytes] = Counter()
        self._roots: list[Root] = []
        self._received_ms: list[Int64s] = []
        self.events = 0
        self.forms: Counter[str] = Counter()
        self.remedies: dict[str, str] = {}
        self.refused: Counter[str] = Counter()
        self.examples: dict[str, str] = {}

    def add(self, chunk: RecordChunk) -> None:
        """Takes the records of one partition, in the order of their offsets."""
        decoded = self._decoder.decode(chunk, self._now_ms)
        self._received_ms.append(chunk.timestamp_ms)
        self._keys.add(chunk)
        refused = {reject.record for reject in decoded.rejects}
        mapping = self._declared.campaign.events
        for i in range(len(chunk)):
            value = chunk.value[i]
            headers = read_headers(None if chunk.headers is None else chunk.headers[i])
            form = form_of(value, headers)
            self.forms[form.name] += 1
            unread = form.name.startswith(BATCH) and form.name != f"{BATCH}`{mapping.batch}`"
            if form.remedy and (unread or i in refused):
                self.remedies[form.name] = form.remedy
            self._roots += roots_of(mapping, parsed(value), headers)
        for reject in decoded.rejects:
            self._refuse(reject)
        self._ahead += decoded.flaws.ahead
        self._take(chunk, decoded.batch)

    def _refuse(self, reject: Reject) -> None:
        self.refused[reject.code] += 1
        self.examples.setdefault(reject.code, self._reason(reject.reason)[:_REASON_CHARS_MAX])

    def _reason(self, reason: str) -> str:
        """A reason, without what came where that may be the id of a customer."""
        hidden = any(personal and f" at {p}" in reason for p, _, personal in self._declared.paths)
        told = f"{reason.partition(', got ')[0]}, got what --examples shows" if hidden else reason
        return visible(told)

    def _take(self, chunk: RecordChunk, batch: EventBatch) -> None:
        self.events += int((~batch.consent_only).sum())
        null, differ = compare_keys(chunk, batch)
        self._null, self._differ = self._null + null, self._differ + differ
        known = batch.received_ms >= 0
        self._age_ms.append((batch.received_ms - batch.time_ms)[known])
        rows = self._customers.rows_for(batch.customer)
        self._consent = np.append(
            self._consent, np.full(self._customers.rows - len(self._consent), -1, np.int8)
        )
        general = batch.consent[0]
        said = general != NOT_SAID
        self._consent[rows[said]] = general[said]  # of several the last is kept
        ids = (batch.event_id[i] for i in range(len(batch)))
        self._event_ids.update(one for one in ids if one is not None)

    def diagnosis(self, sample: TopicSample) -> TopicDiagnosis:
        """What the chunks showed together."""
        placed = self._keys.placed(len(sample.extents)).get(sample.topic)
        received_ms = np.concatenate(self._received_ms) if self._received_ms else np.zeros(0)
        received_ms = received_ms[received_ms >= 0]
        return TopicDiagnosis(
            topic=sample.topic,
            partitions=len(sample.extents),
            held=sample.held,
            records=self.forms.total(),
            events=self.events,
            first_ms=int(received_ms.min()) if len(received_ms) else None,
            last_ms=int(received_ms.max()) if len(received_ms) else None,
            settings=dict(sample.settings),
            forms=dict(self.forms.most_common()),
            remedies=self.remedies,
            refused=dict(self.refused.most_common()),
            examples=self.examples,
            keys=KeyFacts(
                self._null, self._differ,
                placed.partitioner if placed else "", dict(placed.fit) if placed else {},
            ),
            skew=_skew(self._age_ms, self._ahead),
            **_contents(self._declared, self._roots),
            granted=int((self._consent == 1).sum()),
            denied=int(((self._consent == WITHDRAWN) | (self._consent == UNREADABLE)).sum()),
            customers=len(self._customers),
            repeated=sum(count - 1 for count in self._event_ids.values()),
        )  # fmt: skip


def _contents(declared: Declared, roots: Sequence[Root]) -> dict[str, Any]:
    """What stands in the objects: types, times, consent, and each declared path."""
    mapping, seen = declared.campaign.events, paths_of(roots)
    types: Counter[str] = Counter()
    times: Counter[str] = Counter()
    consent: Counter[str] = Counter()
    for root in roots:
        found = next((kind for p in mapping.type if (kind := at(root, p)) is not None), None)
        types[visible(found)[:_VALUE_CHARS_MAX] if isinstance(found, str) else ""] += 1
        stamp = next((time for p in mapping.timestamp if (time := at(root, p)) is not None), None)
        times["none" if stamp is None else epoch_kind(stamp)] += 1
        for path in mapping.consent:
            said = at(root, path)
            if said is not None:
                consent[f"{path}: {visible(said)[:_VALUE_CHARS_MAX]}"] += 1
    del types[""]
    paths = [
        count_path(path, wanted, roots, seen, personal=personal)
        for path, wanted, personal in declared.paths
    ]
    return {
        "types": dict(types.most_common()), "times": dict(times.most_common()),
        "consent": dict(consent.most_common()), "paths": tuple(paths),
    }  # fmt: skip


def _skew(ages_ms: Sequence[Int64s], ahead: int) -> Skew | None:
    age_ms = np.concatenate(ages_ms) if ages_ms else np.zeros(0, np.int64)
    if len(age_ms) == 0:
        return None
    low, middle, high = (float(one) / 1e3 for one in np.quantile(age_ms, (0.01, 0.5, 0.99)))
    return Skew(round(low, 1), round(middle, 1), round(high, 1), ahead)
