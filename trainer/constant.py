"""A policy that does the same to everybody, as a bundle like any other.

Where the best single strategy earns as much as a model, it is what should go live: it is simpler, and it
is known to work. Its network is the weighted sum of the features with all weights 0, so that it says
mean rates and nothing of a customer; all strategies but the one are said to be untrained, so that the
policy takes that one wherever it is worth more than nothing.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from msgspec.structs import replace

from models import network
from models.bundle import Bundle, Fit, Golden
from stream.campaign.file import Campaign
from stream.columns import Float64s
from stream.policy.decision import NOTHING
from stream.scoring.scorer import Scorer, score_ms
from trainer.earnings import Scores, money
from trainer.examples.dataset import PARTS
from trainer.examples.inputs import Inputs
from trainer.examples.part import Part
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import scores
from trainer.gate.constants import judge_constant
from trainer.gate.gate import Verdict
from trainer.gate.money import Money
from trainer.judging import Parts, champion_scores, scores_of
from trainer.learning import outputs
from trainer.report.report import HTML, REPORT, Report, facts_of_verdict
from trainer.train import Prepared, Trained

_GOLDEN_ROWS = 16


def constant_of(bundle: Bundle) -> str | None:
    """The strategy that a bundle always takes; None of one that looks at customers."""
    manifest = bundle.manifest
    left = [name for name in manifest.strategies if name not in (*manifest.untrained, NOTHING)]
    kernels = [array for name, array in bundle.weights.items() if name.endswith("kernel")]
    if manifest.network.network != "linear" or len(left) != 1 or any(k.any() for k in kernels):
        return None
    return left[0]


def instead_of(
    campaign: Campaign, prepared: Prepared, trained: Trained, champion: Bundle | None
) -> Trained | None:
    """The best single strategy for everybody, judged like a model, when a model was not good enough.

    Args:
        campaign: The campaign file.
        prepared: The examples.
        trained: The model.
        champion: The model in force.

    Returns:
        None when the model is promoted, when nothing shows what strategies earn, when doing nothing is
        best, and when the champion always takes that strategy already.
    """
    money = trained.verdict.money
    if trained.verdict.promote or money is None or money.best_constant == NOTHING:
        return None
    strategy = money.best_constant
    if champion is not None and constant_of(champion) == strategy:
        return None
    normalization = trained.bundle.normalization
    learn, check, test = (prepared.dataset.part(which, normalization) for which in PARTS)
    parts, manifest = Parts(learn, check, test, prepared.dataset.doubts), trained.bundle.manifest
    bundle = partial(_bundle, campaign, prepared.plan, learn, outputs(campaign), strategy)
    window = manifest.judged_window or manifest.window  # its rates are those of the training part
    draft = bundle(Fit(manifest.created, window, manifest.seed))
    verdict = _verdict(campaign, prepared.plan, parts, draft, strategy, champion)
    if verdict is None:
        return None
    report = _report(campaign, trained.report, verdict)
    reports = {REPORT: report.encode(), HTML: report.html()}
    return Trained(bundle(Fit(manifest.created, window, manifest.seed, {}, reports)), report)


def _bundle(
    campaign: Campaign, plan: Inputs, learn: Part, names: tuple[str, ...], strategy: str, fit: Fit
) -> Bundle:
    linear = replace(campaign.model, network="linear", head="response", bins=0)
    config = network_config(linear, campaign.training, len(plan.names), len(names))
    model = network.build(config, fit.seed)
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    rates = _rates(learn, len(names))
    logits = np.log(rates / (1 - rates))
    base = logits[names.index(NOTHING)]
    model.get_layer("base").bias.assign([base])
    model.get_layer("delta").bias.assign(logits - base)
    some = learn.take(np.arange(min(len(learn), _GOLDEN_ROWS)))
    inputs = np.ascontiguousarray(np.concatenate([x for _, x in some.blocks()]))
    return Bundle.create(
        contract=plan.contract, normalization=learn.normalization, strategies=names, network=config,
        weights=network.weights(model), golden=Golden(inputs, scores(model, inputs)),
        untrained=tuple(name for name in names if name not in (strategy, NOTHING)), fit=fit,
    )  # fmt: skip


def _verdict(
    campaign: Campaign, plan: Inputs, parts: Parts, draft: Bundle, strategy: str,
    champion: Bundle | None,
) -> Verdict | None:  # fmt: skip
    """What the gate says of it; None when nothing shows what it earns."""
    scorer = Scorer(draft)
    scorer.check_golden()
    asked = Scores(parts.test, scores_of(scorer, parts.test), draft.manifest.untrained)
    other = champion_scores(campaign, parts.test, draft, champion)
    found = money(campaign, plan, (parts.learn, parts.check), asked, other)
    if not isinstance(found, Money):
        return None
    return judge_constant(
        campaign.gate, strategy, found,
        champion=None if champion is None else champion.manifest.version,
        score_ms=score_ms(scorer), score_ms_max=campaign.model.score_ms_max,
    )  # fmt: skip


def _report(campaign: Campaign, of_model: Report, verdict: Verdict) -> Report:
    """The facts of the same data, and the verdict: there is no prediction to be judged."""
    facts = replace(
        of_model.facts, settings={"policy": f"always {verdict.constant}"}, losses=(),
        validation_losses=(), trials=0, importance={},
    )  # fmt: skip
    model = replace(campaign.model, network="linear")
    return Report(
        model=model, training=campaign.training, facts=facts_of_verdict(facts, verdict),
        verdict=verdict,
    )  # fmt: skip


def _rates(learn: Part, outputs: int) -> Float64s:
    """Mean outcome of each output, weighted by what chance did; those of few rows towards the mean of all."""
    propensity = learn.logged.propensity
    known = propensity > 0
    weight = np.where(known, 1 / np.where(known, propensity, 1.0), 1.0 if not known.any() else 0.0)
    rows = np.bincount(learn.strategy, weight, outputs)
    positive = np.bincount(learn.strategy, weight * learn.outcome, outputs)
    overall = (positive.sum() + 0.5) / (rows.sum() + 1)
    rates: Float64s = (positive + overall) / (rows + 1)
    return np.clip(rates, 1e-6, 1 - 1e-6)
