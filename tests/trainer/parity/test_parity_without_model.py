"""Parity of decisions that were made before there was a model."""

from __future__ import annotations

from stream.features.plan import compile_features
from tests.trainer.parity.parity_harness import Shop, Worker, bundle, causes


def test_decisions_before_there_was_a_model_are_compared_too(shop: Shop) -> None:
    worker = Worker(shop.campaign, bundle(compile_features(shop.campaign), 1))
    worker.explore()
    worker.take(shop.events[shop.campaign.topics.events[0]])
    shop.decisions[:] = worker.decisions
    parity = shop.check()
    assert parity.holds
    assert parity.compared == parity.equal == len(worker.decisions) > 0
    assert parity.models == {"none": len(worker.decisions)}
    shop.flip(3, feature=1)
    assert causes(shop.check()) == {"different": 1}
