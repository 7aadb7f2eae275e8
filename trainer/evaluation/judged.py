"""What is judged: examples with what was used and what came of it, and the scores of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from stream.columns import Bools, Float32s, Float64s, Int64s
from stream.policy.decision import NOTHING
from trainer.errors import TrainingError
from trainer.examples.part import Part

Head = Literal["choice", "response"]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """n examples that no model has seen.

    Attributes:
        head: response asks for the probability of the outcome with the strategy that was used,
            choice for the strategy; its examples are those that had the outcome.
        names: Strategy id of each of the K outputs.
        strategy: Output that was used. Shape (n,), int64.
        outcome: Whether a conversion followed. Shape (n,), bool.
        customer: Number of the customer. Shape (n,), int64.
        time_ms: When the strategy was used, epoch milliseconds. Shape (n,), int64.
        weight: How much each example counts. Shape (n,), float64.
        slices: Groups that are judged on their own, by name. Shape (n,) each.
        timed: Whether `time_ms` is a time.
    """

    head: Head
    names: tuple[str, ...]
    strategy: Int64s
    outcome: Bools
    customer: Int64s
    time_ms: Int64s
    weight: Float64s
    slices: Mapping[str, Bools] = field(default_factory=dict)
    timed: bool = True

    def __post_init__(self) -> None:
        n = len(self.strategy)
        columns = (self.outcome, self.customer, self.time_ms, self.weight, *self.slices.values())
        lengths = {len(column) for column in columns}
        if lengths != {n}:
            raise ValueError(f"expected {n} values in every column and slice, got {lengths}")
        if self.head == "choice" and not self.outcome.all():
            raise ValueError(
                f"expected examples with the outcome alone, for the head choice, got {n} of which "
                f"{int(self.outcome.sum())} have it"
            )

    @classmethod
    def of(
        cls,
        part: Part,
        head: Head,
        names: tuple[str, ...],
        slices: Mapping[str, Bools] | None = None,
    ) -> Judged:
        """The examples of one part."""
        return cls(
            head, names, part.strategy, part.outcome, part.customer, part.time_ms, part.weight,
            slices or {}, part.timed,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.strategy)

    def take(self, keep: Bools) -> Judged:
        """Some of the examples."""
        return Judged(
            self.head, self.names, self.strategy[keep], self.outcome[keep], self.customer[keep],
            self.time_ms[keep], self.weight[keep],
            {name: mask[keep] for name, mask in self.slices.items()}, self.timed,
        )  # fmt: skip

    @property
    def contacted(self) -> Bools | None:
        """Where something was done; None when doing nothing is no output."""
        return self.strategy != self.names.index(NOTHING) if NOTHING in self.names else None


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One model on the examples of a `Judged`.

    Attributes:
        scores: Its outputs. Shape (n, K), float32.
        thresholds: The score from which on each strategy counts as predicted, chosen on other
            examples. None for a choice, which predicts its largest output, and when nobody chose:
            then nothing that needs one is judged. Shape (K,), float64.
    """

    scores: Float32s
    thresholds: Float64s | None = None

    def take(self, keep: Bools) -> Scored:
        """The scores of some of the examples."""
        return Scored(self.scores[keep], self.thresholds)


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """The champion beside a candidate.

    Attributes:
        scored: Its scores on the examples that judge, with the thresholds of its own validation part.
        unseen: The examples that it has not seen. Shape (n,), bool.
    """

    scored: Scored
    unseen: Bools


def check_scores(name: str, scored: Scored, judged: Judged) -> None:
    """Refuses what cannot be judged.

    Raises:
        ValueError: The scores are not those of these examples.
        TrainingError: A score is no probability.
    """
    expected = (len(judged), len(judged.names))
    if scored.scores.shape != expected:
        raise ValueError(f"scores of {name}: expected shape {expected}, got {scored.scores.shape}")
    if scored.thresholds is not None and judged.head == "choice":
        raise ValueError(f"thresholds of {name}: expected none for choice, got some")
    wrong = ~((scored.scores >= 0) & (scored.scores <= 1)).all(axis=1)  # NaN is wrong as well
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise TrainingError(
            f"scores of {name}: expected probabilities, got {scored.scores[first].tolist()} for "
            f"example {first} and the like for {int(wrong.sum())} of {len(judged)}. The fit may "
            "have diverged: lower training.learning_rate"
        )
