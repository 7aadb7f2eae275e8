"""Training from history to a judged, published model: one seed one model, champion and gate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.bundle import Bundle
from stream.campaign.file import Campaign, parse
from stream.columns import RecordChunk
from stream.errors import CampaignError
from stream.features.plan import apply, compile_features
from stream.policy.choice import Policy
from stream.policy.decision import Dropped
from stream.scoring.scorer import Scorer
from tests.trainer.shop_history import (
    CAMPAIGN,
    DAY_MS,
    START_MS,
    TOPICS,
    Event,
    Memory,
    chunks,
    shop,
    timelines_of,
)
from trainer.errors import TrainingError
from trainer.evaluation.evaluation import CHAMPION
from trainer.learning import outputs
from trainer.report.report import Report
from trainer.train import Trained, prepare, train

pytestmark = pytest.mark.slow

CREATED = datetime(2026, 11, 24, tzinfo=UTC)
EVALUATION = "[evaluation]\nresamples = 100\n[gate]\nslice_rows_min = 50\nunproven = 'promote'\n"


def campaign_with(more: str = "") -> Campaign:
    return parse(CAMPAIGN + EVALUATION + more)


def train_on(
    events: list[Event], campaign: Campaign, folder: Path, seed: int = 5, **how: Any
) -> Trained:
    folder.mkdir(exist_ok=True)
    prepared = prepare(campaign, Memory(chunks(events, partitions=2)), folder, seed)
    return train(campaign, prepared, seed=seed, created=CREATED, **how)


@pytest.mark.parametrize("head", ["response", "choice"])
def test_a_model_learns_whom_which_strategy_moves(head: str, tmp_path: Path) -> None:
    campaign = campaign_with(f'[model]\nhead = "{head}"\n')
    events = shop(200, seed=3)
    first = train_on(events, campaign, tmp_path / "first")
    assert first.verdict.promote, first.verdict.words

    scorer = Scorer(first.bundle)
    assert scorer.strategies == outputs(campaign)
    plan = compile_features(campaign)
    x = []
    for event in (Event(0, "rich", START_MS, 200.0), Event(0, "thrifty", START_MS + 1, 2.0)):
        (timeline,) = timelines_of([event], campaign, plan)
        state, one = np.zeros((1, plan.row_words)), np.zeros(1, np.int64)
        batch = timeline.batch(one)
        x.append(apply(plan, state, one, batch, 0, first.bundle.normalization).features)
    scores = scorer.score(np.concatenate(x))
    mail, call = scorer.strategies.index("mail"), scorer.strategies.index("call")
    assert scores[0, mail] > scores[0, call] + 0.2
    assert scores[1, call] > scores[1, mail] + 0.2
    metrics = first.bundle.manifest.metrics
    if head == "response":
        assert metrics["contacted.roc_auc"] > 0.7
        assert scores[0, mail] == pytest.approx(0.6, abs=0.2)  # a probability, not a rank
        assert scores[0, scorer.strategies.index("nothing")] < 0.2
    else:
        assert metrics["accuracy"] > 0.8
    assert b"<svg" in first.bundle.files["report.html"]
    assert Report.decode(first.bundle.files["report.json"]) == first.report


def test_one_seed_makes_one_model(tmp_path: Path) -> None:
    events = shop(60, seed=3)
    first, second, other = (
        train_on(events, campaign_with(), tmp_path / str(i), seed)
        for i, seed in enumerate((5, 5, 6))
    )
    measured = {"report.json", "report.html"}  # they tell how long scoring took
    for name in first.bundle.files.keys() - measured:
        assert first.bundle.files[name] == second.bundle.files[name]
    assert first.report.evaluation == second.report.evaluation
    assert first.bundle.files["weights.f32"] != other.bundle.files["weights.f32"]


def test_a_candidate_is_compared_with_the_champion_on_the_same_rows(tmp_path: Path) -> None:
    campaign = campaign_with()
    events = shop(200, seed=3)
    champion = train_on(events, campaign, tmp_path / "champion").bundle
    again = train_on(events, campaign, tmp_path / "again", champion=champion)
    assert again.verdict.opponent == f"champion {champion.manifest.version}"
    assert again.verdict.difference is not None
    assert again.verdict.difference.value == 0.0
    assert not again.verdict.promote  # the same model is not better
    evaluation = again.report.evaluation
    assert evaluation is not None
    assert {CHAMPION, "base_rate", "rfm", "linear"} < set(evaluation.models)

    other = campaign_with('[[features]]\nop = "tenure"\n')
    incomparable = train_on(events, other, tmp_path / "other", champion=champion)
    assert incomparable.verdict.opponent == "base rates"
    assert incomparable.verdict.champion == champion.manifest.version


def test_a_strategy_without_examples_is_told_and_never_chosen_by_the_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    campaign = parse(
        (CAMPAIGN + EVALUATION).replace(
            '[[strategies]]\nid = "mail"',
            '[[strategies]]\nid = "gift"\nvalue = 60\n[[strategies]]\nid = "mail"',
        )
    )
    trained = train_on(shop(200, seed=3), campaign, tmp_path / "work")
    assert trained.bundle.manifest.untrained == ("gift",)
    (told,) = trained.report.facts.notices
    assert "got 0 of gift: the policy does not choose" in told
    assert told in caplog.messages
    scorer = Scorer(trained.bundle)
    policy = Policy(campaign, scorer.head, scorer.strategies, scorer.untrained)
    scores = scorer.score(np.zeros((50, scorer.features), np.float32))
    nothing_said = np.empty((0, 50), np.int8), np.empty((0, 50), np.bool_)
    decisions = policy.choose(scores, np.ones((50, 3), np.bool_), *nothing_said)
    assert not (decisions.strategy == 0).any()
    assert (decisions.dropped[:, 0] == Dropped.UNTRAINED).all()
    few = msgspec.structs.replace(campaign.training, examples_min=1_000_000)
    other = train_on(
        shop(60, seed=3), msgspec.structs.replace(campaign, training=few), tmp_path / "few"
    )
    assert other.bundle.manifest.untrained == ("gift", "mail", "call")


def test_without_test_examples_there_is_no_verdict(tmp_path: Path) -> None:
    text = (CAMPAIGN + EVALUATION).replace("epochs = 12", "epochs = 12\ntest_share = 0")
    trained = train_on(shop(60, seed=3), parse(text), tmp_path / "work")
    assert trained.report.evaluation is None
    assert not trained.verdict.promote
    assert trained.bundle.manifest.metrics == {}


def test_a_search_finds_the_settings_of_the_model(tmp_path: Path) -> None:
    campaign = campaign_with('[search]\ntrials = 2\nnetworks = ["linear"]\n')
    trials = tmp_path / "trials"
    trained = train_on(
        shop(60, seed=3), campaign, tmp_path / "work", searches=True, trials_file=trials
    )
    found = trained.report.search
    assert found is not None
    assert [trial.number for trial in found.trials] == [0, 1]
    assert trained.bundle.manifest.network.network == found.model.network
    assert trained.report.training == found.training


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ('[[evaluation.slices]]\nname = "new"\nconditions = ["tenur < 1"]\n', "tenur"),
        ('[evaluation]\nrfm = ["a", "b", "c"]\n', "evaluation.rfm"),
    ],
)
def test_a_mistake_about_the_evaluation_is_told_before_anything_is_read(
    more: str, where: str, tmp_path: Path
) -> None:
    class Unread:
        def chunks(self, *_: Any) -> Iterator[RecordChunk]:
            raise AssertionError("read")

    with pytest.raises(CampaignError, match=where):
        prepare(parse(CAMPAIGN + more), Unread(), tmp_path, 5)


def test_a_history_without_conversions_is_refused(tmp_path: Path) -> None:
    silent = [event for event in shop(40, seed=3) if event.kind != 2]
    with pytest.raises(TrainingError, match='followed by "Coupon Redeemed" within 10d'):
        train_on(silent, campaign_with(), tmp_path / "work")


def send_shop(bootstrap: str, names: Mapping[str, str]) -> None:
    """Sends events to topics of these names, and one record that is none."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for event in shop(200, seed=3):
        producer.produce(names[TOPICS[event.kind]], event.json(), event.customer)
        producer.poll(0)
    producer.produce(names["orders"], b"no event", b"ann")
    producer.flush(30)


