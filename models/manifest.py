"""The manifest of a bundle: everything that is known about a model except its numbers.

Rules of this file
1. Reading a manifest needs neither Keras nor TensorFlow, and never runs code from it.
2. A manifest that contradicts itself cannot be made: every check is in a type or `__post_init__`.
3. The version ends in a hash of the rest, so a manifest changed after publication gives itself away.
4. A manifest that was read is written as the same bytes again, also one of an older release.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta, Struct

from models.contract import FeatureContract, Normalization
from models.network_kinds import KINDS, NAMES, SETTINGS

MANIFEST = "manifest.json"
WEIGHTS = "weights.f32"
GOLDEN = "golden.f32"
MANIFEST_BYTES_MAX = 8 << 20
"""Four times what 10,000 features need; decoded it may take twenty times the memory."""
FILE_BYTES_MAX = 1 << 28
"""Of the weights: 67 million, more than any network that scores in milliseconds."""
OTHER_BYTES_MAX = 16 << 20
"""Of the golden batch and of each report: 200 rows of 10,000 features and strategies; a page."""
BUNDLE_BYTES_MAX = FILE_BYTES_MAX + 4 * OTHER_BYTES_MAX
"""A worker that looks at a bundle holds all of it in memory."""
VERSION_PATTERN = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}"

FileName = Annotated[str, Meta(pattern=r"^(weights\.f32|golden\.f32|report\.[a-z]{1,8})$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Meta(ge=1, le=10_000)]
if TYPE_CHECKING:
    Network: TypeAlias = str
else:
    Network = Literal[NAMES]
Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
EpochMs = Annotated[int, Meta(ge=-62_135_596_800_000, le=253_402_300_799_999)]
"""Years 1 to 9999, which are those that a date can have."""

_LATER: dict[str, object] = {
    "dropout": 0.0,
    "cross_layers": 0,
    "cross_rank": 0,
    "builder": "",
    "bins": 0,
}
"""Fields of a network that the first manifests do not have. They are left out at these values, so
that those manifests keep their bytes and with them their versions."""


class NetworkConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network as plain data; `models.network.build` makes the Keras model of it.

    Attributes:
        network: linear is the weighted sum of the inputs, mlp has hidden layers, dcn crosses the
            inputs beside them, custom is what `builder` makes of the inputs.
        head: choice is a softmax over the strategies, response one outcome probability for each.
        inputs: Features, F.
        outputs: Strategies, K.
        hidden: Units of each hidden layer; of mlp and dcn.
        activation: Of the hidden layers.
        dropout: Share of the units of a hidden layer that a training step leaves out.
        cross_layers: Cross layers of dcn.
        cross_rank: Rank of their matrices.
        builder: `module:function` of custom. A name only: who reads a manifest does not run it.
        bins: Pieces into which each input is cut for the head, which sees them beside the trunk; 0 for
            a head that sees the trunk alone.
        l2: Penalty on every kernel, on the sum of the losses of all examples.
        delta_l2: Further penalty on what sets the strategies of a response head apart.
    """

    network: Network
    head: Literal["choice", "response"]
    inputs: Size
    outputs: Size
    hidden: Annotated[tuple[Annotated[int, Meta(ge=1, le=4096)], ...], Meta(max_length=16)] = ()
    activation: Literal["relu", "gelu", "tanh"] = "relu"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    cross_layers: Annotated[int, Meta(ge=0, le=8)] = 0
    cross_rank: Annotated[int, Meta(ge=0, le=512)] = 0
    builder: Annotated[str, Meta(pattern=r"^([A-Za-z_][\w.]*:[A-Za-z_]\w*)?$", max_length=200)] = ""
    bins: Annotated[int, Meta(ge=0, le=64)] = 0
    l2: Annotated[float, Meta(ge=0)] = 0.0
    delta_l2: Annotated[float, Meta(ge=0)] = 0.0

    def __post_init__(self) -> None:
        kind = KINDS[self.network]
        given = {name for name in SETTINGS if getattr(self, name)}
        if not kind.needs <= given <= kind.uses:
            raise ValueError(
                f"expected {sorted(kind.needs) or 'no layers, dropout or builder'} for network "
                f"{self.network}, got {sorted(given) or 'none'}"
            )

    @property
    def numbers_min(self) -> int:
        """The least number of weights of such a network; the trunk of custom counts as one unit."""
        if self.network == "custom":
            return self.outputs
        sizes = (self.inputs, *self.hidden)
        return (
            sum(rows * columns for rows, columns in itertools.pairwise(sizes))
            + 2 * self.cross_layers * self.inputs * self.cross_rank
            + self._encoded
            + self._head_width * self.outputs
        )

    @property
    def numbers_max(self) -> int:
        """The largest number of weights: a bias for each unit, and the base of a response head."""
        if self.network == "custom":
            return FILE_BYTES_MAX // 4
        biases = sum(self.hidden) + self.cross_layers * self.inputs + self.outputs
        base = (self._head_width + 1) * (self.head == "response")
        return self.numbers_min + biases + base

    @property
    def _encoded(self) -> int:
        """Width of the encoding, which has as many edges."""
        return self.inputs * (1 + self.bins) if self.bins else 0

    @property
    def _head_width(self) -> int:
        """What the head sees: the inputs, of which the encoding is one form, or what is made of them."""
        if self.bins and self.network == "linear":
            return self._encoded
        crossed = self.inputs if self.cross_layers else 0
        return (self.inputs, *self.hidden)[-1] + crossed + self._encoded


class ArrayEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One float32 array in a file: its name and shape."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    shape: Annotated[tuple[Size, ...], Meta(max_length=8)]


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """What a file must be to be opened.

    Attributes:
        sha256: Of the whole file.
        bytes: Its size.
        arrays: What an .f32 file holds, one after the other, little-endian, C order, no header.
    """

    sha256: Sha256
    bytes: Annotated[int, Meta(ge=0, le=FILE_BYTES_MAX)]
    arrays: tuple[ArrayEntry, ...] = ()


class NormalizationEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """`Normalization` in JSON, which has no infinity: clip null is no bound."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    clip: float | None

    @classmethod
    def of(cls, normalization: Normalization) -> NormalizationEntry:
        """The same constants as plain numbers."""
        clip = None if math.isinf(normalization.clip) else normalization.clip
        return cls(tuple(normalization.mean.tolist()), tuple(normalization.std.tolist()), clip)

    def arrays(self) -> Normalization:
        """The same constants as arrays."""
        clip = math.inf if self.clip is None else self.clip
        return Normalization(np.array(self.mean), np.array(self.std), clip)


class DataWindow(Struct, frozen=True, forbid_unknown_fields=True):
    """Event times that a model was fitted on: start <= t < end, epoch milliseconds."""

    start_ms: EpochMs
    end_ms: EpochMs


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole manifest.

    Attributes:
        format: Version of this structure.
        version: Name of the bundle: time and content hash, sorting by age.
        created: When the trainer made it, UTC.
        contract: What the model eats.
        contract_digest: Its digest, for readers without our code.
        normalization: Applied by the feature kernel before the network.
        strategies: The K outputs in order; doing nothing may be one of them.
        network: How to build the network.
        window: The data it was fitted on.
        judged_window: That of the model that was judged, when this one was fitted anew afterwards, with the same
            settings: verdict and metrics are of that one.
        metrics: Evaluation results, all finite.
        seed: Of initialisation and shuffling.
        libraries: Versions that the model was fitted with.
        files: Every other file of the bundle.
        untrained: Those of the strategies that there were too few examples of.
    """

    format: Literal[1] = 1
    version: Annotated[str, Meta(pattern=f"^{VERSION_PATTERN}$")]
    created: Annotated[datetime, Meta(tz=True)]
    contract: FeatureContract
    contract_digest: str
    normalization: NormalizationEntry
    strategies: tuple[str, ...]
    network: NetworkConfig
    window: DataWindow
    metrics: dict[str, float]
    seed: Int64
    libraries: dict[str, str]
    files: Annotated[dict[FileName, FileEntry], Meta(max_length=16)]
    untrained: tuple[str, ...] = ()
    judged_window: DataWindow | None = None

    def __post_init__(self) -> None:
        features, outputs = self.network.inputs, self.network.outputs
        _expect("contract_digest", self.contract.digest, self.contract_digest)
        _expect("number of features in the contract", features, len(self.contract.names))
        _expect("number of normalized features", features, self.normalization.arrays().mean.size)
        _expect("number of strategies", outputs, len(self.strategies))
        _expect("number of different strategies", outputs, len(set(self.strategies)))
        unknown = sorted(set(self.untrained) - set(self.strategies))
        _expect("untrained strategies that are none", [], unknown)
        _expect("metrics that are not finite", [], _not_finite(self.metrics))
        _expect("missing files", [], sorted({WEIGHTS, GOLDEN} - set(self.files)))
        self._expect_weights_of_the_network()
        self._expect_sizes()

    def _expect_weights_of_the_network(self) -> None:
        """A few words must not make a reader build a network of gigabytes."""
        network, got = self.network, self.files[WEIGHTS].bytes
        least, most = 4 * network.numbers_min, 4 * network.numbers_max
        if not least <= got <= most:
            raise ValueError(
                f"size of {WEIGHTS}: expected {least} to {most} bytes for {network}, got {got}"
            )

    def _expect_sizes(self) -> None:
        """Nor must they make a reader hold gigabytes: files can be large and take no room on a disk."""
        for name, entry in self.files.items():
            if name != WEIGHTS and entry.bytes > OTHER_BYTES_MAX:
                raise ValueError(
                    f"size of {name}: expected {OTHER_BYTES_MAX} bytes at most, got {entry.bytes}"
                )
        got = sum(entry.bytes for entry in self.files.values())
        if got > BUNDLE_BYTES_MAX:
            raise ValueError(
                f"size of all files: expected {BUNDLE_BYTES_MAX} bytes at most, got {got}"
            )


def encode(manifest: Manifest, order: Literal["deterministic"] | None = None) -> bytes:
    """JSON of a manifest, as it was read; `order` is that of msgspec, for dicts."""
    plain = msgspec.to_builtins(manifest, order=order)
    for name, absent in _LATER.items():
        if plain["network"][name] == absent:
            del plain["network"][name]
    if not manifest.untrained:
        del plain["untrained"]
    if manifest.judged_window is None:
        del plain["judged_window"]
    return msgspec.json.encode(plain)


def version_of(manifest: Manifest) -> str:
    """The version that belongs to the content of a manifest, whatever version it carries."""
    content = msgspec.structs.replace(manifest, version="")
    digest = hashlib.sha256(encode(content, order="deterministic")).hexdigest()
    return f"{manifest.created:%Y%m%dT%H%M%SZ}-{digest[:8]}"


def _expect(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise ValueError(f"{what}: expected {expected}, got {got}")


def _not_finite(metrics: dict[str, float]) -> list[str]:
    return sorted(name for name, value in metrics.items() if not math.isfinite(value))
