"""Published versions with verdicts, and commands run on their registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from click.testing import CliRunner, Result

from models.bundle import Bundle, Fit, Golden
from models.contract import FeatureContract, Normalization
from models.manifest import DataWindow, NetworkConfig
from models.registry import Registry
from stream.campaign.training import GateSpec
from stream.errors import OperatorError
from trainer.gate.gate import Evidence, Interval, judge
from trainer.gate.money import Money

ROOT = Path(__file__).parents[3]
DAY_MS = 86_400_000
EARNS = Money(
    decisions=4_321, effective=2_000.0, contacts=0.4, value=Interval(2.0, 1.5, 2.5),
    over_nothing=Interval(1.0, 0.5, 1.5), best_constant="mail",
    over_best_constant=Interval(0.4, 0.1, 0.7), over_champion=Interval(0.3, 0.1, 0.5),
)  # fmt: skip
BETTER, WORSE = Interval(0.02, 0.01, 0.03), Interval(-0.02, -0.03, -0.01)


def verdict(over: str | None, difference: Interval = BETTER) -> dict[str, Any]:
    """The verdict on a candidate, as it stands in a report."""
    known = Evidence(
        rows=4_321, conversions=300, value=Interval(0.41, 0.4, 0.42), over_base_rates=difference,
        champion=over, compared=over is not None, compared_rows=4_321, compared_conversions=300,
        over_champion=difference, calibration_error=0.0, champion_calibration_error=0.0,
        calibration_gain=Interval(0.0, 0.0, 0.0), score_ms=1, bundle_bytes=1,
    )  # fmt: skip
    plain: dict[str, Any] = msgspec.to_builtins(judge(GateSpec(), known, EARNS, score_ms_max=50))
    return plain


def publish(
    registry: Registry,
    age: int = 0,
    report: dict[str, Any] | None = None,
    features: tuple[str, ...] = ("recency", "count"),
    mean: tuple[float, ...] = (0.0, 1.0),
    strategies: tuple[str, ...] = ("mail", "nothing"),
) -> str:
    """Publishes a version that was made on a day of November."""
    wide, out = len(features), len(strategies)
    bundle = Bundle.create(
        contract=FeatureContract(features, "[]"),
        normalization=Normalization(np.array(mean), np.full(wide, 2.0), 5.0),
        strategies=strategies,
        network=NetworkConfig(network="mlp", head="choice", inputs=wide, outputs=out, hidden=(4,)),
        weights={
            "hidden_0/kernel": np.zeros((wide, 4), np.float32),
            "hidden_0/bias": np.zeros(4, np.float32),
            "choice/kernel": np.zeros((4, out), np.float32),
            "choice/bias": np.zeros(out, np.float32),
        },
        golden=Golden(np.zeros((1, wide), np.float32), np.full((1, out), 0.5, np.float32)),
        fit=Fit(
            datetime(2026, 11, 1, 12, tzinfo=UTC) + timedelta(days=age),
            DataWindow(0, (20_000 + age) * DAY_MS),
            seed=age,
            metrics={"log_loss": 0.4 - age / 100, f"only_{age}": 1.0},
            reports={} if report is None else {"report.json": json.dumps(report).encode()},
        ),
    )
    return registry.publish(bundle)


Run = Callable[..., Result]


def invoke(registry: Registry, command: click.Command, *arguments: str) -> Result:
    """Runs a command on the registry; nothing is cut off."""
    options = [*arguments, "--registry", registry.url]
    return CliRunner().invoke(command, options, env={"COLUMNS": "400"})


def done(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(result: Result) -> str:
    """What an operator reads when the command ends with 2."""
    assert isinstance(result.exception, OperatorError), (result.output, result.exception)
    return str(result.exception)
