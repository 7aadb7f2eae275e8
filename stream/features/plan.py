"""The features of a campaign: compiled once, then applied to chunks of events.

The worker calls `apply`, the trainer `apply_raw`: one kernel, no second way to compute a feature.

Rules of this file
1. Event time only. A feature is read right after its event was added, as of the newest event of
   the customer.
2. Arrays in, arrays out. Only the rows of the customer table that are passed in change.
3. Arguments are checked here, once for a chunk: the kernel trusts them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contract import FeatureContract, Normalization
from stream.campaign.file import Campaign
from stream.campaign.operator_table import Transform
from stream.campaign.purposes import purposes_of
from stream.campaign.sections.table_section import expect_stream
from stream.columns import Bools, CategoryColumn, EventBatch, Float32s, Float64s, Int64s
from stream.compiled.zone_set import ZoneSet
from stream.contacts.engine_events import engine_numbers, engine_paths, engine_types
from stream.errors import CampaignError
from stream.features.category_rows import CategoryRows
from stream.features.closures import closing_types
from stream.features.expansion import expand
from stream.features.kernel import COUNTERS, VERSION, apply_events
from stream.features.kernel_events import NONE_EMPTIED, Expected, kernel_events
from stream.features.kernel_tables import NEXT_OFFSET, Outputs, Tables
from stream.features.normalization import LOG1P, NONE, SIGNLOG, normalize
from stream.features.operators import ANY, UTC, definition
from stream.features.row import Layout, build_tables, lay_out
from stream.policy.conditions import compile_conditions, compile_values

TRANSFORMS: dict[Transform, int] = {"log1p": LOG1P, "signlog": SIGNLOG, "none": NONE}


@dataclass(frozen=True, eq=False, slots=True)
class FeaturePlan:
    """The F features of a campaign, ready for the kernel.

    Attributes:
        names: Name of each feature, in the order of the feature vector.
        transforms: Transform of each feature.
        event_types: Event types that the decoder has to tell apart; an index is a type code.
        number_paths: Paths of the numeric properties that the decoder has to deliver.
        category_paths: Paths of the categorical ones.
        category_columns: What the decoder has to deliver of lists of categories, then of time zones.
        definition: Canonical JSON of the compiled features.
        layout: The row of the customer table.
        condition_strategy: Strategy of each eligibility condition. Shape (c,), int64.
        condition_column: What it compares, an index into `raw_columns`. Shape (c,), int64.
        condition_op: Index into `stream.policy.conditions.COMPARISONS`. Shape (c,), int64.
        condition_number: What it compares with. Shape (c,), float64.
        raw_columns: Features that conditions compare, then those that strategies' `value_from` name.
        decides: Whether an event asks for a decision, by type code; the last entry, reached with
            code -1, is for types not declared. Shape (types + 1,), bool.
        tables: What the kernel reads.
        zones: Time zones of the features, and those that events name.
        transform_codes: `transforms` as `stream.features.normalization` reads them. Shape (F,), int64.
    """

    names: tuple[str, ...]
    transforms: tuple[Transform, ...]
    event_types: tuple[str, ...]
    number_paths: tuple[str, ...]
    category_paths: tuple[str, ...]
    category_columns: tuple[CategoryColumn, ...]
    definition: str
    layout: Layout
    condition_strategy: Int64s
    condition_column: Int64s
    condition_op: Int64s
    condition_number: Float64s
    raw_columns: Int64s
    decides: Bools
    tables: Tables
    zones: ZoneSet
    transform_codes: Int64s

    @property
    def property_paths(self) -> tuple[str, ...]:
        """Paths of all properties: numbers, categories, what `category_columns` are made of."""
        more = dict.fromkeys(column.path for column in self.category_columns)
        return (*self.number_paths, *self.category_paths, *more)

    @property
    def category_rows(self) -> int:
        """Rows of `EventBatch.category`."""
        return len(self.category_paths) + len(self.category_columns)

    @property
    def row_words(self) -> int:
        """8-byte words of a row of the customer table."""
        return self.layout.row_words

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the customer table."""
        return 8 * self.layout.row_words

    @property
    def offset_words(self) -> slice:
        """The words of a row that hold the next offset of each input topic."""
        return slice(NEXT_OFFSET, NEXT_OFFSET + len(self.layout.topics))

    @property
    def layout_digest(self) -> str:
        """12 hex digits that stand for the meaning of every word of a row."""
        return self.layout.digest

    @property
    def contract(self) -> FeatureContract:
        """What a model that reads these features must have been fitted on."""
        return FeatureContract(self.names, self.definition, VERSION)

    def describe(self, words: Float64s) -> dict[str, Any]:
        """One row in words, for people. Shape (row_words,), float64."""
        return self.layout.describe(words)


