"""From examples and scores to an `Evaluation`.

Rules of this file
1. Arrays in, an `Evaluation` out; the seed decides all that is random.
2. Memory grows with examples and with customers, not with their product with the resamples: these
   come in chunks, and each chunk goes through all models and groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from msgspec.structs import replace

from stream.campaign.training import EvaluationSpec
from stream.columns import Float64s
from trainer.errors import TrainingError
from trainer.evaluation import bootstrap
from trainer.evaluation.curves import curves
from trainer.evaluation.draws import Draws
from trainer.evaluation.evaluation import CANDIDATE, CHAMPION, Curves, Estimate, Evaluation, Group
from trainer.evaluation.grouping import Grouping, Member, group, questions
from trainer.evaluation.judged import Judged, Rival, Scored, check_scores
from trainer.evaluation.metrics import LOWER_IS_BETTER, METRICS, UNDIRECTED
from trainer.evaluation.ranking import Question


def evaluate(
    judged: Judged,
    candidate: Scored,
    others: Mapping[str, Scored],
    spec: EvaluationSpec,
    seed: int,
) -> Evaluation:
    """Judges a model beside others on the same examples.

    Args:
        judged: The examples.
        candidate: The model.
        others: Champion and baselines by name; the champion's is `CHAMPION`.
        spec: Resamples and confidence.
        seed: Of the resamples.

    Raises:
        TrainingError: There are no examples, or a score is no probability.
    """
    if len(judged) == 0:
        raise TrainingError(
            "expected test examples, got none. Train on a longer history, or raise "
            "training.test_share"
        )
    models = {CANDIDATE: candidate, **others}
    for name, scored in models.items():
        check_scores(name, scored, judged)
    judging = _judge(judged, models, spec, seed)
    return Evaluation(
        head=judged.head,
        strategies=judged.names,
        start=_time(judged.time_ms.min()) if judged.timed else None,
        end=_time(judged.time_ms.max()) if judged.timed else None,
        resamples=spec.resamples,
        confidence=spec.confidence,
        seed=seed,
        thresholds={
            name: dict(zip(judged.names, scored.thresholds.tolist(), strict=True))
            for name, scored in models.items()
            if scored.thresholds is not None
        },
        groups=tuple(judging.group(g) for g in range(len(judging.grouping.members))),
    )


def evaluate_unseen(
    judged: Judged,
    candidate: Scored,
    others: Mapping[str, Scored],
    rival: Rival | None,
    spec: EvaluationSpec,
    seed: int,
) -> Evaluation:
    """`evaluate`, with a rival beside the candidate on examples that neither has learned from.

    Raises:
        TrainingError: As `evaluate`.
    """
    if rival is not None and rival.unseen.all():
        return evaluate(judged, candidate, {**others, CHAMPION: rival.scored}, spec, seed)
    found = evaluate(judged, candidate, others, spec, seed)
    if rival is None or not rival.unseen.any():
        return found
    new = rival.unseen
    beside = {CHAMPION: rival.scored.take(new)}
    return replace(
        found, unseen=evaluate(judged.take(new), candidate.take(new), beside, spec, seed)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judging:
    """All models in every resample."""

    grouping: Grouping
    questions: dict[str, list[Question]]
    draws: dict[str, Draws]
    confidence: float

    def group(self, g: int) -> Group:
        """The numbers of one group, with intervals."""
        member = self.grouping.members[g]
        values = {name: draws.values[g] for name, draws in self.draws.items()}
        gains = {
            name: _gains(values[CANDIDATE], other)
            for name, other in values.items()
            if name != CANDIDATE
        }
        return Group(
            kind=member.kind,
            name=member.name,
            rows=member.rows,
            customers=member.customers,
            positives=member.positives,
            metrics={name: self._estimates(found, member) for name, found in values.items()},
            gains={name: self._estimates(found, member) for name, found in gains.items()},
            curves=self._curves(g, member),
        )

    def _estimates(self, draws: Float64s, member: Member) -> dict[str, Estimate]:
        found = {
            metric: bootstrap.estimate(draws[m], member.customers, self.confidence)
            for m, metric in enumerate(METRICS)
        }
        return {metric: one for metric, one in found.items() if one is not None}

    def _curves(self, g: int, member: Member) -> dict[str, Curves]:
        if member.question is None or not member.has_curves:
            return {}
        mask = self.grouping.masks[member.mask]
        return {
            name: curves(
                asked[member.question].ranking(mask), self.draws[name].observed[g],
                self.draws[name].points[g], member.customers, self.confidence,
            )
            for name, asked in self.questions.items()
        }  # fmt: skip


def _judge(
    judged: Judged, models: Mapping[str, Scored], spec: EvaluationSpec, seed: int
) -> _Judging:
    customer = np.unique(judged.customer, return_inverse=True)[1].astype(np.int32)
    grouping = group(judged, customer)
    asked = {name: questions(judged, scored, customer) for name, scored in models.items()}
    draws = {
        name: Draws(
            grouping, spec.resamples,
            decides=judged.head == "choice" or scored.thresholds is not None,
        )
        for name, scored in models.items()
    }  # fmt: skip
    for chunk in range(bootstrap.chunks(spec.resamples)):
        counts = bootstrap.draw(int(customer.max()) + 1, seed, chunk)
        for name in models:
            draws[name].add(chunk, asked[name], counts)
    for found in draws.values():
        found.finish()
    return _Judging(grouping, asked, draws, spec.confidence)


def _gains(candidate: Float64s, other: Float64s) -> Float64s:
    """How much better the candidate is, NaN where neither more nor less is better."""
    sign = [
        np.nan if metric in UNDIRECTED else -1.0 if metric in LOWER_IS_BETTER else 1.0
        for metric in METRICS
    ]
    return np.array(sign)[:, np.newaxis] * (candidate - other)


def _time(epoch_ms: np.int64) -> datetime:
    return datetime.fromtimestamp(int(epoch_ms) / 1000, UTC)
