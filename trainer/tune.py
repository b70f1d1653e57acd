"""Tuning: settings of ``train`` proposed by Optuna, judged by validation clips alone, resumable after any stop."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grace.pipeline.messages import error_line, install_hint
from grace.pipeline.store import UserError, fingerprint, folder_lock, write_atomic
from grace.trainer.class_prompts import load_class_prompts
from grace.trainer.data import Cache
from grace.trainer.layers import ModelConfig
from grace.trainer.methods import MODELS, build
from grace.trainer.protocol import split
from grace.trainer.settings import TrainSettings
from grace.trainer.training_loop import Trained, fit, uar_column

if TYPE_CHECKING:
    from optuna import Study, Trial

Proposal = Callable[["Trial"], Any]

ALL_METHODS: Mapping[str, Proposal] = {
    "learning_rate": lambda trial: trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
    "weight_decay": lambda trial: trial.suggest_float("weight_decay", 1e-3, 1.0, log=True),
    "hidden": lambda trial: trial.suggest_categorical("hidden", [32, 64, 128]),
    "dropout": lambda trial: trial.suggest_float("dropout", 0.0, 0.5),
    "readout_dropout": lambda trial: trial.suggest_float("readout_dropout", 0.0, 0.8),
}
"""Settings that are tuned for every method alike, so that none has a larger budget than another."""

OF_TEXT: Mapping[str, Proposal] = {
    "head_weight": lambda trial: trial.suggest_float("head_weight", 0.0, 1.0),
    "text_dropout": lambda trial: trial.suggest_float("text_dropout", 0.0, 0.5),
}
"""The same for methods with several heads, which a method of one head has no use for."""

STUDY = "study.log"


@dataclass(frozen=True)
class Tuned:
    """What a study has found so far."""

    settings: dict[str, Any]
    """The best settings, those that were tuned alone; none where the settings given were best."""
    score: float
    """Their validation UAR."""
    default: float
    """The validation UAR of the settings as they were given: always the first trial."""
    trials: int


def tune(
    dataset_folder: str | Path,
    settings: TrainSettings,
    fold: int,
    trials: int | None = None,
    minutes: float | None = None,
    folder: Path | None = None,
) -> Tuned:
    """Search for better settings of a method on a fold's training clips; its test clips are never read.

    A trial trains on the training clips and is scored on the validation clips, by the mean UAR that chooses its epoch.
    Trials are kept in ``<folder>/study.log``: the same call goes on where it was stopped, and one on other tokens,
    another fold or other settings begins a study of its own.

    Args:
        dataset_folder: ``data/<dataset>``.
        settings: The section ``train``; what is not tuned stays.
        fold: Its number, from 1.
        trials: How many there shall be in all, those of earlier calls included.
        minutes: How long this call may go on; the trial that has started is finished.
        folder: Where the study is kept; ``<dataset_folder>/tuning/<method>/fold-<k>`` if not given.

    Returns:
        The best settings and their score beside that of the settings given.

    Raises:
        UserError: Optuna is not installed, no budget is given, the protocol is best-test, or the method is ``probe``,
            whose penalty its validation clips choose anyway.
    """
    if trials is None and minutes is None:
        raise UserError("Tuning needs a budget: name --trials, --minutes, or both.")
    if settings.protocol == "best-test":
        raise UserError("Tuning under protocol best-test would choose settings by test clips: use held-out.")
    if settings.method == "probe":
        raise UserError("Method probe has nothing to tune: validation clips choose its penalty in each run.")
    try:
        from optuna.trial import create_trial
    except ImportError:
        raise UserError(f"Tuning needs Optuna: {install_hint('tune')}.") from None
    cache = Cache(dataset_folder)
    place = folder or cache.folder / "tuning" / settings.method / f"fold-{fold}"
    with folder_lock(place):
        study = _study(place, fingerprint({"settings": settings.cache_key(), "fold": fold, **cache.inputs()}), settings)
        start = time.monotonic()
        while not _spent(study, trials, minutes, time.monotonic() - start):
            if not _done(study):  # the settings as they are may lie outside the ranges that are searched
                study.add_trial(create_trial(value=_score(cache, settings, fold, place / "trial")))
                continue
            trial = study.ask()
            proposed = {name: propose(trial) for name, propose in _space(settings).items()}
            study.tell(trial, _score(cache, settings.model_copy(update=proposed), fold, place / "trial"))
        done = _done(study)
        if not done:
            raise UserError("The budget ended before the first trial did: allow more minutes.")
        best = max(done, key=lambda trial: trial.value)
        return Tuned(dict(best.params), float(best.value), float(done[0].value), len(done))


def _study(place: Path, name: str, settings: TrainSettings) -> Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    place.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(place / STUDY)
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(place / STUDY))),
            study_name=name,
            load_if_exists=True,
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=settings.seed),
        )
    except (ValueError, KeyError, AssertionError) as error:  # what reading damaged lines raises
        raise UserError(
            f"{place / STUDY} is damaged ({error_line(error, 60)}): take its broken line out, or remove the file to "
            "start a new study."
        ) from None
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):  # of a call that was killed
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _drop_torn_line(log: Path) -> None:
    """Take out a last line that a kill or a full disk left unfinished: Optuna would write the next one behind it."""
    content = log.read_bytes() if log.exists() else b""
    if not content.endswith(b"\n") and content:
        write_atomic(log, content[: content.rfind(b"\n") + 1])


def _space(settings: TrainSettings) -> dict[str, Proposal]:
    return {**ALL_METHODS, **(OF_TEXT if len(MODELS[settings.method].heads) > 1 else {})}


def _done(study: Study) -> list[Any]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.value is not None]


def _spent(study: Study, trials: int | None, minutes: float | None, seconds: float) -> bool:
    enough = trials is not None and len(_done(study)) >= trials
    return enough or (minutes is not None and seconds >= 60 * minutes)


def _score(cache: Cache, settings: TrainSettings, fold: int, folder: Path) -> float:
    """The validation UAR of settings, as the epoch that would be kept is scored."""
    selection = split(cache, fold, settings).selection
    prompts = load_class_prompts(cache) if MODELS[settings.method].needs_class_prompts else None
    torch.manual_seed(settings.seed)
    model = build(ModelConfig.from_settings(settings, cache.sizes), prompts)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        return _reached(fit(model, selection, settings, folder, "trial", quiet=True), settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reached(trained: Trained, settings: TrainSettings) -> float:
    scores = [row[uar_column(settings)] for row in trained.history]
    window = scores[max(0, trained.best_epoch - settings.window) : trained.best_epoch]
    return float(np.mean(window)) if window else 0.0
