"""From models and examples to an evaluation and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from models.backend import keras
from models.bundle import Bundle
from stream.campaign.file import Campaign
from stream.campaign.training import TrainingSpec
from stream.campaign.words import duration_ms
from stream.columns import Bools, Float32s
from stream.scoring.scorer import Scorer, score_ms
from trainer.earnings import Scores, money
from trainer.evaluation.baselines import BaseRate, fit_baselines
from trainer.evaluation.evaluate import evaluate_unseen
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.judged import Judged, Rival, Scored
from trainer.evaluation.slices import slices
from trainer.evaluation.thresholds import scored
from trainer.examples.chance import Doubts
from trainer.examples.inputs import Inputs
from trainer.examples.part import Part
from trainer.fitting.calibrate import calibrated_like
from trainer.fitting.fit import fit
from trainer.fitting.losses import is_proper
from trainer.fitting.network_config import network_config
from trainer.fitting.predict import predict
from trainer.gate.evidence import evidence
from trainer.gate.gate import Evidence, Verdict, judge
from trainer.gate.money import Money, Unproven
from trainer.report.judged_model import judged
from trainer.report.published import thresholds

LINEAR = "linear"


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Examples of three periods, as inputs of one model.

    Attributes:
        learn: What models and rules are fitted on.
        check: What thresholds are chosen on.
        test: What judges.
        doubts: What stands in the way of a verdict.
    """

    learn: Part
    check: Part
    test: Part
    doubts: Doubts = Doubts()  # noqa: RUF009  # frozen


def published_scores(bundle: Bundle, campaign: Campaign, part: Part) -> Scored:
    """The scores that a worker would give, with the thresholds of the model's own validation part.

    Raises:
        BundleError: Its report cannot be read.
    """
    scorer = Scorer(bundle, campaign.model.builder)
    scores = scores_of(scorer, part.normalized_with(scorer.normalization))
    return Scored(scores, thresholds(bundle))


def scores_of(scorer: Scorer, part: Part) -> Float32s:
    """Scores of a part whose normalization is the model's. Shape (n, K), float32."""
    out = np.empty((len(part), len(scorer.strategies)), np.float32)
    for where, x in part.blocks():
        out[where] = scorer.score(np.ascontiguousarray(x))
    return out


def rival_of(
    champion: Bundle | None, candidate: Bundle, campaign: Campaign, part: Part
) -> Rival | None:
    """The champion beside a candidate; None where they cannot be compared.

    Raises:
        BundleError: The report of the champion cannot be read.
    """
    if champion is None or not comparable(champion, candidate):
        return None
    scores = published_scores(champion, campaign, part)
    return Rival(scores, unseen(champion, part, campaign.training))


def comparable(champion: Bundle | None, candidate: Bundle) -> bool:
    """Whether both can score the same examples and answer the same question."""
    if champion is None:
        return False
    old, new = champion.manifest, candidate.manifest
    return (
        old.contract_digest == new.contract_digest
        and old.strategies == new.strategies
        and old.network.head == new.network.head
    )


def unseen(champion: Bundle, part: Part, training: TrainingSpec) -> Bools:
    """The examples that a champion has learned nothing of, nor of their outcomes. Shape (n,).

    What it was fitted on reaches to the end of its window, and the outcomes of that one attribution
    window further.
    """
    gap_ms = duration_ms(training.attribution_window) if part.timed else 0
    return part.time_ms >= champion.manifest.window.end_ms + gap_ms


