"""What a parity check found, as plain data: the JSON report.

The keys are an interface: they are only added to.
"""

from __future__ import annotations

from msgspec import Struct

CONCLUSIVE_MIN = 0.01
"""Share of the decisions that has to say something."""


class Where(Struct, frozen=True):
    """An event, or a record of the decision topic when its event is not known.

    The customer is null unless it was asked for: whoever needs it finds it at the offset. The index is
    that in the batch of the record, null when the record is the event.
    """

    topic: str
    partition: int
    offset: int
    customer: str | None
    index: int | None = None


class Finding(Struct, frozen=True):
    """One cause.

    Attributes:
        cause: Its name.
        explains: Whether it makes the difference understandable; else it is a fault.
        count: How many decisions or events.
        first: The first one.
        meaning: What it says, in words.
    """

    cause: str
    explains: bool
    count: int
    first: Where
    meaning: str


class Difference(Struct, frozen=True):
    """One number of one vector.

    Attributes:
        where: The event.
        logged: What the worker scored; null when it is not finite.
        replayed: What the replay gives.
        cause: Name of the cause.
    """

    where: Where
    logged: float | None
    replayed: float | None
    cause: str


class FeatureParity(Struct, frozen=True):
    """One feature over all vectors that were compared.

    Attributes:
        name: Of the feature.
        differences: Vectors in which its bits differ.
        unexplained: Those of them that no cause explains.
        largest: Largest absolute difference; null when one is not finite.
        relative: Sum of |logged - replayed| / sum of |logged| + |replayed|, from 0 to 1.
        first: The first difference, one without explanation if there is one.
    """

    name: str
    differences: int
    unexplained: int
    largest: float | None
    relative: float
    first: Difference | None


class Parity(Struct, frozen=True):
    """The whole report.

    Attributes:
        app: Of the campaign.
        contract: Digest of the feature contract.
        customers_share: Share of the customers that was looked at.
        events: Events that were replayed.
        customers: Customers of the events and decisions.
        decisions: Decisions that were asked about.
        compared: Vectors that were compared.
        compared_customers: Customers whose vectors were compared.
        equal: Those that are the same in every bit.
        conclusive: Those that say something: equal, or different and nothing explains it.
        conclusive_customers: Customers with such a vector.
        compared_bytes: Bytes of the vectors that were compared.
        different_bytes: Bytes that differ.
        repeated: Decisions beyond the first about an event.
        undecided_yet: Events after the last decided one of their partition.
        models: Decisions by model.
        findings: What is not as it should be, or cannot be compared; faults first.
        features: Every feature.
        customers_in_several_partitions: Customers whose events do not meet.
        partitioners: Why that may be so by the keys of the event topics, with who acts; or empty.
    """

    app: str
    contract: str
    customers_share: float
    events: int
    customers: int
    decisions: int
    compared: int
    compared_customers: int
    equal: int
    conclusive: int
    conclusive_customers: int
    compared_bytes: int
    different_bytes: int
    repeated: int
    undecided_yet: int
    models: dict[str, int]
    findings: tuple[Finding, ...]
    features: tuple[FeatureParity, ...]
    customers_in_several_partitions: int = 0
    partitioners: str = ""

    @property
    def faults(self) -> int:
        """Decisions and events that no cause explains."""
        return sum(finding.count for finding in self.findings if not finding.explains)

    @property
    def holds(self) -> bool:
        """Whether enough was compared, and everything that differs is explained."""
        return not self.inconclusive and self.faults == 0

    @property
    def inconclusive(self) -> bool:
        """Whether so few of the decisions say something that a fault could have gone unseen."""
        return self.conclusive == 0 or self.conclusive < CONCLUSIVE_MIN * self.decisions
