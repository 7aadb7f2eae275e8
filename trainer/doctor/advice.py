"""What in a diagnosis needs somebody to act, the gravest first, each with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stream.campaign.file import Campaign
from stream.campaign.topic_promises import broken_promises
from stream.features.operators import ANY
from stream.features.plan import FeaturePlan
from stream.keys.key_sample import KEYS_MIN, Placed, disagreement
from trainer.doctor.diagnosis import Finding, TopicDiagnosis
from trainer.doctor.forms import BATCH
from trainer.doctor.paths import PathCount, closest

SHARE_MIN = 0.01
"""Share of the records or events that is worth a finding."""
_SHOWN_MAX = 6
_NO_TIME = "a number too small for a time"


def findings_of(
    campaign: Campaign,
    plan: FeaturePlan,
    topics: Sequence[TopicDiagnosis],
) -> list[Finding]:
    """What there is to act on in the event topics.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        topics: What they showed.
    """
    looks: tuple[Callable[[TopicDiagnosis], Iterator[Finding]], ...] = (
        _empty, _forms, _refused, _keys, _unreadable, _times, _skew, _repeated,
    )  # fmt: skip
    found = [finding for look in looks for one in topics for finding in look(one)]
    placed = {one.topic: Placed(KEYS_MIN, one.keys.fit) for one in topics if one.keys.partitioner}
    if reason := disagreement(placed):
        found.append(_split("", reason))
    found += [
        *_types(campaign, plan, topics),
        *_never(topics),
        *(_split(topic, reason) for topic, reason in _broken(campaign, topics)),
    ]
    return found


def _empty(one: TopicDiagnosis) -> Iterator[Finding]:
    if one.records == 0:
        yield Finding(
            one.topic, "expected records, got none", "Let the producers send, then run this again."
        )


def _forms(one: TopicDiagnosis) -> Iterator[Finding]:
    refused = sum(one.refused.values())
    for name, remedy in one.remedies.items():
        count = one.forms[name]
        # What is read all the same needs no remedy; batches that nobody opens may be taken for one event.
        is_read = 2 * refused < count and not name.startswith(BATCH)
        if count >= SHARE_MIN * one.records and not is_read:
            yield Finding(
                one.topic, f"{count:,} of {one.records:,} values look like {name}", f"{remedy}."
            )


def _refused(one: TopicDiagnosis) -> Iterator[Finding]:
    if one.records and one.events == 0:
        code, example = next(iter(one.examples.items()), ("", ""))
        yield Finding(
            one.topic, f"none of {one.records:,} records is an event; {code}: {example}",
            "Correct the section [events] of the campaign file, or the producer.",
        )  # fmt: skip
        return
    for code, count in one.refused.items():
        if count >= SHARE_MIN * one.records:
            yield Finding(
                one.topic,
                f"{count:,} of {one.records:,} records are no events: {code}, such as: {one.examples[code]}",
                "docs/events.md says what each reason means.",
            )


def _keys(one: TopicDiagnosis) -> Iterator[Finding]:
    keys = one.keys
    if keys.null + keys.differ > SHARE_MIN * one.events:
        yield Finding(
            one.topic,
            f"expected events keyed by their customer, got {keys.null:,} without a key and {keys.differ:,} "
            f"with another, of {one.events:,}: one customer may have several rows, each with a part of "
            "the events and of what was said about consent",
            "Have the producers send the customer id as key, or copy the topic keyed by customer.",
        )


def _unreadable(one: TopicDiagnosis) -> Iterator[Finding]:
    for path in one.paths:
        if path.unreadable > SHARE_MIN * max(path.seen, 1):
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in path.kinds.items())
            yield Finding(
                one.topic,
                f"{path.unreadable:,} of {path.seen:,} values at {path.path} cannot be read as "
                f"{path.wanted}: {kinds}; such as {' | '.join(path.examples)}",
                "Have the producer send plain numbers and ISO 8601 times, or name another path.",
            )


def _times(one: TopicDiagnosis) -> Iterator[Finding]:
    units = {kind: n for kind, n in one.times.items() if "epoch" in kind}
    if len(units) > 1 or one.times.get(_NO_TIME):
        told = ", ".join(f"{count:,} {kind}" for kind, count in one.times.items())
        yield Finding(
            one.topic, f"event times are written in several ways: {told}",
            "Have the producers agree on one: the unit of a number is guessed by its size.",
        )  # fmt: skip


def _skew(one: TopicDiagnosis) -> Iterator[Finding]:
    if one.skew is not None and one.skew.ahead > SHARE_MIN * one.events:
        yield Finding(
            one.topic,
            f"{one.skew.ahead:,} of {one.events:,} events are further ahead of their record than "
            "events.timestamp_ahead_max: they count at a corrected time",
            "Set the clocks of the senders, or name a path whose clock is right in events.timestamp.",
        )


def _repeated(one: TopicDiagnosis) -> Iterator[Finding]:
    if one.repeated > SHARE_MIN * one.events:
        yield Finding(
            one.topic,
            f"{one.repeated:,} of {one.events:,} events have an event id that came before in the sample",
            "Look for a producer without idempotence or a connector that sends again; or "
            "events.event_id names something that is no id.",
        )


def _types(
    campaign: Campaign, plan: FeaturePlan, topics: Sequence[TopicDiagnosis]
) -> Iterator[Finding]:
    """Types that the file names and that never came, with those that came and look like them."""
    seen: dict[str, int] = {}
    for one in topics:
        for name, count in one.types.items():
            seen[name] = seen.get(name, 0) + count
    if not seen:
        return
    named = {*plan.event_types, *campaign.decisions.on} - {ANY}
    for name in sorted(named - set(seen)):
        close = closest(name, {other: n for other, n in seen.items() if other not in named})
        meant = f"; is {' or '.join(repr(one) for one in close)} meant?" if close else ""
        others = ", ".join(list(seen)[:_SHOWN_MAX])
        yield Finding(
            "", f'no event of the type "{name}" came, which the campaign file names{meant}',
            f"Correct the name in the campaign file, or the producer. Types that came: {others}.",
        )  # fmt: skip


def _never(topics: Sequence[TopicDiagnosis]) -> Iterator[Finding]:
    """Paths of features at which nothing stood in any topic."""
    paths: dict[str, list[PathCount]] = {}
    for one in topics:
        for path in one.paths if one.types else ():
            paths.setdefault(path.path, []).append(path)
    for name, counts in paths.items():
        if any(one.seen for one in counts) or counts[0].wanted not in ("number", "category"):
            continue
        close = list(dict.fromkeys(path for one in counts for path in one.close))
        meant = f"; is {' or '.join(close)} meant?" if close else ""
        yield Finding(
            "", f"nothing ever stood at {name}, which features look at: they are constant{meant}",
            "Correct the path in the campaign file, or the producer.",
        )  # fmt: skip


def _broken(campaign: Campaign, topics: Sequence[TopicDiagnosis]) -> list[tuple[str, str]]:
    return list(broken_promises(campaign, {one.topic: one.settings for one in topics}))


def _split(topic: str, reason: str) -> Finding:
    """A reason that ends with who acts, in two."""
    what, _, action = reason.partition(". Operator action: ")
    return Finding(topic, what, f"{action[:1].upper()}{action[1:]}.")
