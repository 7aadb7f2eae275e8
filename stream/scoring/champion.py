"""Follows the champion of a registry: a good new model is handed over, a bad one is refused.

Rules of this file
1. Blocking on purpose, neither Faust nor asyncio: the worker runs `check` in an executor and swaps
   one reference between two chunks.
2. A refused model does not stop a worker: the old one stays and one line says why.
   What is refused: damaged or changed files, other features, none of the campaign's strategies, a
   builder that the campaign file does not name, golden scores that do not come out, scores that take
   too long. A strategy that the model does not know is told, and stands in the way of no other.
3. Every state is logged when it begins, not every time it is seen.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection

from models.errors import BundleError, RegistryError
from models.registry import Registry
from stream.log import log_event
from stream.policy.known import Known
from stream.scoring.scorer import TILE_ROWS, Scorer, score_ms

_REASON_CHARS_MAX = 2_000


class ModelWatcher:
    """Looks for a new champion. One thread at a time may call it.

    Attributes:
        absent: Whether the last look found that nobody has promoted a version yet.
    """

    def __init__(
        self,
        registry: Registry,
        contract_digest: str,
        strategies: Collection[str],
        *,
        builder: str = "",
        score_ms_max: float = math.inf,
    ) -> None:
        """Starts with no model; the first `check` loads the champion.

        Args:
            registry: Where to look.
            contract_digest: Of the features that this worker computes.
            strategies: Ids of the campaign's, in its order.
            builder: `module:function` that a custom network may name; empty for none.
            score_ms_max: Longest time of `stream.scoring.scorer.score_ms`.
        """
        self._registry = registry
        self._contract_digest = contract_digest
        self._strategies = tuple(strategies)
        self._builder = builder
        self._score_ms_max = score_ms_max
        self.absent = False
        self._seen: str | None = None
        self._trouble: str | None = None

    def check(self) -> Scorer | None:
        """A scorer when there is a new good champion, None when the old one stays.

        A refused version is not tried again until the champion has been another one. A registry
        that cannot be read is tried again at the next call.
        """
        try:
            champion = self._registry.pointer("champion")
            self.absent = champion is None
            if champion is None:
                self._begin("model_missing", "no champion yet, promote a version")
                return None
            scorer = None if champion == self._seen else self._load(champion)
        except (RegistryError, OSError) as exc:
            self.absent = False
            self._begin("registry_unreadable", str(exc))
            return None
        self._trouble = None
        return scorer

    def _load(self, version: str) -> Scorer | None:
        started_s = time.perf_counter()
        try:
            scorer = self._verified(version)
        except BundleError as exc:
            self._seen = version
            reason = str(exc)[:_REASON_CHARS_MAX]  # a manifest may quote megabytes
            log_event("model_refused", level=logging.ERROR, version=version, reason=reason)
            return None
        self._seen = version
        load_s = round(time.perf_counter() - started_s, 3)
        digest = scorer.contract_digest
        log_event("model_loaded", version=version, contract=digest, load_s=load_s)
        known = Known.of(self._strategies, scorer.strategies, scorer.untrained)
        if told := known.words():
            reason = "; ".join(told)[:_REASON_CHARS_MAX]
            log_event("model_strategies", level=logging.WARNING, version=version, reason=reason)
        return scorer

    def _begin(self, trouble: str, reason: str) -> None:
        """Says once that the registry gives no model; again after it has given one."""
        if trouble != self._trouble:
            log_event(trouble, level=logging.WARNING, registry=self._registry.url, reason=reason)
        self._trouble = trouble

    def _verified(self, version: str) -> Scorer:
        """The cheap checks come first, so that nothing is built for a bundle that cannot serve."""
        bundle = self._registry.load(version)
        digest = bundle.manifest.contract_digest
        if bundle.manifest.contract.is_of_tables:
            raise BundleError(
                "expected a model for the features of a stream, got one for tables: `opportune decide` "
                "applies it, a worker cannot"
            )
        if digest != self._contract_digest:
            raise BundleError(
                f"expected a model for feature contract {self._contract_digest}, which this "
                f"worker computes, got one for {digest}; train it with this campaign file"
            )
        outputs = bundle.manifest.strategies
        if not set(outputs) & set(self._strategies):
            raise BundleError(
                f"expected strategies of the campaign file, {list(self._strategies)}, "
                f"got none of them, {list(outputs)}"
            )
        scorer = Scorer(bundle, self._builder)
        scorer.check_golden()
        took_ms = score_ms(scorer)
        if took_ms > self._score_ms_max:
            raise BundleError(
                f"expected {TILE_ROWS} customers scored in {self._score_ms_max:g} ms at most, "
                f"model.score_ms_max, got {took_ms:.3g} ms; fit a smaller network"
            )
        return scorer
