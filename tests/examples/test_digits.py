"""The digits example: events in, a 784-32-10 network out, and the worker decides as it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from examples.digits.send import digits, events
from models import network
from models.bundle import Bundle
from stream.campaign.file import Campaign, load
from stream.columns import RecordChunk, Spans
from stream.features.plan import FeaturePlan, compile_features
from stream.kafka.records import RecordReader
from stream.pipeline import Deployment, Pipeline
from stream.policy.choice import Policy
from stream.scoring.scorer import Scorer
from stream.state.table import CustomerTable
from tests.bundles import bundle_of
from trainer.examples.building import build
from trainer.examples.dataset import Dataset
from trainer.examples.part import Part
from trainer.fitting.fit import Fitted, fit
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import predict
from trainer.history.source import EVERYTHING
from trainer.replay.shards import Shards

FILE = Path(__file__).parents[2] / "examples" / "digits" / "opportune.toml"
NOW_MS = 1_800_000_000_000


@dataclass(frozen=True)
class Learned:
    """What one training made, from the events on."""

    campaign: Campaign
    plan: FeaturePlan
    records: list[tuple[bytes, bytes]]
    dataset: Dataset
    test: Part
    fitted: Fitted
    bundle: Bundle


def chunks(records: list[tuple[bytes, bytes]], size: int) -> Iterator[RecordChunk]:
    for first in range(0, len(records), size):
        keys, values = zip(*records[first : first + size], strict=True)
        n = len(keys)
        yield RecordChunk(
            "digits", 0, np.arange(first, first + n), np.full(n, NOW_MS), Spans.of(keys),
            Spans.of(values), first + n,
        )  # fmt: skip


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    campaign = load(FILE)
    plan = compile_features(campaign)
    records = list(events(*digits()))
    folder = tmp_path_factory.mktemp("digits")
    (folder / "shards").mkdir()
    shards = Shards(campaign, plan, folder / "shards", EVERYTHING)
    for chunk in chunks(records, 1024):
        shards.add(chunk)
    assert not shards.rejects
    dataset = build(campaign, plan, shards, folder, campaign.training.seed)
    normalization = dataset.fit_normalization()
    train, validation, test = (
        dataset.part(part, normalization) for part in ("train", "validation", "test")
    )
    config = network_config(
        campaign.model, campaign.training, train.features, len(campaign.strategies)
    )
    fitted = fit(config, campaign.training, train, validation, campaign.training.seed)
    strategies = tuple(strategy.id for strategy in campaign.strategies)
    some = next(x for _, x in test.blocks())[:64]
    bundle = bundle_of(
        fitted.model, config, plan.contract, strategies, some, normalization=normalization
    )
    return Learned(campaign, plan, records, dataset, test, fitted, bundle)


def test_the_images_are_digits_of_28_by_28() -> None:
    images, shown = digits()
    assert images.shape == (1797, 784)
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert np.bincount(shown).min() > 170
    frames = images.reshape(-1, 28, 28)
    assert not frames[:, :2].any()
    assert not frames[:, :, -2:].any()
    assert (frames[:, 2:-2:3, 2:-2:3] == frames[:, 4:-2:3, 4:-2:3]).all()  # 3 x 3 of each


@pytest.mark.slow
def test_the_network_is_784_32_10(learned: Learned) -> None:
    shapes = {name: weight.shape for name, weight in network.weights(learned.fitted.model).items()}
    assert shapes == {
        "hidden_0/kernel": (784, 32), "hidden_0/bias": (32,),
        "choice/kernel": (32, 10), "choice/bias": (10,),
    }  # fmt: skip
    assert len(learned.fitted.losses) == 10


def test_an_image_arrives_pixel_by_pixel(learned: Learned) -> None:
    images, shown = digits()
    dataset = learned.dataset
    assert len(dataset) == len(images) - 1  # the last label is younger than its window
    order = np.argsort(dataset.time_ms)
    assert (dataset.strategy[order] == shown[:-1]).all()
    assert (dataset.values[:][dataset.rows[order]] == images[:-1]).all()


def test_later_images_are_read(learned: Learned) -> None:
    scores = predict(learned.fitted.model, learned.test)
    accuracy = (scores.argmax(axis=1) == learned.test.strategy).mean()
    assert len(learned.test) == 360
    assert accuracy >= 0.95


def served(learned: Learned, records: list[tuple[bytes, bytes]]) -> list[tuple[str, float]]:
    """The decisions of the worker: strategy and score."""
    scorer = Scorer(learned.bundle)
    scorer.check_golden()
    policy = Policy(learned.campaign, scorer.head, scorer.strategies)
    pipeline, table = (
        Pipeline(learned.campaign, learned.plan),
        CustomerTable(learned.plan.row_words),
    )
    decisions = []
    for chunk in chunks(records, 100):
        step = pipeline.step(
            chunk, table, Deployment(scorer, policy), silent_until=0, now_ms=NOW_MS
        )
        assert not step.rejects
        for batch in step.decisions:
            raw = bytes(batch.seal(-1, -1, -1))
            for written in RecordReader("digit-decisions", 0, raw, 0, 1 << 20):
                for i in range(len(written)):
                    data = json.loads(written.value[i] or b"")["data"]
                    decisions.append((data["action"]["strategy"], data["score"]))
    return decisions


@pytest.mark.slow
def test_the_worker_decides_as_the_model_does(learned: Learned) -> None:
    """The last images again, from another customer each time and from the same one."""
    test = learned.test
    images, _ = digits()
    last = slice(len(images) - 1 - len(test), len(images) - 1)
    scores = predict(learned.fitted.model, test)[np.argsort(test.time_ms)]
    expected = [f"digit-{digit}" for digit in scores.argmax(axis=1)]
    got = served(learned, learned.records[3 * last.start : 3 * last.stop])
    assert [strategy for strategy, _ in got] == expected
    assert np.abs(np.array([score for _, score in got]) - scores.max(axis=1)).max() < 1e-5
    one = [(b"image-0000", value.replace(b'"userId":"image-', b'"userId":"one", "was":"'))
           for _, value in learned.records[3 * last.start : 3 * last.stop]]  # fmt: skip
    assert [strategy for strategy, _ in served(learned, one)] == expected