@dataclass(frozen=True, slots=True)
class Applied:
    """What n events gave. Of one that is replayed or repeated the features and raws are 0.

    Attributes:
        features: Transformed, normalized. Shape (n, F), float32.
        raw: `FeaturePlan.raw_columns` as they are, NaN when missing. Shape (n, R), float64.
        applied: False if replayed, repeated, or no event that denies consent. Shape (n,), bool.
        repeated: Whether the row remembers its id: only the row's offset changes. Shape (n,), bool.
        consent: In force after the event, as `EventBatch.consent`. Shape (purposes, n), int8.
        closed: Whether each of `Layout.channels` is closed after the event. Shape (channels, n), bool.
        counters: Events late, too old for a window, replayed, repeated; rows that logins carried over or did
            not know, and that tombstones emptied. Shape (7,), int64.
    """

    features: Float32s
    raw: Float64s
    applied: Bools
    repeated: Bools
    consent: npt.NDArray[np.int8]
    closed: Bools
    counters: Int64s


def compile_features(campaign: Campaign) -> FeaturePlan:
    """Compiles the features of a campaign.

    Raises:
        CampaignError: A feature or an eligibility condition contradicts itself or another, or there
            are none, since the campaign is for tables alone.
    """
    if nothing_streams := expect_stream(campaign):
        raise CampaignError(nothing_streams)
    operators = expand(campaign.features)
    purposes = tuple(purpose.id for purpose in purposes_of(campaign))
    emptied_by, remembered = _emptied_by(campaign), campaign.events.repeats_remembered
    layout = lay_out(
        operators, campaign.topics.events, remembered, purposes, campaign.suppressions, emptied_by
    )
    training = campaign.training
    event_types = _unique(
        event
        for types in (
            *(operator.events for operator in operators),
            campaign.decisions.on,
            (training.treatment, training.outcome, *engine_types(campaign.contacts)),
            closing_types(campaign.suppressions),
            campaign.events.login_events if "login" in emptied_by else (),
        )
        for event in types
        if event != ANY
    )
    numbers = [op.path for op in operators if op.is_numeric]
    number_paths = _unique([*numbers, *engine_numbers(campaign.contacts)])
    zones = _unique([UTC, *(op.time_zone or None for op in operators)])
    categories = CategoryRows.of(operators, campaign.suppressions, engine_paths(campaign.contacts))
    names = tuple(name for operator in operators for name in operator.names)
    transforms: tuple[Transform, ...] = tuple(
        transform for operator in operators for transform in operator.transforms
    )
    conditions, on = compile_conditions(campaign.strategies, names), set(campaign.decisions.on)
    return FeaturePlan(
        names=names,
        transforms=transforms,
        event_types=event_types,
        number_paths=number_paths,
        category_paths=categories.paths,
        category_columns=categories.columns,
        definition=definition(operators),
        layout=layout,
        condition_strategy=conditions.strategy,
        condition_column=conditions.column,
        condition_op=conditions.op,
        condition_number=conditions.number,
        raw_columns=np.append(conditions.features, compile_values(campaign.strategies, names)),
        decides=np.array([bool({ANY, name} & on) for name in (*event_types, ANY)]),
        tables=build_tables(layout, event_types, number_paths, categories, zones),
        zones=ZoneSet(zones),
        transform_codes=np.array([TRANSFORMS[transform] for transform in transforms], np.int64),
    )


