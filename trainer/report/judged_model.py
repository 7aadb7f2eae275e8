"""The model that was judged, kept in the bundle of the one that was published.

What is published has learned from all mature history, also from the examples that judged; so it cannot be
compared with on them. The model that was judged can: it stands in the bundle, and later candidates are judged
beside it.

Rules of this file
1. The file is data: msgpack of known types, numbers as raw float32, no code.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from models.arrays import entries, pack, unpack
from models.bundle import Bundle, Fit, Golden
from models.errors import NO_JSON, BundleError
from models.manifest import OTHER_BYTES_MAX, ArrayEntry, DataWindow, NormalizationEntry
from trainer.report.report import REPORT

FILE = "report.judged"


class _Judged(Struct, frozen=True):
    """The file."""

    window: DataWindow
    normalization: NormalizationEntry
    weight_arrays: tuple[ArrayEntry, ...]
    weights: bytes
    golden_arrays: tuple[ArrayEntry, ...]
    golden: bytes


def packed(model: Bundle) -> bytes | None:
    """A model as a file; None if it is too large to stand in the bundle of another."""
    of = model.manifest
    golden = {"inputs": model.golden.inputs, "outputs": model.golden.outputs}
    data = msgspec.msgpack.encode(
        _Judged(
            of.window, of.normalization, entries(model.weights), pack(model.weights),
            entries(golden), pack(golden),
        )
    )  # fmt: skip
    return data if len(data) <= OTHER_BYTES_MAX else None


def judged(bundle: Bundle) -> Bundle:
    """The model that the verdict and the figures of a bundle are of: another one, if it was refitted.

    Raises:
        BundleError: It cannot be read.
    """
    data = bundle.files.get(FILE)
    if data is None:
        return bundle
    where, of = f"{bundle.manifest.version}/{FILE}", bundle.manifest
    try:
        found = msgspec.msgpack.decode(data, type=_Judged)
    except NO_JSON as exc:
        raise BundleError(f"{where}: {exc}") from exc
    weights = unpack(found.weights, found.weight_arrays, where)
    golden = unpack(found.golden, found.golden_arrays, where)
    reports = {REPORT: bundle.files[REPORT]} if REPORT in bundle.files else {}
    return Bundle.create(
        contract=of.contract, normalization=found.normalization.arrays(), strategies=of.strategies,
        network=of.network, weights=weights, golden=Golden(golden["inputs"], golden["outputs"]),
        fit=Fit(of.created, found.window, of.seed, of.metrics, reports), untrained=of.untrained,
    )  # fmt: skip
