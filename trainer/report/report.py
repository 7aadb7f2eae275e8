"""What a training did and what came of it: as JSON for programs, as a page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from models.network_kinds import KINDS
from stream.campaign.file import Campaign
from stream.campaign.training import ModelSpec, TrainingSpec
from stream.policy.decision import NOTHING
from trainer.evaluation.evaluation import Evaluation
from trainer.evaluation.offpolicy.uplift_found import Uplift
from trainer.examples.controls import Controls
from trainer.gate.gate import Verdict
from trainer.report import money_words
from trainer.report.facts import Check, Examples, Facts, Span
from trainer.report.html import render_html, render_plain
from trainer.search.found import Found

if TYPE_CHECKING:  # reading a report needs no TensorFlow
    from trainer.examples.dataset import Dataset
    from trainer.examples.part import Part
    from trainer.fitting.fit import Fitted

REPORT = "report.json"
HTML = "report.html"

_JOINS = {
    "actions": "in the history",
    "duplicates": "told again, counted once",
    "unknown_strategy": "of another strategy",
    "no_decision_point": "without a decision point before",
    "too_late": "too long after their decision point (training.decision_age_max)",
    "event_missing": "about an event that is not in the history",
    "immature": "too young for their attribution window to be over",
    "behind": "too young for a topic of outcomes that is behind",
    "unread": "with outcomes that may not have been read",
    "cold": "too soon after a cut of the history",
}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a training did.

    Attributes:
        model: The network, after a search.
        training: How it was fitted, after a search.
        facts: History, examples, losses, in numbers and words.
        evaluation: How good it is on the test part; None without one.
        verdict: What the gate said; None of a later evaluation.
        search: What was tried.
        uplift: Who reacts to what, where decisions show it.
    """

    model: ModelSpec
    training: TrainingSpec
    facts: Facts
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None
    search: Found | None = None
    uplift: Uplift | None = None

    @classmethod
    def decode(cls, data: bytes) -> Report:
        """Reads what `encode` wrote."""
        return msgspec.json.decode(data, type=cls)

    def encode(self) -> bytes:
        """JSON."""
        return msgspec.json.encode(self)

    def html(self) -> bytes:
        """The page; of what predicts nothing, and without test examples, what is known of it alone."""
        if self.evaluation is None:
            return render_plain(self.facts)
        return render_html(self.evaluation, self.facts, self.uplift)


def facts_of_history(
    campaign: Campaign,
    dataset: Dataset,
    rejects: Mapping[str, int],
    names: Sequence[str],
    created: datetime,
    parts: Mapping[str, Part],
    *,
    candidate: str = "",
    champion: str = "",
    notices: Sequence[str] = (),
) -> Facts:
    """What is known of the data.

    Args:
        campaign: The campaign file.
        dataset: All examples.
        rejects: Records that are no events, by reason code.
        names: Strategy id of each output.
        created: When.
        parts: Parts of the examples by name.
        candidate: Version of the model that is judged, if it has one yet.
        champion: Version of the model beside it.
        notices: What there is to say beside what the history lacks.
    """
    return Facts(
        campaign=campaign.app,
        candidate=candidate,
        champion=champion,
        created=created,
        outcome=campaign.training.outcome,
        attribution_window="" if dataset.is_table else campaign.training.attribution_window,
        randomised=_is_randomised(dataset),
        table=dataset.is_table,
        events=dataset.events,
        repeated=dataset.repeated,
        history=Span(
            _time(dataset.start_ms) if dataset.timed else None,
            _time(dataset.end_ms) if dataset.timed else None,
            len(dataset),
            dataset.customers,
        ),
        periods={name: _span(part) for name, part in parts.items() if len(part)},
        joins=joins_of(dataset),
        examples=examples_of(dataset, names),
        rejects=dict(rejects),
        notices=(*dataset.notices, *notices),
        caveats=dataset.caveats,
    )


def facts_of_training(
    facts: Facts, campaign: Campaign, fitted: Fitted, found: Found | None, verdict: Verdict
) -> Facts:
    """What is known of the data, and of a training on them.

    Args:
        facts: Of the data.
        campaign: With the settings that were used.
        fitted: The model.
        found: What a search found.
        verdict: What the gate said.
    """
    made = msgspec.structs.replace(
        facts,
        settings=_settings(campaign, fitted),
        losses=fitted.losses,
        validation_losses=fitted.validation_losses,
        trials=0 if found is None else len(found.trials),
        importance={} if found is None else found.importance,
    )
    return facts_of_verdict(made, verdict)


def facts_of_verdict(facts: Facts, verdict: Verdict) -> Facts:
    """The same, with what the gate said."""
    return msgspec.structs.replace(
        facts,
        passed=verdict.promote,
        money=money_words.sentences(verdict),
        unproven=bool(verdict.unproven),
        broken=bool(verdict.broken),
        checks=tuple(
            Check(
                check.passed,
                f"{check.name}: expected {check.expected}, got {check.got}; {check.why}",
            )
            for check in verdict.checks
        ),
    )


