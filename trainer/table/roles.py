"""Which column of a table is what: as the campaign file says, else by usual names.

Rules of this file
1. A column that is named and not there is an error; one that is not named and not there is none.
2. What came afterwards is no feature: columns with the names of outcomes are taken only when they are named.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from stream.campaign.sections.table_section import TableSpec
from trainer.table.errors import TableError, missing_column

USUAL: dict[str, tuple[str, ...]] = {
    "customer": ("customer", "customer_id", "external_id", "user_id", "client_id", "id"),
    "action": ("action", "strategy", "treatment", "arm", "variant"),
    "propensity": ("propensity", "action_probability", "probability"),
    "outcome": ("outcome", "converted", "conversion", "response"),
    "amount": ("amount", "revenue"),
    "time": ("time", "timestamp", "date", "sent_at"),
    "held_out": ("held_out",),
    "possible": ("possible",),
}
"""Names that a column is looked for by, whatever their case; the first that is there."""

_AFTERWARDS = {
    *USUAL["outcome"], *USUAL["amount"], "visit", "visited", "visits", "spend", "spent", "purchase",
    "purchased", "ordered", "order_value", "click", "clicked", "open", "opened", "responded",
    "redeemed", "churned", "target", "label", "bought", "sales", "exposure",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of columns, "" for none.

    Attributes:
        customer: Id of the customer.
        action: What was done.
        propensity: Probability with which.
        outcome: Whether the outcome followed.
        amount: Money that followed.
        time: When.
        held_out: Whether the customer was held out.
        possible: What could have been done.
        features: What was known before.
        passed_over: Columns that nothing is said of and that have the names of outcomes.
    """

    customer: str
    action: str
    propensity: str
    outcome: str
    amount: str
    time: str
    held_out: str
    possible: str
    features: tuple[str, ...]
    passed_over: tuple[str, ...]


def roles_of(spec: TableSpec, columns: Sequence[str], declared: Collection[str] = ()) -> Roles:
    """Finds the columns.

    Args:
        spec: The section of the campaign file.
        columns: Of the table.
        declared: Features of the campaign's stream: columns that are called so are these.

    Raises:
        TableError: A column that is named is not there, or there are no features.
    """
    found = {role: _find(spec, role, columns, declared) for role in USUAL}
    taken = {name for name in (*found.values(), *spec.ignore, *spec.consent.values()) if name}
    for setting, names in (
        ("table.features", spec.features), ("table.ignore", spec.ignore),
        ("table.categories", spec.categories), ("table.transforms", tuple(spec.transforms)),
        ("table.consent", tuple(spec.consent.values())),
    ):  # fmt: skip
        for name in names:
            if name not in columns:
                raise missing_column(setting, name, columns)
    features = spec.features or tuple(name for name in columns if name not in taken)
    passed_over: tuple[str, ...] = ()
    if not spec.features:
        passed_over = tuple(
            name for name in features if _plain(name) in _AFTERWARDS and name not in declared
        )
        features = tuple(name for name in features if name not in passed_over)
    both = [name for name in features if name in found.values()]
    if both:
        raise TableError(
            f"at table.features: expected columns of what was known before, got {', '.join(both)}, "
            "which says something else of the row"
        )
    if not features:
        raise TableError(
            f"expected columns of features, got none beside {', '.join(sorted(taken))}. "
            "Name them in table.features"
        )
    return Roles(**found, features=tuple(features), passed_over=passed_over)


def customer_column(spec: TableSpec, columns: Sequence[str]) -> str:
    """The column of customers, "" for none.

    Raises:
        TableError: It is named and not there.
    """
    return _find(spec, "customer", columns)


def _find(
    spec: TableSpec, role: str, columns: Sequence[str], declared: Collection[str] = ()
) -> str:
    named = getattr(spec, role)
    if not isinstance(named, str):  # a propensity that is a number
        return ""
    if named:
        if named not in columns:
            raise missing_column(f"table.{role}", named, columns)
        return named
    others = {getattr(spec, other) for other in USUAL if isinstance(getattr(spec, other), str)}
    claimed = (
        others | set(declared) | set(spec.features) | set(spec.ignore) | set(spec.consent.values())
    )
    plain = {_plain(name): name for name in columns if name not in claimed}
    return next((plain[usual] for usual in USUAL[role] if usual in plain), "")


def _plain(name: str) -> str:
    """A name as it is compared: without case, spaces and dashes."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())
