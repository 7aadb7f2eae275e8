"""What was found so far, added up over the partitions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from stream.columns import Bools, Float32s, Int64s, UInt64s
from stream.keys.key_sample import KeySample, disagreement
from stream.keys.spread import spread
from trainer.parity.causes import Cause
from trainer.parity.compare import Measured, differs
from trainer.parity.result import Difference, FeatureParity, Finding, Parity, Where

_COUNTED = (
    "events", "decisions", "compared_customers", "conclusive", "conclusive_customers",
    "repeated", "undecided_yet",
)  # fmt: skip
"""Fields of `Parity` that are counts and nothing else."""


class Findings:
    """Counts, sums and first examples.

    Args:
        features: Names of the F features.

    Attributes:
        measured: The vectors that were compared.
        counts: What is counted besides, by the names of `Parity`.
        models: Decisions by model.
        customers: Hashes of the customers of each partition.
        keys: Keys of the event topics.
        partitions: Of each topic.
    """

    def __init__(self, features: tuple[str, ...]) -> None:
        self.measured = Measured.nothing(len(features))
        self.counts: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.customers: list[UInt64s] = []
        self.keys = KeySample()
        self.partitions = 1
        self._features = features
        self._unexplained = np.zeros(len(features), np.int64)
        self._first_difference: list[Difference | None] = [None] * len(features)
        self._first_is_fault = np.zeros(len(features), np.bool_)
        self._causes: Counter[Cause] = Counter()
        self._first: dict[Cause, Where] = {}

    def add(self, cause: Cause, count: int, first: Where) -> None:
        """Counts decisions or events with a cause."""
        self._causes[cause] += count
        self._first.setdefault(cause, first)

    def add_differences(
        self, logged: Float32s, replayed: Float32s, cause: Int64s, where: Callable[[int], Where]
    ) -> None:
        """Takes vectors that differ, in the order of the replay.

        Args:
            logged: Shape (n, F), float32.
            replayed: Shape (n, F), float32.
            cause: Shape (n,), int64.
            where: Gives the event of vector i.
        """
        fault = np.array([not Cause(code).explains for code in cause.tolist()], np.bool_)
        unequal = differs(logged, replayed)
        self._unexplained += unequal[fault].sum(axis=0)
        for feature in np.flatnonzero(unequal.any(axis=0)).tolist():
            i = _first_of(unequal[:, feature], fault)
            better = fault[i] and not self._first_is_fault[feature]
            if self._first_difference[feature] is None or better:
                numbers = _number(logged[i, feature]), _number(replayed[i, feature])
                difference = Difference(where(i), *numbers, Cause(cause[i]).code)
                self._first_difference[feature] = difference
                self._first_is_fault[feature] = fault[i]
        for code, first, count in zip(
            *np.unique(cause, return_index=True, return_counts=True), strict=True
        ):
            self.add(Cause(code), int(count), where(int(first)))

    def report(self, app: str, contract: str, customers_share: float) -> Parity:
        """Everything that was found."""
        measured, customers = self.measured, spread(self.customers)
        return Parity(
            app=app,
            contract=contract,
            customers_share=customers_share,
            **{name: self.counts[name] for name in _COUNTED},
            customers=customers.customers,
            customers_in_several_partitions=customers.several,
            partitioners=disagreement(self.keys.placed(self.partitions)),
            compared=measured.vectors,
            equal=measured.equal,
            compared_bytes=4 * len(self._features) * measured.vectors,
            different_bytes=measured.different_bytes,
            models=dict(self.models),
            findings=tuple(
                Finding(cause.code, cause.explains, count, self._first[cause], cause.meaning)
                for cause, count in sorted(self._causes.items())
            ),
            features=tuple(self._feature(i) for i in range(len(self._features))),
        )

    def _feature(self, i: int) -> FeatureParity:
        return FeatureParity(
            name=self._features[i],
            differences=int(self.measured.differences[i]),
            unexplained=int(self._unexplained[i]),
            largest=_number(self.measured.largest[i]),
            relative=float(self.measured.relative[i]),
            first=self._first_difference[i],
        )


def _first_of(unequal: Bools, fault: Bools) -> int:
    """The first vector that differs, one without explanation if there is one."""
    faults = unequal & fault
    return int(np.argmax(faults if faults.any() else unequal))


def _number(value: np.floating) -> float | None:
    """For JSON, which has no infinity."""
    return float(value) if math.isfinite(value) else None
