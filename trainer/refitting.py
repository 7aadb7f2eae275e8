"""What is published: the judged model's settings, fitted on all mature history.

A model that was judged has not learned from what judged it, nor from what said when to stop: the newest 40 %
of the examples and two windows. Customers of tomorrow are like those of yesterday, so what goes live learns
from all of it, with the settings and the number of epochs of the judged one, whose verdict stands for it.

Rules of this file
1. Nothing is chosen here: settings, epochs, weights and strategies without evidence are those that were judged.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from models import network
from models.bundle import Bundle, Fit
from models.manifest import DataWindow
from trainer.examples.part import Part
from trainer.examples.weights import inverse_propensity
from trainer.fitting.fit import fit
from trainer.learning import Learned, Watch, golden
from trainer.report.judged_model import packed


def refitted(learned: Learned, everything: Part, watch: Watch) -> Learned:
    """The same model, fitted on everything; the verdict and all figures stay those of the judged one.

    Args:
        learned: The model that was judged.
        everything: All examples that are mature, with a normalization of their own.
        watch: Told of the progress.

    Returns:
        As it came when the judged one is too large to be kept beside it: nobody could be compared with it.

    Raises:
        TrainingError: The fit has lost its numbers.
    """
    judged, of = learned.draft, learned.draft.manifest
    if packed(judged) is None:
        return learned
    watch.step("refitting")
    training, epochs = learned.campaign.training, max(learned.fitted.epochs, 1)
    if learned.fitted.weighted:
        everybody = np.ones(len(everything), np.bool_)
        known = everything.logged.propensity
        weight = inverse_propensity(known, everybody, training.weight_max)
        everything = replace(everything, weight=weight)
    training = msgspec.structs.replace(training, epochs=epochs, propensity_weights=False)
    nobody = everything.take(np.empty(0, np.int64))
    fitted = fit(of.network, training, everything, nobody, of.seed, watch.epochs)
    window = DataWindow(of.window.start_ms, int(everything.time_ms.max()) + 1)
    draft = Bundle.create(
        contract=of.contract, normalization=everything.normalization, strategies=of.strategies,
        network=of.network, weights=network.weights(fitted.model), golden=golden(fitted, everything),
        fit=Fit(of.created, window, of.seed, judged_window=of.window), untrained=of.untrained,
    )  # fmt: skip
    return replace(learned, draft=draft, judged=judged)
