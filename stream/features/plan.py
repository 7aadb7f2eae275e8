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
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from models.contract import FeatureContract, Normalization
from stream.campaign.file import Campaign
from stream.campaign.operator_table import Transform
from stream.campaign.purposes import purposes_of
from stream.columns import Bools, EventBatch, Float32s, Float64s, Int64s
from stream.features.closures import closing_paths, closing_types
from stream.features.expansion import ANY, definition, expand
from stream.features.kernel import VERSION, apply_events
from stream.features.kernel_tables import NEXT_OFFSET, Events, Outputs, Tables
from stream.features.normalization import LOG1P, NONE, SIGNLOG, normalize
from stream.features.row import Layout, build_tables, lay_out
from stream.policy.conditions import compile_conditions, compile_values

_Scalar = TypeVar("_Scalar", bound=np.generic)
_TRANSFORMS: dict[Transform, int] = {"log1p": LOG1P, "signlog": SIGNLOG, "none": NONE}


@dataclass(frozen=True, eq=False, slots=True)
class FeaturePlan:
    """The F features of a campaign, ready for the kernel.

    Attributes:
        names: Name of each feature, in the order of the feature vector.
        transforms: Transform of each feature.
        event_types: Event types that the decoder has to tell apart; an index is a type code.
        number_paths: Paths of the numeric properties that the decoder has to deliver.
        category_paths: Paths of the categorical ones.
        definition: Canonical JSON of the compiled features.
        layout: The row of the customer table.
        condition_strategy: Strategy of each eligibility condition. Shape (c,), int64.
        condition_column: What it compares, an index into `raw_columns`. Shape (c,), int64.
        condition_op: Index into `stream.policy.conditions.COMPARISONS`. Shape (c,), int64.
        condition_number: What it compares with. Shape (c,), float64.
        raw_columns: Features that conditions compare, then those that `strategies.value_from` names, one
            for each strategy that names one. Shape (R,), int64.
        decides: Whether an event asks for a decision, by type code; the last entry, reached with
            code -1, is for types not declared. Shape (types + 1,), bool.
        tables: What the kernel reads.
        transform_codes: `transforms` as `stream.features.normalization` reads them. Shape (F,), int64.
    """

    names: tuple[str, ...]
    transforms: tuple[Transform, ...]
    event_types: tuple[str, ...]
    number_paths: tuple[str, ...]
    category_paths: tuple[str, ...]
    definition: str
    layout: Layout
    condition_strategy: Int64s
    condition_column: Int64s
    condition_op: Int64s
    condition_number: Float64s
    raw_columns: Int64s
    decides: Bools
    tables: Tables
    transform_codes: Int64s

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
        counters: Events late, too old for a window, replayed, repeated. Shape (4,), int64.
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
        CampaignError: A feature or an eligibility condition contradicts itself or another.
    """
    operators = expand(campaign.features)
    purposes = tuple(purpose.id for purpose in purposes_of(campaign))
    remembered = campaign.events.repeats_remembered
    layout = lay_out(operators, campaign.topics.events, remembered, purposes, campaign.suppressions)
    training = campaign.training
    event_types = _unique(
        event
        for events in (
            *(operator.events for operator in operators),
            campaign.decisions.on,
            (training.treatment, training.outcome),
            closing_types(campaign.suppressions),
        )
        for event in events
        if event != ANY
    )
    number_paths = _unique(op.path for op in operators if not op.is_categorical)
    categories = [op.path for op in operators if op.is_categorical]
    category_paths = _unique([*categories, *closing_paths(campaign.suppressions)])
    names = tuple(name for operator in operators for name in operator.names)
    transforms: tuple[Transform, ...] = tuple(
        transform for operator in operators for transform in operator.transforms
    )
    conditions = compile_conditions(campaign.strategies, names)
    on = set(campaign.decisions.on)
    return FeaturePlan(
        names=names,
        transforms=transforms,
        event_types=event_types,
        number_paths=number_paths,
        category_paths=category_paths,
        definition=definition(operators),
        layout=layout,
        condition_strategy=conditions.strategy,
        condition_column=conditions.column,
        condition_op=conditions.op,
        condition_number=conditions.number,
        raw_columns=np.append(conditions.features, compile_values(campaign.strategies, names)),
        decides=np.array([ANY in on or event in on for event in (*event_types, ANY)]),
        tables=build_tables(layout, event_types, number_paths, category_paths),
        transform_codes=np.array([_TRANSFORMS[transform] for transform in transforms], np.int64),
    )


def apply(
    plan: FeaturePlan,
    state: Float64s,
    rows: Int64s,
    batch: EventBatch,
    topic: int,
    normalization: Normalization,
) -> Applied:
    """Adds events to their rows, one after the other, and writes the features after each.

    Args:
        plan: The features.
        state: The customer table. Changed. Shape (rows, plan.row_words), float64.
        rows: Row of the customer of each event. Shape (n,), int64.
        batch: n events of one topic, in the order of their offsets.
        topic: Index of the topic in the campaign.
        normalization: Normalization of the F features.

    Raises:
        ValueError: The arguments do not fit the plan or each other.
    """
    n, width = len(batch), len(plan.names)
    if normalization.mean.shape != (width,):
        raise ValueError(
            f"normalization: expected {width} features, got {normalization.mean.shape}"
        )
    out = _add(plan, state, rows, batch, topic, np.empty((n, width)))
    raw = out.values.take(plan.raw_columns, axis=1)
    raw[~out.applied] = 0.0
    features = np.empty((n, width), np.float32)
    normalize(
        out.values, out.applied, plan.transform_codes,
        normalization.mean, normalization.std, normalization.clip, features,
    )  # fmt: skip
    return Applied(features, raw, out.applied, out.repeated, out.consent, out.closed, out.counters)


def apply_raw(
    plan: FeaturePlan, state: Float64s, rows: Int64s, batch: EventBatch, topic: int, out: Float64s
) -> Bools:
    """Does as `apply`, writes the features after each event as they are, and gives `Applied.applied`.

    Args:
        plan: The features; `state` to `topic` as for `apply`.
        out: All F features, NaN when missing; of an event that was not applied, what was there. Shape
            (n, F), C-contiguous.

    Raises:
        ValueError: The arguments do not fit the plan or each other.
    """
    expected = (len(batch), len(plan.names))
    if out.shape != expected or not out.flags.c_contiguous:
        raise ValueError(f"out: expected a C-contiguous matrix {expected}, got {out.shape}")
    return _add(plan, state, rows, batch, topic, out).applied


def _add(
    plan: FeaturePlan, state: Float64s, rows: Int64s, batch: EventBatch, topic: int,
    values: Float64s,
) -> Outputs:  # fmt: skip
    """Runs the kernel on arguments that it can trust; the features come to stand in `values`."""
    _check(plan, state, rows, batch, topic)
    n = len(batch)
    applied, repeated = np.empty((2, n), np.bool_)
    consent = np.empty((len(plan.layout.purposes), n), np.int8)
    closed = np.empty((len(plan.layout.channels), n), np.bool_)
    out = Outputs(values, applied, repeated, consent, closed, np.zeros(4, np.int64))
    apply_events(plan.tables, _events(rows, batch), topic, state, state.view(np.int64), out)
    return out


def _events(rows: Int64s, batch: EventBatch) -> Events:
    """The columns as the kernel is compiled for."""
    return Events(
        row=_column(rows),
        offset=_column(batch.offset),
        time_ms=np.maximum(batch.time_ms, 1),  # 0 is "never": 1970 begins one millisecond late
        event_hash=_column(batch.event_hash),
        type_code=_column(batch.type_code),
        number=_column(batch.number),
        category=_column(batch.category),
        consent=_column(batch.consent),
        consent_only=_column(batch.consent_only),
        is_last=_column(batch.is_last),
    )


def _column(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Aligned, contiguous and writable: another kind of array would be compiled for anew."""
    return np.require(array, requirements=("C", "A", "W"))


