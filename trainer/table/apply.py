"""A model applied to a table: one row for each customer, with what to do and why.

Rules of this file
1. The policy is the worker's own: consent, conditions, hold-outs, exploration, arbitration. What needs
   the events of a stream (contact rules, quiet hours, suppressions) a table cannot say, and is not applied.
2. Draws and hold-outs are hashes of the customer: the same run decides the same. A customer is held out
   of a table exactly if the worker holds them out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream.campaign.file import Campaign
from stream.campaign.purposes import purposes_of
from stream.columns import Bools, Float32s, Float64s, Spans
from stream.events.consent.vocabulary import NOT_SAID, compile_words, said_by
from stream.features.normalization import normalize
from stream.policy.arbitration import compile_worth, gains
from stream.policy.choice import Policy
from stream.policy.decision import NOTHING, DecisionBatch, Reason
from stream.policy.draws import Asked
from stream.policy.eligibility import eligible
from stream.policy.holdout import compile_holdouts, held_out
from stream.scoring.scorer import Scorer
from trainer.examples.part import BLOCK_ROWS
from trainer.table import rows
from trainer.table.encoding import Encoding, encode, texts
from trainer.table.errors import TableError, closest, missing_column
from trainer.table.roles import customer_column
from trainer.table.table_inputs import TableInputs


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """n customers, decided.

    Attributes:
        ids: Of the customers.
        names: Of the strategies and of nothing.
        outputs: Strategy of each output of the model.
        scores: Of the model. Shape (n, outputs), float32.
        gains: Over doing nothing, of each strategy. Shape (n, S), float64.
        decisions: Of the policy.
        notices: What was not applied, in sentences.
    """

    ids: pa.Array
    names: tuple[str, ...]
    outputs: tuple[str, ...]
    scores: Float32s
    gains: Float64s
    decisions: DecisionBatch
    notices: tuple[str, ...]


def decide_rows(
    campaign: Campaign, table: pa.Table, scorer: Scorer, encoding: Encoding, run: str
) -> Decided:
    """Decides about every row.

    Args:
        campaign: The campaign file.
        table: A row for each customer.
        scorer: The model.
        encoding: What columns become for it.
        run: Name of the run: another one draws anew.

    Raises:
        TableError: A column is missing or cannot be read, or a customer is there twice.
    """
    inputs = TableInputs.of(campaign, encoding)
    column = customer_column(campaign.table, table.column_names)
    ids = rows.customers(table, column)
    _expect_once(column, ids)
    scores, raw, allowed = _scored(campaign, table, scorer, inputs)
    consent = _consent(campaign, table)
    policy = Policy(campaign, scorer.head, scorer.strategies, scorer.untrained)
    spans = Spans.of([one.encode() for one in ids.to_pylist()])
    draw = rows.by_chance(
        ids, "table draw", campaign.policy.version, campaign.exploration.salt, run
    )
    closed = np.zeros((len({one.channel for one in campaign.suppressions}), len(ids)), np.bool_)
    asked = Asked(raw, draw, held_out(compile_holdouts(campaign), spans))
    worth = compile_worth(campaign, scorer.strategies, scorer.untrained, has_model=True)
    return Decided(
        ids=ids,
        names=policy.strategies,
        outputs=scorer.strategies,
        scores=scores,
        gains=gains(worth, scores, raw),
        decisions=policy.choose(scores, allowed, consent, closed, asked),
        notices=_not_applied(campaign, column),
    )


def columns_of(decided: Decided, campaign: Campaign, version: str) -> pa.Table:
    """The table that is written.

    Args:
        decided: The decisions.
        campaign: The campaign file, for channels and campaign ids.
        version: Of the model.
    """
    made, chosen = decided.decisions, decided.decisions.strategy.astype(np.int64)
    channel = [*(strategy.channel for strategy in campaign.strategies), ""]
    campaign_id = [*(strategy.campaign_id for strategy in campaign.strategies), ""]
    reasons = np.array([reason.name.lower() for reason in Reason])
    columns: dict[str, pa.Array] = {
        "customer": decided.ids,
        "strategy": pa.array(np.array(decided.names)[chosen]),
        "channel": pa.array(np.array(channel)[chosen]),
        "campaign_id": pa.array(np.array(campaign_id)[chosen]),
        "action_probability": pa.array(made.action_probability),
        "reason": pa.array(reasons[made.reason]),
        "explored": pa.array(made.explored),
        "held_out": pa.array(made.held_out != 0),
        "gain": pa.array(made.expected_value, from_pandas=True),
    }
    kind = (
        "probability"
        if np.isfinite(made.probability).any() or NOTHING in decided.outputs
        else "share"
    )
    for k, name in enumerate(decided.outputs):
        columns[f"{kind}_{name}"] = pa.array(decided.scores[:, k])
    for k, name in enumerate(decided.names[:-1]):
        columns[f"gain_{name}"] = pa.array(decided.gains[:, k], from_pandas=True)
    columns["model"] = pa.array(np.full(len(chosen), version))
    return pa.table(columns)


def _scored(
    campaign: Campaign, table: pa.Table, scorer: Scorer, inputs: TableInputs
) -> tuple[Float32s, Float64s, Bools]:
    """Scores, (n, outputs); what conditions compare and prices are, (n, R); who may get what, (n, S)."""
    n, normalization = table.num_rows, scorer.normalization
    scores = np.empty((n, len(scorer.strategies)), np.float32)
    raw = np.empty((n, len(inputs.raw_columns)))
    for start in range(0, n, BLOCK_ROWS):
        values = encode(table.slice(start, BLOCK_ROWS), inputs.encoding)
        x = np.empty(values.shape, np.float32)
        normalize(
            values, np.ones(len(values), np.bool_), inputs.transform_codes, normalization.mean,
            normalization.std, normalization.clip, x,
        )  # fmt: skip
        scores[start : start + len(values)] = scorer.score(x)
        raw[start : start + len(values)] = values[:, inputs.raw_columns]
    allowed = eligible(
        raw, inputs.condition_strategy, inputs.condition_column, inputs.condition_op,
        inputs.condition_number, len(campaign.strategies),
    )  # fmt: skip
    return scores, raw, allowed


def _consent(campaign: Campaign, table: pa.Table) -> npt.NDArray[np.int8]:
    """What columns say of purposes, in the words of events. Shape (purposes, n), int8."""
    events = campaign.events
    words = compile_words(events.consent_granted, events.consent_denied)
    ids = [purpose.id for purpose in purposes_of(campaign)]
    out = np.full((len(ids), table.num_rows), NOT_SAID, np.int8)
    for purpose, column in campaign.table.consent.items():
        if purpose not in ids:
            raise TableError(
                f"at table.consent.{purpose}: expected a purpose or a channel of the campaign, got "
                f'"{purpose}"; {closest(purpose, ids)}'
            )
        if column not in table.column_names:
            raise missing_column(f"table.consent.{purpose}", column, table.column_names)
        said = texts(table[column]).dictionary_encode()
        meanings = [said_by(words, one, in_xdm=False) for one in said.dictionary.to_pylist()]
        index = said.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        out[ids.index(purpose)] = np.array([*meanings, NOT_SAID], np.int8)[index]
    return out


def _expect_once(column: str, ids: pa.Array) -> None:
    values = ids.to_numpy(zero_copy_only=False)
    _, first, count = np.unique(values, return_index=True, return_counts=True)
    several = np.flatnonzero(count > 1)
    if len(several) == 0:
        return
    again = values[first[several[0]]]
    where = np.flatnonzero(values == again)[:2] + 1
    raise TableError(
        f'column "{column}": expected each customer once, got "{again}" in the rows {where[0]:,} and '
        f"{where[1]:,}, and the like of {len(several) - 1:,} more. Keep the newest row of each"
    )


def _not_applied(campaign: Campaign, customer: str) -> tuple[str, ...]:
    """The stages that need a stream, or a column."""
    found = []
    if not customer:
        found.append(
            "No column says who the customer is: rows are numbered from 0 on (table.customer)"
        )
    has = {
        "suppressions": bool(campaign.suppressions),
        "caps": bool(campaign.caps),
        "quiet hours": campaign.quiet_hours is not None,
        "consent": not campaign.table.consent and campaign.policy.consent != "ignore",
    }
    stages = [name for name, there in has.items() if there]
    if stages:
        found.append(
            f"Not applied, since the table does not say: {', '.join(stages)}. See to it that nobody is "
            "contacted against them (table.consent names columns of consent)"
        )
    return tuple(found)
