"""Which examples are judged together, and by which question.

A response asks one yes-or-no question of each example: will the outcome follow what was done? What
other strategies would have led to is not in the data. A choice asks K questions of each: is it this
strategy?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Float64s, Int32s
from trainer.evaluation.evaluation import Kind
from trainer.evaluation.judged import Judged, Scored
from trainer.evaluation.ranking import Question

EVERYWHERE = 0
"""The mask of all examples."""


@dataclass(frozen=True, slots=True)
class Member:
    """A group of the evaluation.

    Attributes:
        kind: As in `evaluation.Group`, and so are `name`, `rows`, `customers`, `positives`.
        mask: Index into `Grouping.masks`.
        question: The question that it is judged by; None for all of them.
    """

    kind: Kind
    name: str
    mask: int
    question: int | None
    rows: int
    customers: int
    positives: int

    @property
    def has_curves(self) -> bool:
        """Whether one question judges it, and it is no slice: those have no room on the page."""
        return self.question is not None and self.kind in {"pooled", "strategy"}


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """All groups, the first of all examples.

    Attributes:
        members: The groups.
        masks: Their examples; None for all. Shape (n,) each.
    """

    members: tuple[Member, ...]
    masks: tuple[Bools | None, ...]

    def of_kind(self, kind: Kind) -> list[int]:
        """Indices of the groups of one kind."""
        return [g for g, member in enumerate(self.members) if member.kind == kind]


def group(judged: Judged, customer: Int32s) -> Grouping:
    """The groups of an evaluation; those without examples are left out.

    Args:
        judged: The examples.
        customer: Number of each customer, from 0 on. Shape (n,), int32.
    """
    response = judged.head == "response"
    masks: list[Bools | None] = [None]
    members: list[Member] = []

    def add(kind: Kind, name: str, mask: Bools | None, question: int | None, hit: Bools) -> None:
        where = slice(None) if mask is None else mask
        rows = len(customer[where])
        if rows:
            at = EVERYWHERE if mask is None else len(masks)
            masks.extend([] if mask is None else [mask])
            members.append(
                Member(
                    kind, name, at, question, rows,
                    int(np.count_nonzero(np.bincount(customer[where]))),
                    int(hit[where].sum()),
                )
            )  # fmt: skip

    pooled = 0 if response else None
    add("pooled", "all", None, pooled, judged.outcome)
    if response and judged.contacted is not None:
        add("pooled", "contacted", judged.contacted, pooled, judged.outcome)
    add("macro", "macro", None, pooled, judged.outcome)
    for k, name in enumerate(judged.names):
        used = judged.strategy == k
        if response:
            add("strategy", name, used, 0, judged.outcome)
        else:
            add("strategy", name, None, k, used)
    for name, mask in judged.slices.items():
        add("slice", name, mask, pooled, judged.outcome)
    return Grouping(tuple(members), tuple(masks))


def questions(judged: Judged, scored: Scored, customer: Int32s) -> list[Question]:
    """What one model answers: one question for a response, K for a choice."""
    if judged.head == "response":
        used = scored.scores[np.arange(len(judged)), judged.strategy].astype(np.float64)
        if scored.thresholds is None:
            predicted = np.zeros(len(used), np.bool_)
        else:
            predicted = used >= scored.thresholds[judged.strategy]
        return [_question(judged, customer, judged.outcome, used, predicted)]
    choice = scored.scores.argmax(axis=1)
    return [
        _question(
            judged, customer, judged.strategy == k, scored.scores[:, k].astype(np.float64),
            choice == k,
        )
        for k in range(len(judged.names))
    ]  # fmt: skip


def _question(
    judged: Judged, customer: Int32s, positive: Bools, score: Float64s, predicted: Bools
) -> Question:
    order = np.argsort(-score, kind="stable")
    return Question(customer, judged.weight, positive, score, predicted, order)
