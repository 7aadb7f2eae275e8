"""Sends handwritten digits to Kafka as events: `python examples/digits/send.py`.

The images are the 1,797 that come with scikit-learn (Alpaydin and Kaynak, "Optical Recognition of
Handwritten Digits", UCI, CC BY 4.0): 8 x 8 pixels with 17 shades. Each pixel becomes 3 x 3 of them
inside a frame of 2, which makes 28 x 28 without making them sharper. They have no time of their own
and stand writer by writer, so they are shown in an order of chance, one a minute.
"""

# ruff: noqa: INP001 - a script

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from aiokafka import AIOKafkaProducer
from sklearn.datasets import load_digits

TOPIC = "digits"
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_SHADES = 16
_SEED = 0


def digits() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The images and what they show, in the order in which they are sent.

    Returns:
        Brightness from 0 to 1, row by row, shape (1797, 784), float64; the digit, shape (1797,).
    """
    data = load_digits()
    large = np.kron(data.images / _SHADES, np.ones((1, 3, 3)))
    framed = np.pad(large, ((0, 0), (2, 2), (2, 2)))
    order = np.random.default_rng(_SEED).permutation(len(framed))
    return framed.reshape(len(framed), -1)[order], data.target[order].astype(np.int64)


def events(
    images: npt.NDArray[np.float64], shown: npt.NDArray[np.int64]
) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the records: of each image that it is seen, labelled, confirmed.

    The label comes a second after the image: it is not known when the image is.
    """
    for i, (pixels, digit) in enumerate(zip(images, shown, strict=True)):
        begin = _BEGIN + timedelta(minutes=i)
        yield _event(i, "Image Shown", begin, {f"pixel_{p}": v for p, v in enumerate(pixels)})
        yield _event(i, "Labelled", begin + timedelta(seconds=1), {"strategy": f"digit-{digit}"})
        yield _event(i, "Confirmed", begin + timedelta(seconds=2), {})


def _event(
    image: int, event: str, time: datetime, properties: dict[str, Any]
) -> tuple[bytes, bytes]:
    customer = f"image-{image:04d}"
    value = {
        "type": "track",
        "event": event,
        "userId": customer,
        "messageId": f"{customer}-{event}",
        "timestamp": time.isoformat(),
        "properties": properties,
    }
    return customer.encode(), json.dumps(value, separators=(",", ":")).encode()


async def send(bootstrap: str) -> int:
    """Sends all events; returns their number."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    await producer.start()
    try:
        sent = [await producer.send(TOPIC, value, key) for key, value in events(*digits())]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return len(sent)


@click.command()
@click.option("--bootstrap", default="localhost:9092", show_default=True, help="Kafka address.")
def main(bootstrap: str) -> None:
    """Send 1,797 handwritten digits as events."""
    click.echo(f"{asyncio.run(send(bootstrap)):,} events sent to {TOPIC}")


if __name__ == "__main__":
    main()
