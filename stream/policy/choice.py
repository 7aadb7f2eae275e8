"""From scores to one strategy for each decision, and the reason for every strategy not taken.

Rules of this file
1. Arrays in, arrays out; nothing random, nothing remembered: equal input gives equal decisions.
2. What an allowed strategy is worth is for `stream.policy.arbitration` to say, how much is left to chance
   for `stream.policy.exploration`; `stream.policy.funnel` is the loop.
3. Where chance has no part, what the model does not know is out before the customer is asked anything.
   Where it has one, that is the last thing to be asked: chance may take what the model does not know.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from stream.campaign.file import Campaign
from stream.campaign.funnel_sections import has_chance
from stream.columns import Bools, Float32s
from stream.errors import OperatorError
from stream.policy.arbitration import Worth, compile_worth
from stream.policy.contact_stage import Contacts
from stream.policy.decision import CERTAIN, NOTHING, DecisionBatch, Dropped
from stream.policy.draws import Asked
from stream.policy.exploration import compile_exploring
from stream.policy.funnel import Facts, Outcome, Rules, Scratch, decide
from stream.policy.holdout import compile_holdouts
from stream.policy.permission import compile_needs

Head = Literal["choice", "response"]


class Policy:
    """The rules of one campaign over the outputs of one model.

    Attributes:
        strategies: Strategy ids in the order of the campaign, then "nothing".
        asks: Whether it asks chance or prices of customers: see `choose`.
    """

    def __init__(
        self,
        campaign: Campaign,
        head: Head,
        outputs: Sequence[str],
        untrained: Collection[str] = (),
    ) -> None:
        """Compiles the policy.

        Args:
            campaign: The campaign file.
            head: What an output means: the share of a choice, or a probability of the outcome.
            outputs: Strategy id of each model output, in order; "nothing" may be one of them. Those
                that the campaign does not have are ignored.
            untrained: Strategies that the model has seen too few examples of.

        Raises:
            OperatorError: The model has none of the campaign's strategies, or one twice.
        """
        ids = [strategy.id for strategy in campaign.strategies]
        if len(set(outputs)) != len(outputs) or not set(outputs) & set(ids):
            raise OperatorError(
                f"model outputs: expected strategies of the campaign, {ids}, each once, and "
                f'"{NOTHING}" or not, got {list(outputs)}; train and promote a model for this '
                "campaign or use the campaign that the model was trained for"
            )
        self._compile(campaign, head, outputs, untrained, has_model=True)

    @classmethod
    def without_model(cls, campaign: Campaign) -> Policy:
        """The rules of a campaign while there is no model: chance among what is allowed."""
        policy = cls.__new__(cls)
        policy._compile(campaign, "choice", (), (), has_model=False)
        return policy

    def with_paused(self, paused: Collection[str]) -> Policy:
        """The same rules while some strategies are paused, by an operator."""
        policy = copy.copy(self)
        enabled = self._barred != Dropped.DISABLED
        stopped = np.array([name in paused for name in self.strategies[:-1]], np.bool_) & enabled
        policy._rules = self._rules._replace(
            barred=np.where(stopped, np.int8(Dropped.PAUSED), self._barred),
            all_paused=bool(stopped.any() and stopped.sum() == enabled.sum()),
        )
        return policy

    def _compile(
        self, campaign: Campaign, head: Head, outputs: Sequence[str], untrained: Collection[str], *,
        has_model: bool,
    ) -> None:  # fmt: skip
        self.strategies = (*(strategy.id for strategy in campaign.strategies), NOTHING)
        self._outputs = len(outputs)
        self._head = head
        self.asks = has_chance(campaign) or any(s.value_from for s in campaign.strategies)
        worth = compile_worth(campaign, outputs, untrained, has_model=has_model)
        self._barred = _barred(campaign, worth)
        self._rules = Rules(
            needs=compile_needs(campaign),
            barred=self._barred,
            covers=compile_holdouts(campaign).covers,
            worth=worth,
            exploring=compile_exploring(campaign.exploration, has_model=has_model),
            has_chance=has_chance(campaign),
            has_model=has_model,
            all_paused=False,
        )

    def choose(
        self,
        probabilities: Float32s,
        eligible: Bools,
        consent: npt.NDArray[np.int8],
        closed: Bools,
        asked: Asked | None = None,
        contacts: Contacts | None = None,
    ) -> DecisionBatch:
        """Decides.

        Args:
            probabilities: Model outputs. Shape (n, outputs), float32.
            eligible: Whether the customer meets the conditions of each strategy. Shape (n, S).
            consent: By purpose 1 granted, 0 withdrawn, -1 not said, -2 unreadable.
                Shape (purposes, n), int8.
            closed: Whether each channel that suppressions name is closed. Shape (channels, n), bool.
            asked: What chance and prices ask; None for a campaign that asks neither.
            contacts: What the rules about contacts ask, and count; None for a campaign without.
        """
        n, strategies = len(probabilities), len(self._rules.barred)
        assert probabilities.shape == (n, self._outputs), probabilities.shape
        assert eligible.shape == (n, strategies), eligible.shape
        assert asked is not None or not self.asks, "expected what chance and prices ask"
        if asked is None:
            asked = Asked(np.empty((n, 0)), np.empty(0, np.int64), np.zeros(n, np.int64))
        drawn = strategies + 1 if self._rules.has_chance else 0
        out = Outcome(
            np.empty(n, np.int16), np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n),
            np.empty(n, np.int8), np.empty((n, strategies), np.int8), np.empty((n, drawn), np.int64),
            np.empty(n, np.bool_), np.empty(n, np.int16),
        )  # fmt: skip
        facts = Facts(
            probabilities, eligible, consent, closed, asked.raw, asked.draw, asked.held_out
        )
        scratch = Scratch(
            np.empty(strategies), np.empty(strategies, np.int8), np.empty(strategies + 1)
        )
        decide(self._rules, facts, out, scratch, contacts)
        return self._batch(out, asked, contacts)

    def _batch(self, out: Outcome, asked: Asked, contacts: Contacts | None) -> DecisionBatch:
        n = len(out.strategy)
        unknown = np.full(n, np.nan, np.float32)
        response = self._head == "response"
        certain = np.ones(n)
        if self._rules.has_chance:
            certain = out.chances[np.arange(n), out.strategy] / CERTAIN
        return DecisionBatch(
            strategy=out.strategy,
            score=out.score,
            probability=out.score if response else unknown,
            probability_without=out.without if response else unknown,
            expected_value=out.expected_value,
            action_probability=certain,
            reason=out.reason,
            dropped=out.dropped,
            chances=out.chances,
            explored=out.explored,
            held_out=asked.held_out,
            ghost=out.ghost,
            retry_ms=np.empty((n, 0), np.int64) if contacts is None else contacts.retry_ms,
            not_before_ms=np.zeros(n, np.int64) if contacts is None else contacts.not_before_ms,
        )


def _barred(campaign: Campaign, worth: Worth) -> npt.NDArray[np.int8]:
    """Why a strategy is out for everybody, `CHOSEN` for no reason. Shape (S,), int8."""
    asked_last = has_chance(campaign)
    return np.array(
        [
            Dropped.DISABLED if not strategy.enabled
            else Dropped.CHOSEN if asked_last or k == worth.fallback
            else worth.unscored[k]
            for k, strategy in enumerate(campaign.strategies)
        ],
        np.int8,
    )  # fmt: skip