def _check(plan: FeaturePlan, state: Float64s, rows: Int64s, batch: EventBatch, topic: int) -> None:
    n, topics = len(batch), len(plan.layout.topics)
    expectations = (
        (state.dtype == np.float64 and state.flags.c_contiguous and state.flags.writeable,
         "state: expected a writable C-contiguous float64 matrix", state.dtype),
        (state.ndim == 2 and state.shape[1] == plan.row_words,
         f"state: expected {plan.row_words} words in a row", state.shape),
        (rows.dtype == np.int64 and rows.shape == (n,), f"rows: expected {n} int64", rows.shape),
        (n == 0 or (rows.min() >= 0 and rows.max() < len(state)),
         f"rows: expected row numbers below {len(state)}", rows),
        (n == 0 or (batch.type_code.min() >= -1 and batch.type_code.max() < len(plan.event_types)),
         f"type_code: expected codes below {len(plan.event_types)}", batch.type_code),
        (batch.event_hash.shape == (n,) == batch.is_last.shape, f"event_hash: expected {n}", batch.event_hash.shape),
        (batch.number.shape == (len(plan.number_paths), n),
         f"number: expected {len(plan.number_paths)} rows of {n}", batch.number.shape),
        (batch.category.shape == (len(plan.category_paths), n),
         f"category: expected {len(plan.category_paths)} rows of {n}", batch.category.shape),
        (batch.consent.shape in ((0, n), (len(plan.layout.purposes), n)),
         f"consent: expected {len(plan.layout.purposes)} rows of {n}, or none", batch.consent.shape),
        (0 <= topic < topics, f"topic: expected an index below {topics}", topic),
    )  # fmt: skip
    for expected, got in ((expected, got) for holds, expected, got in expectations if not holds):
        raise ValueError(f"{expected}, got {got}")


def _unique(values: Iterable[str | None]) -> tuple[str, ...]:
    """Each value once, in the order of first sight, without None."""
    return tuple(dict.fromkeys(value for value in values if value is not None))
