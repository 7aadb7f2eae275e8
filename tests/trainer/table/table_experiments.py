"""Experiments of a seed as tables, with effects that are known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.bundle import Bundle
from stream.campaign.file import Campaign, parse
from stream.columns import Float64s
from trainer import constant
from trainer.table.examples_of import campaign_of, examples_of
from trainer.train import Prepared, Trained, train

CREATED = datetime(2026, 11, 24, tzinfo=UTC)
CAMPAIGN = """
app = "letters"
[model]
network = "linear"
[training]
epochs = 3
batch_size = 128
learning_rate = 0.01
[evaluation]
resamples = 50
[[strategies]]
id = "mail"
value = 10.0
cost = 0.2
[[strategies]]
id = "call"
value = 10.0
cost = 0.5
"""
NAMES = ("mail", "call", "nothing")


def campaign(section: str = "[table]\npropensity = 0.333", head: str = CAMPAIGN) -> Campaign:
    return parse(f"{head}\n{section}\n")


def experiment(
    n: int,
    seed: int,
    effects: Sequence[float] = (0.0, 0.0),
    *,
    by_taste: float = 0.0,
    shares: Sequence[float] = (1 / 3, 1 / 3, 1 / 3),
    rate: float = 0.1,
    spend: float = 10.0,
) -> pa.Table:
    """Customers with two numbers and a category, each with a strategy of chance.

    Args:
        n: Customers.
        seed: Of all.
        effects: Of mail and call on the rate of the outcome.
        by_taste: Further effect of both on those with a positive `taste`, and less by it on the others.
        shares: Probability of mail, call and nothing.
        rate: Of the outcome without a contact.
        spend: Mean amount of an outcome; log-normal, with a heavy tail.
    """
    random = np.random.default_rng(seed)
    taste, age = random.normal(size=n), random.uniform(18, 80, n)
    city = random.choice(["Rome", "Oslo", "Lima"], n)
    action = random.choice(3, n, p=shares)
    sign = np.where(taste > 0, by_taste, -by_taste)
    change = np.column_stack([effects[0] + sign, effects[1] + sign, np.zeros(n)])
    chance = rate + (city == "Rome") * 0.05 + change[np.arange(n), action]
    outcome = random.random(n) < np.clip(chance, 0, 1)
    amount = outcome * random.lognormal(np.log(spend) - 0.5, 1.0, n)
    return pa.table({
        "customer": [f"c{i}" for i in range(n)], "action": np.array(NAMES)[action],
        "outcome": outcome, "revenue": amount, "taste": taste, "age": age, "city": city,
    })  # fmt: skip


def prepared(shop: Campaign, table: pa.Table, folder: Path) -> tuple[Campaign, Prepared]:
    own = campaign_of(shop, table)
    folder.mkdir(parents=True, exist_ok=True)
    return own, Prepared(*examples_of(own, table, folder), {})


def trained(
    shop: Campaign, table: pa.Table, folder: Path, champion: Bundle | None = None, seed: int = 1
) -> tuple[Trained, Trained | None]:
    """The model, and the constant policy that stands in for it."""
    own, rows = prepared(shop, table, folder)
    model = train(own, rows, seed=seed, created=CREATED, champion=champion)
    return model, constant.instead_of(own, rows, model, champion)


def column(table: pa.Table, name: str) -> Float64s:
    return np.asarray(table[name].to_numpy(), np.float64)
