"""Contract, networks and bundles: what is written comes back, what was changed is refused."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models import network
from models.backend import keras
from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract, Normalization
from models.errors import BundleError
from models.manifest import DataWindow, Manifest, NetworkConfig, version_of

CREATED = datetime(2026, 11, 24, 10, 45, 12, tzinfo=UTC)
FEATURES, STRATEGIES = 7, ("mail", "push", "nothing")
CUSTOM = {"network": "custom", "hidden": (), "builder": "tests.custom_networks:normalized"}
DCN = {"network": "dcn", "hidden": (6, 4), "cross_layers": 3, "cross_rank": 2}
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
}


def config(**changes: Any) -> NetworkConfig:
    """A small mlp with a response head, or what `changes` make of it."""
    plain = {"network": "mlp", "head": "response", "inputs": FEATURES, "outputs": 3, "hidden": (5,)}
    return msgspec.convert(plain | changes, NetworkConfig)


def customers(n: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(n, FEATURES)).astype(np.float32)


def fitted(network_config: NetworkConfig) -> Any:
    """Trained for a moment on outcomes that depend on the customer and on the strategy."""
    model, x = network.build(network_config, 3, network_config.builder), customers(512)
    effect = np.linspace(-1, 1, network_config.outputs)
    y = (x[:, :1] + effect > 0).astype(np.float32)
    if network_config.head == "choice":
        y = np.eye(network_config.outputs, dtype=np.float32)[(x[:, 0] > 0).astype(int)]
    loss = {"choice": "categorical_crossentropy", "response": "binary_crossentropy"}
    model.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss[network_config.head])
    history = model.fit(x, y, epochs=4, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    return model


def make_bundle(model: Any, network_config: NetworkConfig) -> Bundle:
    x = customers(16, seed=1)
    return Bundle.create(
        contract=FeatureContract(tuple(f"feature_{i}" for i in range(FEATURES)), '{"ops":[]}'),
        normalization=Normalization(np.arange(FEATURES) / 3, np.full(FEATURES, 0.1), 8.0),
        strategies=STRATEGIES,
        network=network_config,
        weights=network.weights(model),
        golden=Golden(x, np.asarray(model(x, training=False))),
        fit=Fit(CREATED, DataWindow(0, 1_000), 3, {"auc": 0.75}, {"report.json": b"{}"}),
    )


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make_bundle(fitted(config()), config())


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle"


# ---- contract ------------------------------------------------------------------------------------


def test_the_digest_stands_for_names_definition_and_kernel() -> None:
    contracts = [
        FeatureContract(("a", "b"), "{}"),
        FeatureContract(("b", "a"), "{}"),
        FeatureContract(("ab",), "{}"),
        FeatureContract(("a", "b"), "{ }"),
        FeatureContract(("a", "b"), "{}", kernel_version=2),
    ]
    assert len({contract.digest for contract in contracts}) == len(contracts)
    expected = hashlib.sha256(b'[["a","b"],"{}",1]').hexdigest()[:16]
    assert contracts[0].digest == FeatureContract(("a", "b"), "{}").digest == expected


@pytest.mark.parametrize(
    ("names", "message"), [((), "at least one"), (("a", "b", "a"), "more of a")]
)
def test_a_contract_needs_names_that_differ(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureContract(names, "{}")


@pytest.mark.parametrize(
    ("mean", "std", "clip", "message"),
    [
        ([0.0], [1.0, 1.0], 8.0, "one shape"),
        ([[0.0]], [[1.0]], 8.0, "one shape"),
        ([math.nan], [1.0], 8.0, "finite"),
        ([0.0], [math.inf], 8.0, "finite"),
        ([0.0], [0.0], 8.0, "std above 0"),
        ([0.0], [1.0], 0.0, "clip above 0"),
        ([0.0], [1.0], math.nan, "clip above 0"),
    ],
)
def test_bad_normalization_is_refused(mean: Any, std: Any, clip: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Normalization(np.array(mean), np.array(std), clip)


def test_normalization_is_a_read_only_copy() -> None:
    mean = np.zeros(2)
    normalization = Normalization(mean, np.ones(2), math.inf)
    mean[:] = 9
    assert normalization.mean.tolist() == [0, 0]
    assert not normalization.mean.flags.writeable


def test_manifests_and_pointers_need_no_tensorflow() -> None:
    code = """
