"""`opportune promote` and `opportune rollback`: what they do and what they refuse."""

from __future__ import annotations

from models.registry import Registry
from tests.trainer.commands.model_commands_harness import (
    WORSE,
    Run,
    done,
    publish,
    refused,
    verdict,
)
from trainer.commands.models import models
from trainer.commands.promote import promote
from trainer.commands.rollback import rollback


def test_promote_does_what_the_verdict_says(registry: Registry, run: Run) -> None:
    first = publish(registry, 0, {"verdict": verdict(None)})
    assert f"{first} is the champion, nobody was before" in done(run(promote))
    second = publish(registry, 1, {"verdict": verdict(first)})
    assert f"{second} is the champion, {first} was before" in done(
        run(promote, second, "--reason", "spring")
    )
    why = registry.history()[-1].why
    assert "better than champion" in why
    assert why.endswith("; spring")
    assert "is the champion already" in done(run(promote, "champion"))
    assert len(registry.history()) == 2


def test_promote_refuses_what_the_verdict_refuses_with_the_numbers(
    registry: Registry, run: Run
) -> None:
    champion = publish(registry, 0)
    registry.promote(champion)
    worse = publish(registry, 1, {"verdict": verdict(champion, WORSE)})
    result = run(promote, worse)
    assert result.exit_code == 1
    assert "expected log_loss better than that of champion" in result.output
    assert "got -0.0200 [-0.0300, -0.0100]" in result.output
    assert registry.pointer("champion") == champion


def test_promote_refuses_what_nobody_judged(registry: Registry, run: Run) -> None:
    for age, report in enumerate((None, {}, {"verdict": None})):
        publish(registry, age, report)
        result = run(promote)
        assert result.exit_code == 1
        assert "it has no verdict" in result.output
    assert registry.pointer("champion") is None


def test_promote_refuses_a_verdict_on_another_champion(registry: Registry, run: Run) -> None:
    old, new = publish(registry, 0), publish(registry, 1)
    registry.promote(new)
    result = run(promote, publish(registry, 2, {"verdict": verdict(old)}))
    assert result.exit_code == 1
    assert f"judged when the champion was {old}, and now it is {new}" in result.output
    assert registry.pointer("champion") == new


def test_force_needs_a_reason_and_keeps_it(registry: Registry, run: Run) -> None:
    version = publish(registry)
    result = run(promote, "--force")
    assert result.exit_code == 2
    assert "--reason" in result.output
    assert registry.pointer("champion") is None
    done(run(promote, "--force", "--reason", "the board [says] so"))
    assert registry.history()[-1].why == "forced: the board [says] so"
    assert registry.pointer("champion") == version
    assert "the board [says] so" in done(run(models, "history"))


def test_rollback_says_where_it_went(registry: Registry, run: Run) -> None:
    assert "got no such folder" in refused(run(rollback))
    old, new = publish(registry, 0), publish(registry, 1)
    assert "expected a champion and another previous" in refused(run(rollback))
    for version in (old, new):
        registry.promote(version)
    said = done(run(rollback, "--reason", "sales fell"))
    assert f"{old} is the champion, {new} was before" in said
    assert registry.history()[-1].why == "sales fell"
    assert "rollback" in done(run(models, "history"))