def joins_of(dataset: Dataset) -> dict[str, int]:
    """What became of the treatments or decisions, in words; nothing of rows, each of which is an example."""
    if dataset.is_table:
        return {}
    kind = "decisions" if dataset.training.learn_from == "decisions" else "treatments"
    counts = dataset.counts
    found = {
        f"{kind} {words}": int(getattr(counts, name))
        for name, words in _JOINS.items()
        if name == "actions" or getattr(counts, name)
    }
    if counts.expired:
        found[f"{kind} that had expired when they were published, left out"] = counts.expired
    found[f"{kind} that became examples"] = counts.joined
    if counts.held_out:
        found[f"{kind} about customers who were held out"] = counts.held_out
    if counts.untreated:
        found["examples of decision points that were left alone so far"] = counts.untreated
        found["decision points that these are of"] = counts.untreated_points
        found["of these examples contacted later within the window"] = counts.contacted_later
    if counts.unmatched:
        found[f"{kind} beside which nobody was left alone"] = counts.unmatched
    return found


def _is_randomised(dataset: Dataset) -> bool:
    """Whether chance decided: everybody's probability was said, and who was left alone was drawn."""
    drawn = dataset.controls is not Controls.OBSERVED
    return drawn and bool(np.all(dataset.logged.propensity < 1.0))  # NaN, nobody said, is not below


def examples_of(dataset: Dataset, names: Sequence[str]) -> dict[str, Examples]:
    """Rows and conversions by strategy."""
    rows = np.bincount(dataset.strategy, minlength=len(names))
    positives = np.bincount(dataset.strategy[dataset.outcome], minlength=len(names))
    found = {name: Examples(int(rows[k]), int(positives[k])) for k, name in enumerate(names)}
    if dataset.sent is None:
        return found
    sent = np.bincount(dataset.strategy[dataset.sent], minlength=len(names)).tolist()
    both = dataset.sent & dataset.outcome
    followed = np.bincount(dataset.strategy[both], minlength=len(names)).tolist()
    return {
        name: one
        if name == NOTHING
        else msgspec.structs.replace(one, sent=sent[k], sent_conversions=followed[k])
        for k, (name, one) in enumerate(found.items())
    }


def _settings(campaign: Campaign, fitted: Fitted) -> dict[str, str]:
    """How the model was made, for people."""
    model, training = campaign.model, campaign.training
    kind, hidden = KINDS[model.network], "-".join(map(str, model.hidden))
    words = {
        "network": f"{model.network} {hidden}" if "hidden" in kind.uses else model.network,
        "head": model.head,
        "optimizer": f"{training.optimizer}, learning rate {training.learning_rate:g}",
        "loss": training.loss,
        "batch size": f"{training.batch_size:,}",
    }
    if fitted.epochs:  # the head of a linear network may be all there is, and is not trained
        words["epochs"] = f"{fitted.epochs} of at most {training.epochs}"
    if fitted.solved is not None:
        *strategies, base = (f"{shown:.1f}" for shown in fitted.solved.shown)
        words["effects"] = (
            f"by evidence, after {fitted.solved.passes} passes: the examples determine {base} weights of "
            f"the base and {', '.join(strategies)} of the strategies, the others are shrunken"
        )
    if "cross_layers" in kind.needs:
        words["cross layers"] = f"{model.cross_layers} of rank {model.cross_rank}"
    if model.dropout and "dropout" in kind.uses:
        words["dropout"] = f"{model.dropout:g}"
    if training.class_weights:
        words["class weights"] = training.class_weights
    words |= _weights(training, fitted)
    if fitted.calibration is not None:
        found = fitted.calibration
        words["calibration"] = (
            f"logits times {found.scale:.3f}, plus {found.bias:+.3f}"
            if found.applied
            else "not needed"
        )
    return words


def _weights(training: TrainingSpec, fitted: Fitted) -> dict[str, str]:
    """Whether examples count 1 / propensity, and why."""
    if training.propensity_weights or fitted.weighted:
        words = f"1 / propensity, {training.weight_max:g} at most"
        if fitted.knew is not None:
            words += (
                ": whoever decided knew more of the outcome than the features say "
                f"(p = {fitted.knew.p_value:.2g})"
            )
        return {"weights": words}
    if fitted.knew is not None:
        return {
            "weights": "none: what the probabilities of the log say of the outcome, the features say too "
            f"(p = {fitted.knew.p_value:.2g})"
        }
    return {}


def _span(part: Part) -> Span:
    return Span(
        _time(int(part.time_ms.min())) if part.timed else None,
        _time(int(part.time_ms.max())) if part.timed else None,
        len(part),
        len(np.unique(part.customer)),
    )


def _time(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