def campaign_file(folder: Path, names: Mapping[str, str]) -> Path:
    """The campaign of the shop, with topics of these names."""
    text = CAMPAIGN + EVALUATION
    for topic, name in names.items():
        text = text.replace(f'"{topic}"', f'"{name}"')
    file = folder / "opportune.toml"
    file.write_text(text)
    return file


@pytest.mark.kafka
def test_the_commands_on_topics(
    kafka: Any, create_topics: Any, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    from models.registry import Registry

    names = {topic: topic_name(topic) for topic in TOPICS}
    create_topics(dict.fromkeys(names.values(), 3))
    send_shop(kafka.bootstrap, names)
    file = campaign_file(tmp_path, names)
    registry = Registry(tmp_path / "registry")
    until = datetime.fromtimestamp((START_MS + 140 * DAY_MS) / 1000, UTC).isoformat()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stream", arguments[0], str(file), *arguments[1:],
             "--bootstrap", kafka.bootstrap, "--registry", registry.url],
            capture_output=True, text=True, timeout=240, check=False,
            env=os.environ | {"COLUMNS": "120"},
        )  # fmt: skip

    page = tmp_path / "report.html"
    first = run("train", "--promote", "never", "--until", until, "--json", "--html", str(page))
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert said["verdict"]["promote"], said["verdict"]
    assert not said["promoted"]
    assert registry.versions() == [said["version"]]
    assert registry.pointer("champion") is None
    assert page.read_bytes() == registry.load(said["version"]).files["report.html"]
    report = Report.decode(registry.load(said["version"]).files["report.json"])
    assert report.facts.rejects == {"bad_json": 1}
    assert report.facts.examples["mail"].rows > 50
    bundle: Bundle = registry.load(said["version"])
    assert bundle.manifest.window.end_ms <= START_MS + 140 * DAY_MS

    judged = run("evaluate", said["version"], "--json")
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout)["head"] == "response"

    service = run("trainer", "--once", "--log-format", "json")
    assert service.returncode == 0, service.stderr
    champion = registry.pointer("champion")
    assert champion == registry.versions()[-1] != said["version"]
    (move,) = registry.history()
    assert move.champion == champion

    missing = run("train", "--offsets", f"{names['orders']}/7:0-1")
    assert missing.returncode == 2
    assert "partitions" in missing.stderr
