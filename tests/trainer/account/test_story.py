"""`opportune explain`: decisions of a worker, found, scored again, and taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from models import network
from models.contract import Normalization
from models.manifest import NetworkConfig
from models.registry import Registry
from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk
from stream.features.plan import compile_features
from tests.bundles import bundle_of
from tests.trainer.parity.parity_harness import (
    Record,
    Worker,
    bundle,
    campaign,
    chunks,
    history,
    text,
)
from trainer.account.contributions import attribute
from trainer.account.found_decision import FoundDecision, find_decision
from trainer.account.story import Story
from trainer.account.telling import tell
from trainer.commands.looking.explain import explain
from trainer.commands.options.history_options import HistoryOptions
from trainer.history.source import OnRecords

CHANCE = """
[exploration]
method = "epsilon"
epsilon = 0.3
[[holdouts]]
id = "some"
share = 0.3
"""


def exploring(form: str = "cloudevents") -> Campaign:
    return parse(text("shop", ["events"], form=form) + CHANCE)


class Log:
    """Decisions as a source."""

    def __init__(self, decisions: Sequence[Record]) -> None:
        self._decisions = decisions

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        yield from chunks(topics[0], self._decisions)

    def find(self, wanted: str) -> FoundDecision:
        found = find_decision(self, "decisions", wanted)
        assert found is not None
        return found


def decided(tmp_path: Path, of: Campaign) -> tuple[Log, list[dict[str, Any]], Registry]:
    """Decisions about a history, and the registry with their model."""
    model = bundle(compile_features(of), 3)
    worker = Worker(of, model)
    worker.take(history(60))
    registry = Registry(tmp_path / "registry")
    registry.publish(model)
    return Log(worker.decisions), [json.loads(d.value or b"") for d in worker.decisions], registry


def test_every_decision_of_a_worker_is_told_as_it_was(tmp_path: Path) -> None:
    of = exploring()
    log, decisions, registry = decided(tmp_path, of)
    assert {d["data"]["group"] for d in decisions} == {"holdout", "treatment"}
    assert {d["data"]["explored"] for d in decisions} == {True, False}
    for decision in decisions:
        data = decision["data"]
        story = tell(log.find(decision["id"]), of, registry)
        assert story.notes == []
        assert (story.decision, story.customer) == (decision["id"], decision["subject"])
        by_name = {one.strategy: one for one in story.strategies}
        chosen = by_name[data["action"]["strategy"]]
        assert chosen.code == "CHOSEN"
        assert chosen.probability == pytest.approx(data["action_probability"], abs=1e-9)
        assert {n: s.code for n, s in by_name.items() if s.stage} == {
            one["strategy"]: one["code"] for one in data["dropped"]
        }
        if chosen.strategy != "nothing":
            assert chosen.score == pytest.approx(data["score"], abs=1e-6)
            assert chosen.worth == pytest.approx(data["expected_value"], abs=1e-6)
        assert story.stages[-1].left == (chosen.strategy != "nothing")
        assert all(stage.left >= 0 for stage in story.stages)
        explained(story)


def explained(story: Story) -> None:
    """The contributions add up, those of a linear network exactly."""
    assert story.logit is not None
    assert story.logit_of_average is not None
    moved = sum(one.contribution for one in story.features)
    assert story.logit == pytest.approx(story.logit_of_average + moved, abs=1e-5)
    sizes = [abs(one.contribution) for one in story.features]
    assert sizes == sorted(sizes, reverse=True)


def test_of_a_customer_the_newest_decision_is_found(tmp_path: Path) -> None:
    log, decisions, _ = decided(tmp_path, campaign())
    customer = decisions[10]["subject"]
    newest = [d for d in decisions if d["subject"] == customer][-1]
    assert log.find(customer).told["id"] == newest["id"]
    assert find_decision(log, "decisions", "nobody") is None


def test_the_first_record_of_a_decision_counts(tmp_path: Path) -> None:
    log, decisions, _ = decided(tmp_path, campaign())
    again = Log([*log._decisions, *log._decisions])
    assert again.find(decisions[4]["id"]).where[2] == 4


def test_what_is_another_now_is_told(tmp_path: Path) -> None:
    of = campaign()
    log, decisions, registry = decided(tmp_path, of)
    acting = next(d for d in decisions if d["data"]["decision"] == "act")
    found = log.find(acting["id"])
    dear = msgspec.structs.replace(
        of, strategies=tuple(msgspec.structs.replace(s, value=7.0) for s in of.strategies)
    )
    (note,) = tell(found, dear, registry).notes
    assert "expected_value" in note
    (note,) = tell(found, of, Registry(tmp_path / "empty")).notes
    assert "cannot be loaded" in note
    (note,) = tell(found._replace(vector=None), of, registry).notes
    assert "no features" in note


def test_the_flat_form_tells_what_it_knows(tmp_path: Path) -> None:
    of = exploring("flat")
    log, decisions, registry = decided(tmp_path, of)
    story = tell(log.find(decisions[5]["decision_id"]), of, registry)
    assert story.notes == ["the flat form tells neither stages nor reasons"]
    assert (story.chosen, story.stages) == (decisions[5]["strategy"], [])
    explained(story)


def test_a_linear_network_is_told_by_its_weights() -> None:
    of = campaign()
    model = bundle(compile_features(of), 5)
    x = np.random.default_rng(1).normal(size=model.manifest.network.inputs).astype(np.float32)
    found = attribute(model, x, 1, 0)
    kernel = model.weights["choice/kernel"].astype(np.float64)
    by_hand = (kernel[:, 1] - kernel[:, 0]) * x
    np.testing.assert_allclose(found.contribution, by_hand, atol=1e-6)
    assert found.is_exact
    assert abs(found.rest) < 1e-5


def test_a_deep_network_is_told_by_integrated_gradients() -> None:
    plan = compile_features(campaign())
    n = len(plan.names)
    config = NetworkConfig(network="mlp", head="response", inputs=n, outputs=2, hidden=(16,))
    keras_model = network.build(config, seed=4)
    rng = np.random.default_rng(2)
    keras_model.set_weights([rng.normal(size=w.shape) for w in keras_model.get_weights()])
    model = bundle_of(
        keras_model, config, plan.contract, ("mail", "push"),
        rng.normal(size=(4, n)).astype(np.float32),
        normalization=Normalization(np.zeros(n), np.ones(n), 8.0),
    )  # fmt: skip
    x = rng.normal(size=n).astype(np.float32)
    x[2] = 0.0
    found = attribute(model, x, 0, -1)
    assert not found.is_exact
    assert abs(found.rest) < 0.02 * np.abs(found.contribution).sum()
    assert found.contribution[2] == 0
    logits = network.logits(keras_model)
    both = logits(np.stack([x, np.zeros_like(x)])).numpy()[:, 0]
    assert (found.logit, found.average) == pytest.approx(tuple(both.tolist()))


def test_the_command_prints_tables_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, decisions, registry = decided(tmp_path, exploring())
    file = tmp_path / "opportune.toml"
    file.write_text(text("shop", ["events"]) + CHANCE)
    monkeypatch.setattr(HistoryOptions, "source", lambda *_: log)
    arguments = [decisions[7]["id"], str(file), "--registry", registry.url]
    shown = CliRunner().invoke(explain, [*arguments, "--features", "3"], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    for told in ("Stages", "Strategies", "What moved", "others", decisions[7]["subject"]):
        assert told in shown.output
    plain = CliRunner().invoke(explain, [*arguments, "--json"], catch_exceptions=False)
    story = json.loads(plain.stdout)
    assert story["decision"] == decisions[7]["id"]
    assert len(story["features"]) == len(compile_features(campaign()).names)
