"""What a search found, as plain data for the report."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from stream.campaign.training import ModelSpec, TrainingSpec

State = Literal["finished", "pruned", "failed"]


class Tried(Struct, frozen=True, kw_only=True):
    """One trial.

    Attributes:
        number: From 0 on; 0 is the campaign file's own.
        settings: What was tried, under the names of the campaign file.
        log_loss: On the validation examples, nats; of a pruned trial after its last epoch, None of a
            failed one.
        epochs: Epochs that were fitted.
        seconds: How long it took.
        state: pruned was worse than half of the others after as many epochs, failed could not be
            fitted.
        error: Why it failed.
    """

    number: int
    settings: dict[str, str | int | float | tuple[int, ...]]
    log_loss: float | None
    epochs: int
    seconds: float
    state: State
    error: str = ""


class Found(Struct, frozen=True, kw_only=True):
    """The best settings and how they compare.

    Attributes:
        model: The best network; the campaign file's own when no trial finished.
        training: The best training.
        best: Number of its trial, None when no trial finished.
        trials: All trials that came to an end, in order.
        cut_off: Trials that did not: the process or the time ended. Not among `trials`; each was or
            will be begun anew.
        importance: Share of each parameter in what sets the best quarter of the trials apart, the
            largest first; empty below ten trials.
    """

    model: ModelSpec
    training: TrainingSpec
    best: int | None
    trials: tuple[Tried, ...]
    cut_off: int
    importance: dict[str, float]