import sys
import models.bundle, models.contract, models.registry
heavy = {"tensorflow", "keras"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


# ---- networks ------------------------------------------------------------------------------------


def forward(network_config: NetworkConfig, weights: dict[str, Any], x: Any) -> Any:
    """The definition of the networks, in float64."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    first = crossed = x
    for i in range(network_config.cross_layers):
        v, u, b = (w[f"cross_{i}_{name}"] for name in ("v/kernel", "u/kernel", "u/bias"))
        # u is stored as its transpose: one customer is a row here, a column in the paper.
        crossed = np.stack(
            [x0 * (u.T @ (v.T @ xl) + b) + xl for x0, xl in zip(first, crossed, strict=True)]
        )
    for i in range(len(network_config.hidden)):
        x = ACTIVATIONS[network_config.activation](
            x @ w[f"hidden_{i}/kernel"] + w[f"hidden_{i}/bias"]
        )
    if network_config.network == "dcn":
        x = np.concatenate([crossed, x], axis=1)
    if network_config.head == "choice":
        e = np.exp(x @ w["choice/kernel"] + w["choice/bias"])
        return e / e.sum(axis=1, keepdims=True)
    base = x @ w["base/kernel"] + w["base/bias"]
    return 1 / (1 + np.exp(-(base + x @ w["delta/kernel"] + w["delta/bias"])))


@pytest.mark.parametrize("head", ["choice", "response"])
@pytest.mark.parametrize(
    "trunk",
    [
        {"network": "linear", "hidden": ()},
        {"hidden": (6, 4), "activation": "tanh"},
        {"hidden": (9,), "activation": "gelu", "l2": 0.01},
        {"hidden": (9,), "activation": "relu", "delta_l2": 0.01, "dropout": 0.2},
        DCN,
        DCN | {"hidden": (5,), "cross_layers": 1, "cross_rank": 7, "dropout": 0.5, "l2": 0.001},
    ],
)
def test_networks_compute_what_they_are_defined_as(head: str, trunk: dict[str, Any]) -> None:
    network_config = config(head=head, **trunk)
    model = fitted(network_config)
    x = customers(40, seed=2)
    expected = forward(network_config, network.weights(model), x.astype(np.float64))
    np.testing.assert_allclose(np.asarray(model(x)), expected, atol=1e-5)


@pytest.mark.parametrize("trunk", [{}, DCN | {"dropout": 0.5}])
def test_one_seed_gives_one_network(trunk: dict[str, Any]) -> None:
    models = [network.build(config(**trunk), seed) for seed in (1, 1, 2)]
    one, same, other = map(network.weights, models)
    assert all(one[name].tobytes() == same[name].tobytes() for name in one)
    kernels = [name for name in one if name.endswith("kernel") and "delta" not in name]
    assert all(one[name].tobytes() != other[name].tobytes() for name in kernels)
    draws = [one[name].ravel()[0] * math.sqrt(sum(one[name].shape)) for name in kernels]
    assert len(np.unique(np.round(draws, 5))) == len(draws), "no two layers begin alike"
    left_out = [np.asarray(model(customers(50), training=True)).tobytes() for model in models]
    assert left_out[0] == left_out[1] != left_out[2]


def test_dropout_is_for_training_alone() -> None:
    arrays = network.weights(network.build(config(hidden=(6, 4)), seed=1))
    plain, dropping = (network.build(config(hidden=(6, 4), dropout=rate)) for rate in (0.0, 0.5))
    for model in (plain, dropping):
        model.set_weights(network.arrange(model, arrays))
    x = customers(50)
    assert np.asarray(dropping(x)).tobytes() == np.asarray(plain(x)).tobytes()
    assert np.asarray(dropping(x, training=True)).tobytes() != np.asarray(plain(x)).tobytes()


@pytest.mark.parametrize("head", ["choice", "response"])
def test_logits_are_the_scores_before_the_last_activation(head: str) -> None:
    model = fitted(config(head=head))
    logits = np.asarray(network.logits(model)(customers(30)), np.float64)
    odds = np.exp(logits)
    shares = odds / odds.sum(axis=1, keepdims=True) if head == "choice" else odds / (1 + odds)
    np.testing.assert_allclose(np.asarray(model(customers(30))), shares, atol=1e-6)


def test_before_training_a_response_head_knows_no_difference_between_strategies() -> None:
    scores = np.asarray(network.build(config())(customers(20)))
    assert (scores == scores[:, :1]).all()
    assert np.ptp(scores[:, 0]) > 0.1


def test_penalties_are_where_the_config_puts_them() -> None:
    model = network.build(config(l2=0.5, delta_l2=0.25))
    arrays = network.weights(model)
    arrays["delta/kernel"] += 1
    model.set_weights(network.arrange(model, arrays))
    squares = {name: float((array**2).sum()) for name, array in arrays.items()}
    expected = 0.5 * (squares["hidden_0/kernel"] + squares["base/kernel"])
    expected += 0.75 * squares["delta/kernel"]
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_penalties_hold_for_crosses() -> None:
    model = network.build(config(**DCN, head="choice", l2=0.5))
    arrays = network.weights(model)
    kernels = [array for name, array in arrays.items() if name.endswith("kernel")]
    assert len(kernels) == 2 * 3 + 2 + 1
    expected = 0.5 * sum(float((array**2).sum()) for array in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_weights_of_another_network_are_refused() -> None:
    model, good = network.build(config()), network.weights(network.build(config(), seed=5))
    model.set_weights(network.arrange(model, dict(reversed(good.items()))))
    assert network.weights(model)["hidden_0/kernel"].tobytes() == good["hidden_0/kernel"].tobytes()
    wrong = good | {"delta/bias": np.zeros(4, np.float32)}
    with pytest.raises(BundleError, match=r"delta/bias: expected \(3,\), got \(4,\)$"):
        network.arrange(model, wrong)
    with pytest.raises(BundleError, match=r"extra: expected none, got \(1,\)"):
        network.arrange(model, good | {"extra": np.zeros(1, np.float32)})
    del good["base/bias"]
    with pytest.raises(BundleError, match=r"base/bias: expected \(1,\), got none"):
        network.arrange(model, good)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": ()},
        {"network": "linear"},
        {"network": "linear", "hidden": (), "dropout": 0.1},
        {"network": "dcn"},
        {"network": "dcn", "cross_layers": 1},
        DCN | {"hidden": ()},
        DCN | {"builder": CUSTOM["builder"]},
        {"cross_layers": 1, "cross_rank": 1},
        {"builder": CUSTOM["builder"]},
        CUSTOM | {"builder": ""},
        CUSTOM | {"builder": "os.system"},
        CUSTOM | {"builder": "os:system('id')"},
        {"dropout": 1.0},
        {"network": "transformer"},
        {"outputs": 0},
        {"inputs": 10**9},
        {"l2": -1.0},
    ],
)
def test_configs_that_name_no_network_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        config(**changes)


# ---- custom networks ------------------------------------------------------------------------------


def test_a_custom_network_comes_back_with_all_its_state(tmp_path: Path) -> None:
    """The layers have no names, so Keras numbers them otherwise when they are built again."""
    custom = config(**CUSTOM)
    model = fitted(custom)
    arrays = network.weights(model)
    moved = np.abs(arrays["custom/4/moving_mean"]).max()
    assert moved > 0.1, "the moving statistics of batch normalization were learned"
    assert len(arrays) == 10 + 4
    make_bundle(model, custom).save(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    again = network.build(loaded.manifest.network, builder=custom.builder)
    again.set_weights(network.arrange(again, loaded.weights))
    assert np.asarray(again(loaded.golden.inputs)).tobytes() == loaded.golden.outputs.tobytes()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", "RuntimeError: no weights today$"),
        ("narrow", r"float32 tensor of shape \(None, width\), got float32 of \(None,\)"),
        ("half", r"float32 tensor of shape \(None, width\), got float16 of \(None, 4\)"),
        ("counting", "expected float32 weights, got int32"),
        ("foreign", "not connected to `inputs`"),
        ("no_function", "not callable"),
        ("missing", "has no attribute 'missing'"),
    ],
)
def test_what_a_builder_does_wrong_is_told(function: str, message: str) -> None:
    builder = f"tests.custom_networks:{function}"
    with pytest.raises(BundleError, match=f"^model.builder {builder}: .*{message}"):
        network.build(config(**CUSTOM | {"builder": builder}), builder=builder)


def test_the_builder_of_the_handbook_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "networks.md").read_text()
    (tmp_path / "of_the_handbook.py").write_text(text.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    builder = "of_the_handbook:build"
    model = network.build(config(**CUSTOM | {"builder": builder}), builder=builder)
    assert network.weights(model)["custom/0/kernel"].shape == (FEATURES, 64)


@pytest.mark.parametrize("allowed", ["", "tests.custom_networks:normalized", "spy:other"])
def test_a_builder_that_this_process_does_not_name_is_not_imported(
    allowed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spy.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    spy = config(**CUSTOM | {"builder": "spy:build"})
    with pytest.raises(BundleError, match=f"expected builder '{allowed}'.*got .* 'spy:build'"):
        network.build(spy, builder=allowed)
    assert "spy" not in sys.modules
    with pytest.raises(SystemExit, match="imported"):
        network.build(spy, builder="spy:build")


# ---- bundles -------------------------------------------------------------------------------------


def test_a_bundle_comes_back_as_it_was(bundle: Bundle, folder: Path) -> None:
    loaded = Bundle.load(folder)
    assert loaded.manifest == bundle.manifest
    assert loaded.normalization.mean.tobytes() == (np.arange(FEATURES) / 3).tobytes()
    assert loaded.normalization.clip == 8.0
    assert list(loaded.weights) == list(bundle.weights)
    model = network.build(loaded.manifest.network)
    model.set_weights(network.arrange(model, loaded.weights))
    assert np.asarray(model(loaded.golden.inputs)).tobytes() == loaded.golden.outputs.tobytes()


def test_the_manifest_is_plain_json_for_people(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["created"] == "2026-11-24T10:45:12Z"
    assert manifest["strategies"] == ["mail", "push", "nothing"]
    assert manifest["metrics"] == {"auc": 0.75}
    assert {"keras", "tensorflow", "numpy", "python"} == set(manifest["libraries"])
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_bundles_of_the_first_release_are_read_and_written_as_they_were(tmp_path: Path) -> None:
    old = Path(__file__).parent / "golden" / "bundle-format-1"
    bundle = Bundle.load(old)
    assert bundle.manifest.version == "20261124T104512Z-d5b2fe62"
    assert bundle.manifest.network == NetworkConfig(
        network="mlp", head="response", inputs=2, outputs=2, hidden=(3,), l2=0.002
    )
    bundle.save(tmp_path / "copy")
    names = sorted(path.name for path in old.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "copy").iterdir())
    for name in names:
        assert (tmp_path / "copy" / name).read_bytes() == (old / name).read_bytes()


def test_no_clip_survives_json(bundle: Bundle) -> None:
    entry = msgspec.structs.replace(bundle.manifest.normalization, clip=None)
    manifest = msgspec.structs.replace(bundle.manifest, normalization=entry)
    again = msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest)
    assert again.normalization.arrays().clip == math.inf


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="with a time zone"):
        Fit(CREATED.replace(tzinfo=None), DataWindow(0, 1), 0)


@pytest.mark.parametrize("name", ["manifest.json", "weights.f32", "golden.f32", "report.json"])
@pytest.mark.parametrize("damage", ["missing", "flipped", "truncated", "longer", "empty"])
def test_any_damage_to_any_file_is_refused(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        flipped = data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]
        damaged = {
            "flipped": flipped,
            "truncated": data[: len(data) // 2],
            "longer": data + b"0",
            "empty": b"",
        }
        path.write_bytes(damaged[damage])
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Bundle.load(folder)


def test_no_more_is_read_than_a_manifest_may_have(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.bundle.MANIFEST_BYTES_MAX", 100)
    with pytest.raises(BundleError, match=r"manifest\.json: expected 100 bytes at most, got more"):
        Bundle.load(folder)


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a manifest as someone would who knows how its version is made."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    try:
        decoded = msgspec.convert(manifest, Manifest)
        manifest["version"] = version_of(decoded)
    except msgspec.ValidationError:
        pass  # what the reader has to find
    path.write_text(json.dumps(manifest))


def replaced(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        for key in parents:
            manifest = manifest[key]
        manifest[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("contract_digest", "0" * 16, "contract_digest: expected"),
        ("contract/kernel_version", 2, "contract_digest: expected"),
        ("contract/names", ["a"] * FEATURES, "each feature name once"),
        (
            "strategies",
            ["mail", "push", "nothing", "sms"],
            "number of strategies: expected 3, got 4",
        ),
        ("strategies", ["mail", "mail", "push"], "number of different strategies"),
        ("network/outputs", 4, "number of strategies: expected 4, got 3"),
        ("network/inputs", 8, "features in the contract: expected 8, got 7"),
        ("network/hidden", [4096] * 16, "bytes at least for"),
        ("network/builder", "os.system", "matching regex"),
        ("network/builder", "os:system", r"expected \['hidden'\] for network mlp"),
        ("network/dropout", 1.5, "Expected `float` < 1.0"),
        ("normalization/std", [0.0] * FEATURES, "std above 0"),
        ("normalization/mean", [0.0] * 8, "one shape"),
        ("metrics/auc", None, "Expected `float`"),
        ("files/../../etc/passwd", {}, "matching regex"),
        ("files/code.py", {}, "matching regex"),
        ("files", {}, "missing files: expected"),
        ("format", 2, "Invalid enum value 2"),
        ("version", "latest", "matching regex"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    folder: Path, path: str, value: Any, message: str
) -> None:
    change = replaced(path, value)
    if path.startswith("files/"):
        name = path.removeprefix("files/")

        def change(manifest: dict[str, Any]) -> None:
            manifest["files"][name] = manifest["files"]["report.json"]

    forge(folder, change)
    with pytest.raises(BundleError, match=message):
        Bundle.load(folder)


def test_crosses_that_the_weights_do_not_hold_are_refused(folder: Path) -> None:
    crossed = {"network": "dcn", "cross_layers": 8, "cross_rank": 512}
    forge(folder, lambda manifest: manifest["network"].update(crossed))
    least = 4 * (FEATURES * 5 + 2 * 8 * FEATURES * 512 + (5 + FEATURES) * 3)
    with pytest.raises(BundleError, match=f"expected {least} bytes at least for .*dcn"):
        Bundle.load(folder)


def test_a_manifest_edited_by_hand_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"auc": 0.75', '"auc": 0.99'))
    with pytest.raises(BundleError, match="the manifest was changed"):
        Bundle.load(folder)


def reweighed(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    forge(folder, lambda m: m["files"][name].update(bytes=len(data), sha256=sha256))


def test_numbers_that_are_not_finite_are_refused(folder: Path) -> None:
    data = bytearray((folder / "weights.f32").read_bytes())
    data[8:12] = np.float32("nan").tobytes()
    reweighed(folder, "weights.f32", bytes(data))
    with pytest.raises(BundleError, match="expected finite numbers"):
        Bundle.load(folder)


def test_arrays_that_do_not_add_up_to_the_file_are_refused(folder: Path) -> None:
    reweighed(folder, "weights.f32", (folder / "weights.f32").read_bytes() + bytes(4))
    with pytest.raises(BundleError, match="bytes of arrays"):
        Bundle.load(folder)


def test_an_array_name_that_comes_twice_is_refused(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        arrays = manifest["files"]["weights.f32"]["arrays"]
        arrays[0]["name"] = arrays[1]["name"]

    forge(folder, change)
    with pytest.raises(BundleError, match="each array name once"):
        Bundle.load(folder)


def test_a_golden_batch_with_an_output_too_many_is_refused(folder: Path) -> None:
    wide = np.zeros((16, FEATURES + 4), np.float32).tobytes()
    forge(folder, lambda m: m["files"]["golden.f32"]["arrays"][1].update(shape=[16, 4]))
    reweighed(folder, "golden.f32", wide)
    with pytest.raises(BundleError, match=r"got \{'inputs': \(16, 7\), 'outputs': \(16, 4\)\}"):
        Bundle.load(folder)