def judge_candidate(
    campaign: Campaign,
    plan: Inputs,
    parts: Parts,
    draft: Bundle,
    champion: Bundle | None,
    seed: int,
) -> tuple[Evaluation | None, Verdict]:
    """Judges a new model beside the champion and the baselines, on the test part.

    Args:
        campaign: The campaign file, with the settings of the model.
        plan: Its compiled features.
        parts: The examples, as inputs of the candidate.
        draft: The candidate, without its report.
        champion: The model in force.
        seed: Of the linear baseline and of the resamples.

    Returns:
        The evaluation, None without test examples; and what the gate says.
    """
    scorer = Scorer(draft, campaign.model.builder)
    scorer.check_golden()
    evaluation = None
    if len(parts.test):
        evaluation = _evaluate(campaign, plan, parts, scorer, draft, champion, seed)
    measured: dict[str, Any] = {
        "champion": None if champion is None else champion.manifest.version,
        "compared": comparable(champion, draft),
        "score_ms": score_ms(scorer),
        "no_claim": parts.doubts.no_claim,
        "bundle_bytes": sum(map(len, draft.files.values())),
    }
    found = (
        Evidence(rows=0, conversions=0, value=None, over_base_rates=None, **measured)
        if evaluation is None
        else evidence(evaluation, campaign.gate.metric, **measured)
    )
    earned = _money(campaign, plan, parts, scorer, draft, champion)
    verdict = judge(
        campaign.gate, found, earned, score_ms_max=campaign.model.score_ms_max,
        broken=parts.doubts.broken,
    )  # fmt: skip
    return evaluation, verdict


def _money(
    campaign: Campaign, plan: Inputs, parts: Parts, scorer: Scorer, draft: Bundle,
    champion: Bundle | None,
) -> Money | Unproven:  # fmt: skip
    if campaign.model.head != "response":
        return Unproven(
            "a model of choices says nothing of what would happen without a contact, so nothing of money: "
            'set model.head = "response"'
        )
    if parts.doubts.unproven:
        return Unproven(parts.doubts.unproven)
    if not (len(parts.test) and len(parts.check)):
        return Unproven("no decisions are held back to judge by")
    other = champion_scores(campaign, parts.test, draft, champion)
    test = Scores(parts.test, scores_of(scorer, parts.test), draft.manifest.untrained)
    return money(campaign, plan, (parts.learn, parts.check), test, other)


def champion_scores(
    campaign: Campaign, part: Part, draft: Bundle, champion: Bundle | None
) -> Scores | None:
    """What the champion says of a part; None where it cannot be compared with a candidate."""
    if champion is None or not comparable(champion, draft):
        return None
    said = published_scores(judged(champion), campaign, part).scores
    return Scores(part, said, champion.manifest.untrained)


def _evaluate(
    campaign: Campaign,
    plan: Inputs,
    parts: Parts,
    scorer: Scorer,
    draft: Bundle,
    champion: Bundle | None,
    seed: int,
) -> Evaluation:
    names = draft.manifest.strategies
    head, (learn, check, test) = campaign.model.head, (parts.learn, parts.check, parts.test)
    before = Judged.of(check, head, names)
    rules = fit_baselines(campaign, plan, learn, names)
    said = {name: (rule.scores(check), rule.scores(test)) for name, rule in rules.items()}
    if head == "response" and not is_proper(draft.manifest.network, campaign.training):
        # The candidate was calibrated on the validation part: rules get what it got.
        said = {name: calibrated_like(check, *scores) for name, scores in said.items()}
    others = {name: scored(before, *scores) for name, scores in said.items()}
    if draft.manifest.network.network != "linear":
        linear = _linear(campaign, plan, names, parts, seed)
        others[LINEAR] = scored(before, predict(linear, check), predict(linear, test))
    evaluation = evaluate_unseen(
        Judged.of(test, head, names, slices(campaign, plan, test, learn)),
        scored(before, scores_of(scorer, check), scores_of(scorer, test)),
        others,
        rival_of(None if champion is None else judged(champion), draft, campaign, test),
        campaign.evaluation,
        seed,
    )
    rates = BaseRate.fit(learn, head, len(names)).rates
    return msgspec.structs.replace(
        evaluation, base_rates=dict(zip(names, rates.tolist(), strict=True))
    )


def _linear(
    campaign: Campaign, plan: Inputs, names: tuple[str, ...], parts: Parts, seed: int
) -> keras.Model:
    """The weighted sum of the features, which a deeper network has to be worth its trouble beside."""
    model = msgspec.structs.replace(campaign.model, network="linear")
    training = msgspec.structs.replace(
        campaign.training, loss="cross_entropy", class_weights="none"
    )
    config = network_config(model, training, len(plan.names), len(names))
    return fit(config, training, parts.learn, parts.check, seed).model
