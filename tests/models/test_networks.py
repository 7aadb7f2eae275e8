"""Networks compute what they are defined as; a user's builder is used as it was named."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models import network
from models.bundle import Bundle
from models.errors import BundleError
from models.manifest import NetworkConfig
from tests.models.models_harness import (
    ACTIVATIONS,
    CUSTOM,
    DCN,
    FEATURES,
    config,
    customers,
    fitted,
    make_bundle,
)

TRUNKS: list[dict[str, Any]] = [
    {"network": "linear", "hidden": ()},
    {"hidden": (6, 4), "activation": "tanh"},
    {"hidden": (9,), "activation": "gelu", "l2": 0.01},
    {"hidden": (9,), "activation": "relu", "delta_l2": 0.01, "dropout": 0.2},
    DCN,
    DCN | {"hidden": (5,), "cross_layers": 1, "cross_rank": 7, "dropout": 0.5, "l2": 0.001},
    {"network": "linear", "hidden": (), "bins": 3},
    {"hidden": (6, 4), "bins": 2},
]
"""Of every kind that is built, against `forward`."""


def pieces(edges: Any, x: Any) -> Any:
    """Every number and how far through each of its bins it is, one at a time."""
    rows = []
    for row in x:
        found = list(row)
        for value, own in zip(row, edges, strict=True):
            for low, high in itertools.pairwise(own):
                found.append(min(max((value - low) / (high - low), 0), 1) if high > low else 0.0)
        rows.append(found)
    return np.array(rows)


def forward(network_config: NetworkConfig, weights: dict[str, Any], x: Any) -> Any:
    """The definition of the networks, in float64."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    first = crossed = x
    encoded = pieces(w["encoding/edges"], x) if network_config.bins else x
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
    if network_config.bins:
        x = encoded if network_config.network == "linear" else np.concatenate([encoded, x], axis=1)
    if network_config.head == "choice":
        e = np.exp(x @ w["choice/kernel"] + w["choice/bias"])
        return e / e.sum(axis=1, keepdims=True)
    base = x @ w["base/kernel"] + w["base/bias"]
    return 1 / (1 + np.exp(-(base + x @ w["delta/kernel"] + w["delta/bias"])))


@pytest.mark.slow
@pytest.mark.parametrize("head", ["choice", "response"])
@pytest.mark.parametrize("trunk", TRUNKS)
def test_networks_compute_what_they_are_defined_as(head: str, trunk: dict[str, Any]) -> None:
    network_config = config(head=head, **trunk)
    model = fitted(network_config)
    x = customers(40, seed=2)
    if network_config.bins:  # the last feature has a bin without width
        edges = np.sort(customers(network_config.bins + 1, seed=5), axis=0).T
        edges[-1, :2] = 0.0
        edges[-1].sort()
        model.get_layer("encoding").set_weights([edges])
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


@pytest.mark.slow
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
    builder = f"tests.models.custom_networks:{function}"
    with pytest.raises(BundleError, match=f"^model.builder {builder}: .*{message}"):
        network.build(config(**CUSTOM | {"builder": builder}), builder=builder)


def test_the_builder_of_the_handbook_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
    (tmp_path / "of_the_handbook.py").write_text(text.split("```python\n")[1].split("```")[0])
    monkeypatch.syspath_prepend(tmp_path)
    builder = "of_the_handbook:build"
    model = network.build(config(**CUSTOM | {"builder": builder}), builder=builder)
    assert network.weights(model)["custom/0/kernel"].shape == (FEATURES, 64)


@pytest.mark.parametrize("allowed", ["", "tests.models.custom_networks:normalized", "spy:other"])
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
