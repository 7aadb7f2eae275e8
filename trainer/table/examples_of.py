"""A table as the examples that a training learns from: the same `Dataset` as that of a stream.

Rules of this file
1. A row is an example that was fixed when something was done; its outcome is what came afterwards.
2. Without times a row's place in the split follows from its customer and the salt alone: who judges one
   table was learned from in no other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from stream.campaign.file import Campaign
from stream.campaign.operator_table import Transform
from stream.campaign.sections.table_section import TableSpec
from stream.columns import Bools, Float64s, Int64s
from stream.features.expansion import expand
from stream.policy.decision import NOTHING
from stream.policy.eligibility import eligible
from trainer.evaluation.earned.sample_ratio import arm_ratios, broken_arms
from trainer.examples.chance import NOT_SAID, Doubts, Logged
from trainer.examples.dataset import Dataset
from trainer.examples.labels import JoinCounts
from trainer.examples.part import BLOCK_ROWS
from trainer.examples.values import ValuesWriter
from trainer.examples.weights import expect_propensities
from trainer.table import rows
from trainer.table.encoding import Encoding, encode, learn
from trainer.table.errors import TableError
from trainer.table.leaks import leaks
from trainer.table.roles import Roles, roles_of
from trainer.table.table_inputs import TableInputs

_log = logging.getLogger("opportune")
_ROWS_MIN = 100
_FAR = 2.0
"""Values that are so many times too large, or too small, are told."""


def campaign_of(campaign: Campaign, table: pa.Table) -> Campaign:
    """The campaign of a training on a table: its rows are decisions, its outcome has the name of the column.

    Raises:
        TableError: There is neither an outcome nor an amount.
    """
    roles = roles_of(campaign.table, table.column_names, _declared(campaign))
    outcome = roles.outcome or roles.amount
    if not outcome:
        raise TableError(
            "expected a column of the outcome or of an amount, got none of the usual names among "
            f"{', '.join(table.column_names)}. Name it in table.outcome"
        )
    training = replace(
        campaign.training, learn_from="decisions", outcome=outcome,
        # Who judges by the hash of their id is never learned from, or nobody could judge the next model.
        refit=campaign.training.refit and bool(roles.time),
    )  # fmt: skip
    return replace(campaign, training=training)


def examples_of(
    campaign: Campaign, table: pa.Table, folder: Path, before: Encoding | None = None, *,
    is_fixed: bool = False,
) -> tuple[TableInputs, Dataset]:  # fmt: skip
    """The features of a table, and its rows as examples.

    Args:
        campaign: Of `campaign_of`.
        table: The rows.
        folder: For features that do not fit into memory; has to stay as long as the dataset.
        before: What columns have become for another model.
        is_fixed: Whether they have to become that again, since that model is judged.

    Raises:
        TableError: The table cannot be read as the campaign file says.
    """
    if table.num_rows < _ROWS_MIN:
        raise TableError(f"expected {_ROWS_MIN} rows at least, got {table.num_rows}")
    declared = _declared(campaign)
    roles = roles_of(campaign.table, table.column_names, declared)
    encoding = before
    if not is_fixed or encoding is None:
        encoding = learn(table, roles, campaign.table, declared, before)
    inputs = TableInputs.of(campaign, encoding)
    ids, said = rows.customers(table, roles.customer), _Said.of(campaign, table, roles)
    values, allowed, given_away = _write(campaign, inputs, table, folder, said.outcome)
    told = _notices(campaign, roles, said, given_away)
    time_ms = _times(campaign.table, table, roles, ids)
    keep = said.kept(campaign)
    dataset = Dataset(
        training=campaign.training,
        transforms=inputs.transform_codes,
        values=values.finish(),
        rows=np.flatnonzero(keep),
        strategy=said.done[keep],
        outcome=said.outcome[keep],
        time_ms=time_ms[keep],
        customer=rows.numbered(ids)[keep],
        logged=said.logged.take(keep),
        counts=JoinCounts(int(keep.sum()), held_out=int(said.logged.held_out[keep].sum())),
        events=table.num_rows,
        repeated=0,
        customers=len(ids.unique()),
        start_ms=int(time_ms.min()),
        end_ms=int(time_ms.max()),
        notices=told,
        timed=bool(roles.time),
        amount=None if said.amount is None else said.amount[keep],
        is_table=True,
        doubts=_doubts(campaign, said, allowed),
    )
    if campaign.training.propensity_weights:
        expect_propensities(campaign.training, dataset.logged.propensity)
    for notice in told:
        _log.warning("%s", notice)
    return inputs, dataset


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """What n rows say beside their features.

    Attributes:
        done: Strategy, S for nothing. Shape (n,), int64.
        outcome: Shape (n,), bool.
        amount: None without one. Shape (n,), float64.
        cut: Amounts that were above what was declared.
        logged: What they say of chance.
    """

    done: Int64s
    outcome: Bools
    amount: Float64s | None
    cut: int
    logged: Logged

    @classmethod
    def of(cls, campaign: Campaign, table: pa.Table, roles: Roles) -> _Said:
        """Reads the columns."""
        spec, n = campaign.table, table.num_rows
        strategies = [strategy.id for strategy in campaign.strategies]
        done = rows.actions(table, roles, campaign)
        amount, cut = None, 0
        if roles.amount:
            amount, cut = rows.amounts(roles.amount, table[roles.amount], spec.amount_max)
        if roles.outcome:
            outcome = rows.flags(roles.outcome, table[roles.outcome])
        else:
            assert amount is not None, "`campaign_of` expects one of both"
            outcome = amount > 0
        logged = Logged(
            rows.propensities(table, roles, spec, done, (*strategies, NOTHING)),
            rows.flags(roles.held_out, table[roles.held_out])
            if roles.held_out
            else np.zeros(n, np.bool_),
            rows.could_be(roles.possible, table[roles.possible], strategies)
            if roles.possible
            else np.full(n, NOT_SAID),
        )
        return cls(done, outcome, amount, cut, logged)

    def kept(self, campaign: Campaign) -> Bools:
        """The rows that are examples: of a choice contacts with the outcome, else all. Shape (n,), bool."""
        if campaign.model.head == "choice":
            return self.outcome & (self.done < len(campaign.strategies))
        return np.ones(len(self.done), np.bool_)


def _declared(campaign: Campaign) -> dict[str, Transform]:
    """Transform of each feature of the campaign's stream."""
    return {
        name: transform
        for operator in expand(campaign.features)
        for name, transform in zip(operator.names, operator.transforms, strict=True)
    }


