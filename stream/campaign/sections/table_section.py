"""Section `table` of the campaign file: what the columns of a file of customers mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, field

from stream.campaign.operator_table import Transform
from stream.campaign.words import Name, Section

if TYPE_CHECKING:
    from stream.campaign.file import Campaign

ColumnName = Annotated[str, Meta(max_length=200)]
Columns = Annotated[tuple[ColumnName, ...], Meta(max_length=2000)]
Probability = Annotated[float, Meta(gt=0, le=1)]


class TableSpec(Section, frozen=True):
    """How `--table FILE` is read: a row is a customer, what was done, and what came of it.

    A column that is not named is looked for by usual names: docs/tables.md.

    Attributes:
        customer: Column of the customer's id. Without one every row is a customer of its own.
        action: Column of what was done.
        actions: Strategy, or nothing, of each value in that column that is not called so itself.
        propensity: Probability with which that was done: a column, one number for all, or one for
            each strategy and nothing. Without one nothing is known of chance, and no money is claimed.
        outcome: Column of whether it was followed by the outcome: true and false, or 1 and 0.
        amount: Column of the money that followed, what was given back taken off.
        amount_max: An amount counts so much at most, to both sides: said beforehand, so that a single
            order decides nothing.
        time: Column of when it was done. Without one customers are split by a hash of their id.
        held_out: Column of whether the customer was held out.
        possible: Column of the strategies that could have been taken, with spaces between them.
        features: Columns that are known beforehand. When not given: all that nothing else is said of.
        ignore: Columns that are no features.
        categories: Columns whose numbers are names.
        transforms: Transform of a column of numbers before it is normalized: log1p, signlog, none.
        consent: Column of the consent to each purpose, for `opportune decide`.
        salt: Chooses who is learned from and who judges, where there is no time.
    """

    customer: ColumnName = ""
    action: ColumnName = ""
    actions: dict[str, Name] = field(default_factory=dict)
    propensity: Probability | ColumnName | dict[Name, Probability] = ""
    outcome: ColumnName = ""
    amount: ColumnName = ""
    amount_max: Annotated[float, Meta(gt=0, le=1e12)] | None = None
    time: ColumnName = ""
    held_out: ColumnName = ""
    possible: ColumnName = ""
    features: Columns = ()
    ignore: Columns = ()
    categories: Columns = ()
    transforms: dict[ColumnName, Transform] = field(default_factory=dict)
    consent: dict[Name, ColumnName] = field(default_factory=dict)
    salt: Annotated[str, Meta(max_length=200)] = ""


def wrong_table(campaign: Campaign, raw: Mapping[str, Any]) -> str:
    """What is missing or unknown, "" if nothing is: only a file with a section `table` needs no stream.

    Args:
        campaign: The campaign file.
        raw: As it was read.
    """
    for name in ("topics", "features"):
        if "table" not in raw and name not in raw:
            return (
                f"at the top level: missing required field `{name}`: topics and features, or a section "
                "[table] for files of customers alone"
            )
    known = (*(strategy.id for strategy in campaign.strategies), "nothing")
    spec = campaign.table
    named = {f"table.actions.{value}": one for value, one in spec.actions.items()}
    if isinstance(spec.propensity, dict):
        named |= {f"table.propensity.{one}": one for one in spec.propensity}
    for where, one in named.items():
        if one not in known:
            return f'at {where}: expected one of {", ".join(known)}, got "{one}"'
    return ""


def expect_stream(campaign: Campaign) -> str:
    """Why the campaign cannot read a stream, "" if it can."""
    missing = [
        name for name, there in (("topics", campaign.topics.events), ("features", campaign.features))
        if not there
    ]  # fmt: skip
    if not missing:
        return ""
    return (
        f"expected {' and '.join(missing)} in the campaign file {campaign.app}, got none: it is for "
        "tables alone (--table FILE)"
    )
