"""The record of a search: in memory, or in a file that outlives the process.

Rules of this file
1. One process at a time writes a file; a second one is refused.
2. What a dead process left behind, half a line or a running trial, is no obstacle for the next.
3. Optuna says nothing of its own accord; what it warns of goes to the `optuna` logger.
4. A file that is no storage of a search is never changed.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from stream.campaign.file import Campaign
from trainer.errors import TrainingError
from trainer.examples.part import Part

ERROR, SECONDS = "error", "seconds"
"""Attributes of a trial: why it failed, how long it took."""
_RUNS_BEFORE_PRUNING = 5
_EPOCHS_BEFORE_PRUNING = 0.2
"""Share of the epochs that every model gets: slow learners are not bad ones."""
_LOCK_SUFFIX = ".lock"  # Optuna's own lock, held while it writes: a link beside the file
_FIRST = b'{"op_code":'


@contextmanager
def open_study(storage: Path | None, name: str, epochs: int) -> Iterator[optuna.Study]:
    """A study that minimizes, continued when the storage has one of that name.

    Args:
        storage: A file, created when missing; None for memory.
        name: Of the study: a file may hold several.
        epochs: Most epochs of a trial.

    Raises:
        TrainingError: The file cannot be written, is no journal, or another process has it open.
    """
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _opened(storage) as backend:
        study = optuna.create_study(
            storage=backend,
            study_name=name,
            load_if_exists=True,
            direction="minimize",
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_RUNS_BEFORE_PRUNING,
                n_warmup_steps=int(epochs * _EPOCHS_BEFORE_PRUNING),
            ),
        )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
        yield study


def settled(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that came to an end, in order: those that were cut off are begun anew."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in {TrialState.COMPLETE, TrialState.PRUNED} or ERROR in trial.user_attrs
    ]


def study_name(campaign: Campaign, train: Part, validation: Part, outputs: int, seed: int) -> str:
    """A name that changes with all that a trial depends on.

    How many trials there are and how long they may take is not part of it, so that a search can go
    on with more.
    """
    search = msgspec.structs.replace(campaign.search, trials=1, time_budget="1s")
    digest = hashlib.sha256(
        msgspec.json.encode([campaign.model, campaign.training, search, outputs, seed])
    )
    for part in (train, validation):
        digest.update(repr((len(part), part.features)).encode())
        for column in (
            part.rows, part.strategy, part.outcome, part.time_ms, part.customer, part.weight,
            part.transforms, part.normalization.mean, part.normalization.std,
        ):  # fmt: skip
            digest.update(column.tobytes())
    return f"{campaign.app}-{digest.hexdigest()[:12]}"


@contextmanager
def _opened(storage: Path | None) -> Iterator[optuna.storages.BaseStorage | None]:
    if storage is None:
        yield None
        return
    with _file(storage) as file:
        _lock(file, storage)
        _repair(file, storage)
        try:
            journal = optuna.storages.JournalStorage(JournalFileBackend(str(storage)))
        except (ValueError, KeyError) as exc:
            raise TrainingError(_foreign(storage)) from exc
        yield journal


def _file(storage: Path) -> BinaryIO:
    try:
        storage.parent.mkdir(parents=True, exist_ok=True)
        return storage.open("ab+")
    except OSError as exc:
        raise TrainingError(
            f"{storage}: expected a file that can be written, {exc.strerror or exc}"
        ) from exc


def _lock(file: BinaryIO, storage: Path) -> None:
    """Until the file is closed, also by the death of the process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise TrainingError(
            f"{storage}: expected no other search with this storage, got one that is running. "
            "Wait for it, or name another file"
        ) from exc


def _repair(file: BinaryIO, storage: Path) -> None:
    """Takes away what a process left behind that died while it wrote."""
    file.seek(0)
    lines = file.read()
    if not _FIRST.startswith(lines[: len(_FIRST)]):
        raise TrainingError(_foreign(storage))
    file.truncate(lines.rfind(b"\n") + 1)  # half a line was never acknowledged
    storage.with_name(storage.name + _LOCK_SUFFIX).unlink(missing_ok=True)


def _foreign(storage: Path) -> str:
    return f"{storage}: expected the storage of a search, got another file. Name another one"