def _times(spec: TableSpec, table: pa.Table, roles: Roles, ids: pa.Array) -> Int64s:
    """When, or by the hash of the customer where nobody says. Shape (n,), int64."""
    if roles.time:
        return rows.times_ms(roles.time, table[roles.time])
    return rows.by_chance(ids, "table split", spec.salt)


def _write(
    campaign: Campaign, inputs: TableInputs, table: pa.Table, folder: Path, outcome: Bools
) -> tuple[ValuesWriter, Bools, tuple[str, ...]]:
    """The features of all rows; which strategies the conditions allow, (n, S); and what gives outcomes away."""
    room = campaign.training.memory_mb * 2**20 // 2
    values = ValuesWriter(folder / "features.f64", len(inputs.names), room)
    allowed = np.empty((table.num_rows, len(campaign.strategies)), np.bool_)
    given_away: tuple[str, ...] = ()
    for start in range(0, table.num_rows, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, table.num_rows)
        block = encode(table.slice(start, BLOCK_ROWS), inputs.encoding)
        allowed[start:stop] = eligible(
            block[:, inputs.raw_columns], inputs.condition_strategy, inputs.condition_column,
            inputs.condition_op, inputs.condition_number, len(campaign.strategies),
        )  # fmt: skip
        if start == 0:
            given_away = leaks(block, inputs.names, outcome[:stop])
        values.append(block)
    return values, allowed, given_away


def _doubts(campaign: Campaign, said: _Said, allowed: Bools) -> Doubts:
    """Whether chance is known, and whether each arm has the rows that it should have."""
    logged, n = said.logged, len(said.done)
    known = logged.propensity > 0
    if not known.any():
        return Doubts(
            unproven="the table does not say with which probability each customer got what they got. If "
            "chance decided, say with which probability in table.propensity; if it did not, customers with "
            "one strategy may differ from those with another, and nobody knows what a strategy earns"
        )
    names = (*(strategy.id for strategy in campaign.strategies), NOTHING)
    bits = logged.possible[:, np.newaxis]
    could = allowed & ((bits < 0) | ((bits >> np.arange(len(names) - 1)) & 1 == 1))
    possible = np.column_stack([could, np.ones(n, np.bool_)])
    possible[np.arange(n), said.done] = True
    judges = known & ~logged.held_out
    arms = arm_ratios(said.done[judges], logged.propensity[judges], possible[judges], names)
    return Doubts(broken=broken_arms(arms))


def _notices(
    campaign: Campaign, roles: Roles, said: _Said, given_away: tuple[str, ...]
) -> tuple[str, ...]:
    """What whoever trains is told.

    Raises:
        TableError: A feature that nobody has named came after the outcome.
    """
    outcome = campaign.training.outcome
    if given_away and not campaign.table.features:
        raise TableError(
            f"{', '.join(given_away)}: expected features of what was known before, got what gives away "
            f'"{outcome}": all rows on one side of it have one value. Name such columns in '
            "table.ignore, or all features in table.features if they were known before"
        )
    found = [
        f"{', '.join(given_away)}: all rows on one side of {outcome} have one value there: if that was "
        "not known before, the model has learned from the future" if given_away else "",
        f"{', '.join(roles.passed_over)}: not taken for features, since they have names of what comes "
        "afterwards; name them in table.features to take them" if roles.passed_over else "",
        "No column says who the customer is: each row counts as a customer of its own "
        "(table.customer)" if not roles.customer else "",
        f"{said.cut:,} amounts were beyond table.amount_max and count as much as that"
        if said.cut else "",
        _values_told(campaign, said),
    ]  # fmt: skip
    return tuple(one for one in found if one)


def _values_told(campaign: Campaign, said: _Said) -> str:
    """Whether the values of the strategies are far from what an outcome brings."""
    if said.amount is None or not said.outcome.any():
        return ""
    brings = float(said.amount[said.outcome].mean())
    far = [
        strategy.id
        for strategy in campaign.strategies
        if not strategy.value_from and not 1 / _FAR < strategy.value / max(brings, 1e-12) < _FAR
    ]
    if not far:
        return ""
    return (
        f"an outcome brought {brings:,.4g} on average, and strategies.value of {', '.join(far)} says "
        f"{', '.join(sorted({format(s.value, 'g') for s in campaign.strategies if s.id in far}))}: what "
        "the policy weighs against costs is that value, what judges it is the amount"
    )
