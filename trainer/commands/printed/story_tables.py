"""The story of a decision for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from stream.terminal import words
from trainer.account.story import StageStory, Story, StrategyStory


def print_story(console: Console, story: Story, features: int) -> None:
    """Prints what was decided, stage by stage, and the features that moved it most."""
    console.print(words((story.decision, "bold"), f" about {story.customer}, {story.record}"))
    for line in _facts(story):
        console.print(words(line))
    if story.stages:
        console.print(_stages(story))
    console.print(_strategies(story))
    if story.features:
        console.print(_features(story, features))
        console.print(words(_sum(story)))
    for note in story.notes:
        console.print(words(("note: ", "yellow"), note))


def _facts(story: Story) -> Iterator[str]:
    if story.event is not None:
        event = story.event
        at = f"{event['topic']}/{event['partition']}:{event['offset']}"
        yield f"event {at} of {event['time']}, decided {story.time}"
    yield f"model {story.model}, policy {story.policy}, group {story.group}"
    chance = "" if story.action_probability is None else f", p = {story.action_probability:.4f}"
    explored = ", by chance" if story.explored else ""
    reasons = f" ({', '.join(story.reasons)})" if story.reasons else ""
    yield f"chosen: {story.chosen}{reasons}{chance}{explored}"
    if story.holdouts:
        yield f"held out: {', '.join(story.holdouts)}; else it would have been {story.ghost}"
    if story.not_before:
        yield f"not before {story.not_before}"


def _stages(story: Story) -> Table:
    table = Table("stage", "dropped", "left", title="Stages", title_justify="left")
    for stage in story.stages:
        table.add_row(stage.stage, _dropped(stage), str(stage.left))
    return table


def _dropped(stage: StageStory) -> str:
    return "; ".join(f"{', '.join(names)} ({code})" for code, names in stage.dropped.items())


def _strategies(story: Story) -> Table:
    table = Table(
        "strategy", "outcome", "score", "worth", "probability", "can be tried again",
        title="Strategies", title_justify="left",
    )  # fmt: skip
    for one in story.strategies:
        table.add_row(
            one.strategy, _outcome(story, one), _number(one.score), _number(one.worth),
            _number(one.probability), one.retry_at or "",
            style="bold" if one.strategy == story.chosen else None,
        )  # fmt: skip
    return table


def _outcome(story: Story, one: StrategyStory) -> str:
    if one.strategy == story.chosen:
        return "chosen"
    return f"{one.code} at {one.stage}" if one.stage else one.code


def _features(story: Story, most: int) -> Table:
    against = f" against {story.against}" if story.against else ""
    table = Table(
        "feature", "value", "normalized", "moved the logit by",
        title=f"What moved {story.about}{against} ({story.method})", title_justify="left",
    )  # fmt: skip
    for one in story.features[:most]:
        table.add_row(
            one.feature,
            f"{round(one.value, 6):g}",
            f"{one.normalized:+.3f}",
            f"{one.contribution:+.4f}",
        )
    others = story.features[most:]
    if others:
        moved = sum(one.contribution for one in others)
        table.add_row(f"{len(others)} others", "", "", f"{moved:+.4f}")
    return table


def _sum(story: Story) -> str:
    return (
        f"logit {story.logit:+.4f} = {story.logit_of_average:+.4f} of a customer who is average in every "
        f"feature, what the features moved it by, and {story.rest:+.4f} that they leave"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
