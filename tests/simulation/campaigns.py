"""The two campaigns of a simulation, which lay out a row differently, and a model that costs little."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.contract import Normalization
from stream.campaign.file import Campaign, parse
from stream.columns import Float32s
from stream.features.plan import FeaturePlan, compile_features
from stream.pipeline import Deployment, Pipeline
from stream.policy.choice import Policy

if TYPE_CHECKING:
    from stream.scoring.scorer import Scorer  # it loads TensorFlow

DECISIONS, LETTERS = "decisions", "letters"
REVOKE_DEADLINE_S = 0.5

_TEXT = """
app = "sim"
topics = { events = TOPICS, decisions = "decisions", dead_letter = "letters" }
policy = { do_nothing = false }
model = { head = "choice", network = "linear" }
worker = { revoke_deadline_s = 0.5 }
events = { repeats_remembered = 256 }

[[features]]
op = "count"
events = ["Order", "Mail"]
half_lives = ["1m"]

[[features]]
op = "last"
property = "properties.value"

[[strategies]]
id = "mail"

[[strategies]]
id = "push"
"""
_RULES = """
[contacts]
one_open = true
[decisions]
expires_after = "6s"
[[caps]]
id = "few"
contacts = 3
within = "9s"
"""
_MORE = """
[[features]]
op = "recency"
events = ["Order"]
"""


@dataclass(frozen=True, slots=True)
class _Model:
    """Stands for the Keras scorer: a score is a function of its own row alone, the same each time."""

    features: int
    version: str = "1"
    turned: bool = False
    strategies: tuple[str, ...] = ("mail", "push")
    head: str = "choice"

    @property
    def normalization(self) -> Normalization:
        return _identity(self.features)

    def score(self, x: Float32s) -> Float32s:
        """Shares of the two strategies. Shape (n, 2), float32."""
        weights = np.arange(1, self.features + 1, dtype=np.float32)
        share = 0.5 + 0.5 * np.tanh((x * weights).sum(1, dtype=np.float32) / 50)
        share = 1 - share if self.turned else share
        return np.stack([share, 1 - share], axis=1).astype(np.float32)


@functools.cache
def _identity(features: int) -> Normalization:
    return Normalization.identity(features)


@dataclass(frozen=True)
class Setup:
    """All of a campaign that does not change while a worker lives."""

    layout: str
    campaign: Campaign
    plan: FeaturePlan
    pipeline: Pipeline
    deployment: Deployment

    @property
    def changelog(self) -> str:
        """Its changelog topic."""
        return f"changelog-{self.layout}"


@functools.cache
def setup(topics: tuple[str, ...], layout: str, *, rules: bool = False, champion: int = 0) -> Setup:
    """The campaign over some event topics, in layout "a" or "b", with one of two champions."""
    names = "[" + ", ".join(f'"{topic}"' for topic in topics) + "]"
    text = _TEXT.replace("TOPICS", names) + (_RULES if rules else "")
    text += _MORE if layout == "b" else ""
    campaign = parse(text)
    plan = compile_features(campaign)
    model = _Model(len(plan.names), version=f"{layout}{champion}", turned=champion == 1)
    policy = Policy(campaign, "choice", model.strategies)
    deployment = Deployment(cast("Scorer", cast(Any, model)), policy)
    return Setup(layout, campaign, plan, Pipeline(campaign, plan), deployment)
