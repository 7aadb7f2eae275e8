"""What the log says of chance: with which probability what was done was done, and what else could have been."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Float64s, Int64s

NOT_SAID = -1
"""Of `possible`: nobody said what else could have been done."""


@dataclass(frozen=True, slots=True, eq=False)
class Logged:
    """Of n examples.

    Attributes:
        propensity: Probability with which the strategy was used, NaN if nobody said. Shape (n,), float64.
        held_out: Whether the customer was in a hold-out; the propensity is that of this arm.
            Shape (n,), bool.
        possible: Bit k for strategy k that could have been used, `NOT_SAID` if nobody said. Shape (n,), int64.
    """

    propensity: Float64s
    held_out: Bools
    possible: Int64s

    @classmethod
    def unsaid(cls, n: int) -> Logged:
        """Nobody said anything of n examples."""
        return cls(np.full(n, np.nan), np.zeros(n, np.bool_), np.full(n, NOT_SAID))

    def __len__(self) -> int:
        return len(self.propensity)

    def take(self, which: Bools | Int64s) -> Logged:
        """Of some of the examples."""
        return Logged(self.propensity[which], self.held_out[which], self.possible[which])


@dataclass(frozen=True, slots=True)
class Doubts:
    """What stands in the way of a verdict, told with the examples; "" for nothing.

    Attributes:
        unproven: Why nobody knows what chance had to do with what was done.
        broken: Why nothing that is compared is right.
        alone: Strategies beside which too few were left alone to say what they bring.
        no_claim: Why the model can say of no strategy what it brings.
    """

    unproven: str = ""
    broken: str = ""
    alone: tuple[str, ...] = ()
    no_claim: str = ""
