"""An evaluation with facts, and a strict reader of the page that is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np

from stream.campaign.training import EvaluationSpec
from trainer.evaluation.evaluate import evaluate
from trainer.evaluation.evaluation import CHAMPION, Evaluation
from trainer.evaluation.judged import Head, Judged, Scored
from trainer.report.facts import Check, Examples, Facts, Span

START_MS = 1_709_251_200_000  # 1 March 2024
NAMES = ("mail", "push", "nothing")
TIME = datetime(2024, 5, 1, tzinfo=UTC)
VOID = {"meta", "link", "br", "img", "hr", "input"}

FACTS = Facts(
    campaign="spring <script>alert(1)</script> & more",
    candidate="20240501T000000Z-00000001",
    champion="20240401T000000Z-00000002",
    created=TIME,
    outcome="Order Completed",
    attribution_window="14d",
    events=1_234_567,
    history=Span(TIME, TIME, 98_765, 4_321),
    periods={"test": Span(TIME, TIME, 2_000, 600)},
    joins={"without a decision before": 1_031},
    examples={"mail": Examples(7_000, 350)},
    rejects={"no_customer": 31},
    settings={"optimizer": "adam, $0.001$ & <b>"},
    losses=(0.3, 0.2, 0.15),
    validation_losses=(0.31, 0.25, 0.24),
    trials=30,
    importance={"learning <rate>": 0.7, "a$b$c": 0.3},
    passed=False,
    checks=(Check(True, "fast"), Check(False, "log loss <not> better")),
)


def evaluation(head: Head = "response", n: int = 2_000) -> Evaluation:
    pick = np.random.default_rng(1)
    z = pick.normal(-1.5, 1, n)
    y = pick.random(n) < 1 / (1 + np.exp(-z))
    strategy = pick.integers(0, 3, n)

    def scored(noise: float) -> Scored:
        p = 1 / (1 + np.exp(-(z + pick.normal(0, noise, n))))
        if head == "response":
            return Scored(
                np.repeat(p[:, np.newaxis], 3, axis=1).astype(np.float32), np.full(3, 0.3)
            )
        logits = np.eye(3)[strategy] / (0.5 + noise) + pick.normal(0, 1, (n, 3))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return Scored(shares.astype(np.float32))

    judged = Judged(
        head, NAMES, strategy, y | (head == "choice"), pick.integers(0, n // 3, n),
        START_MS + np.arange(n) * 3_600_000, np.ones(n), {"buyers & co": z > -1.5},
    )  # fmt: skip
    others = {CHAMPION: scored(0.8), "rfm": scored(1.2), "base_rate": scored(3.0)}
    return evaluate(judged, scored(0.1), others, EvaluationSpec(resamples=60), seed=1)


@dataclass
class Node:
    tag: str
    attributes: dict[str, str | None]
    text: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    def find(self, tag: str) -> list[Node]:
        below = [one for child in self.children for one in child.find(tag)]
        return [self, *below] if self.tag == tag else below

    @property
    def words(self) -> str:
        return " ".join([*self.text, *(child.words for child in self.children)]).strip()


class Tree(HTMLParser):
    """A strict parser: every element is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root], [node.tag for node in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        assert len(node.attributes) == len(attrs), "an attribute stands once"
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        self.open[-1].text.append(data)


def nodes(node: Node) -> list[Node]:
    return [node, *(one for child in node.children for one in nodes(child))]