def apply(
    plan: FeaturePlan,
    state: Float64s,
    rows: Int64s,
    batch: EventBatch,
    topic: int,
    normalization: Normalization,
    emptied: Int64s = NONE_EMPTIED,
) -> Applied:
    """Adds events to their rows, one after the other, and writes the features after each.

    Args:
        plan: The features.
        state: The customer table. Changed. Shape (rows, plan.row_words), float64.
        rows: Row of the customer of each event. Shape (n,), int64.
        batch: n events of one topic, in the order of their offsets.
        topic: Index of the topic in the campaign.
        normalization: Normalization of the F features.
        emptied: Row that each event empties, see `kernel_tables.Events`; none when not given.
            Shape (n,) or (0,), int64.

    Raises:
        ValueError: The arguments do not fit the plan or each other.
    """
    n, width = len(batch), len(plan.names)
    if normalization.mean.shape != (width,):
        raise ValueError(
            f"normalization: expected {width} features, got {normalization.mean.shape}"
        )
    out = _add(plan, state, rows, batch, topic, np.empty((n, width)), emptied)
    raw = out.values.take(plan.raw_columns, axis=1)
    raw[~out.applied] = 0.0
    features = np.empty((n, width), np.float32)
    normalize(
        out.values, out.applied, plan.transform_codes,
        normalization.mean, normalization.std, normalization.clip, features,
    )  # fmt: skip
    return Applied(features, raw, out.applied, out.repeated, out.consent, out.closed, out.counters)


def apply_raw(
    plan: FeaturePlan, state: Float64s, rows: Int64s, batch: EventBatch, topic: int, out: Float64s,
    emptied: Int64s = NONE_EMPTIED,
) -> Bools:  # fmt: skip
    """Does as `apply`, writes the features after each event as they are, and gives `Applied.applied`.

    Args:
        plan: The features; `state` to `topic` and `emptied` as for `apply`.
        out: All F features, NaN when missing; of an event that was not applied, what was there.
            C-contiguous. Shape (n, F), float64.

    Raises:
        ValueError: The arguments do not fit the plan or each other.
    """
    expected = (len(batch), len(plan.names))
    if out.shape != expected or not out.flags.c_contiguous:
        raise ValueError(f"out: expected a C-contiguous matrix {expected}, got {out.shape}")
    return _add(plan, state, rows, batch, topic, out, emptied).applied


def _add(
    plan: FeaturePlan, state: Float64s, rows: Int64s, batch: EventBatch, topic: int,
    values: Float64s, emptied: Int64s,
) -> Outputs:  # fmt: skip
    """Runs the kernel on arguments that it can trust; the features come to stand in `values`."""
    expected = Expected(
        plan.row_words, len(plan.event_types), len(plan.number_paths), plan.category_rows,
        len(plan.layout.purposes), len(plan.layout.topics),
    )  # fmt: skip
    expected.check(state, rows, batch, topic, emptied)
    n = len(batch)
    applied, repeated = np.empty((2, n), np.bool_)
    consent = np.empty((len(plan.layout.purposes), n), np.int8)
    closed = np.empty((len(plan.layout.channels), n), np.bool_)
    out = Outputs(values, applied, repeated, consent, closed, np.zeros(COUNTERS, np.int64))
    events = kernel_events(rows, batch, plan.zones, plan.category_columns, emptied)
    apply_events(plan.tables, events, topic, state, state.view(np.int64), out)
    return out


def _emptied_by(campaign: Campaign) -> tuple[str, ...]:
    """What empties rows: see `Layout.emptied_by`."""
    merges, forgets = campaign.events.login == "merge", campaign.events.tombstones == "forget"
    return ("login",) * merges + ("tombstone",) * forgets


def _unique(values: Iterable[str | None]) -> tuple[str, ...]:
    """Each value once, in the order of first sight, without None."""
    return tuple(dict.fromkeys(value for value in values if value is not None))
