"""Words of consent that nobody knows, told once each: who sends them stops contacts with them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from stream.log import log_event
from stream.visible import visible

_WORDS_MAX = 100
_WORD_CHARACTERS_MAX = 60


class ConsentWords:
    """The words that were told; after a hundred no more are, and only the summary counts them."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, words: Iterable[tuple[str, str]]) -> None:
        """Tells of those that are new.

        Args:
            words: Path and text of each.
        """
        for path, word in words:
            known = path[:_WORD_CHARACTERS_MAX], word[:_WORD_CHARACTERS_MAX]
            if known in self._told or len(self._told) >= _WORDS_MAX:
                continue
            self._told.add(known)
            log_event(
                "consent_unreadable", level=logging.WARNING, path=visible(known[0]),
                word=visible(known[1]),
                reason="nobody knows this word of consent: who said it is not contacted until a word "
                "comes that can be read. Operator action: add it to events.consent_granted or "
                "events.consent_denied of the campaign file, or correct the sender",
            )  # fmt: skip
