"""Which strategies of a campaign a model knows, and what to say of the others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from stream.policy.decision import NOTHING


class Known(NamedTuple):
    """A model against the strategies of a campaign.

    Attributes:
        missing: Strategies of the campaign that the model does not have, in the order of the campaign.
        untrained: Those that it has and has seen too few examples of.
        removed: Strategies of the model that the campaign does not have, in the order of the model.
    """

    missing: tuple[str, ...]
    untrained: tuple[str, ...]
    removed: tuple[str, ...]

    @classmethod
    def of(cls, ids: Sequence[str], outputs: Sequence[str], untrained: Collection[str]) -> Known:
        """Compares.

        Args:
            ids: Of the campaign's strategies.
            outputs: Of the model, "nothing" or not.
            untrained: Of the model.
        """
        return cls(
            tuple(name for name in ids if name not in outputs),
            tuple(name for name in ids if name in outputs and name in untrained),
            tuple(name for name in outputs if name not in ids and name != NOTHING),
        )

    def words(self) -> list[str]:
        """A sentence, without its stop, for each kind that there is."""
        told = (
            (self.missing, "never chosen by the model, since it does not know them (NOT_IN_MODEL): train a new one"),
            (self.untrained, "never chosen by the model, since it has seen too few examples of them (UNTRAINED)"),
            (self.removed, "known to the model and not in the campaign file: ignored"),
        )  # fmt: skip
        return [f"{', '.join(names)}: {what}" for names, what in told if names]
