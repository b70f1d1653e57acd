"""Trains one fold of one method and writes its run folder: ``<runs>/<method>/fold-<k>/``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grace.pipeline.devices import choose_device
from grace.pipeline.store import (
    Row,
    UserError,
    failure,
    fingerprint,
    folder_lock,
    write_atomic,
    write_table,
)
from grace.pipeline.store.schema import limits_text
from grace.pipeline.store.schemas import PREDICTIONS
from grace.trainer.class_prompts import load_class_prompts
from grace.trainer.data import Cache, Subset
from grace.trainer.determinism import reproducible
from grace.trainer.layers import ModelConfig
from grace.trainer.methods import MODELS, build
from grace.trainer.metrics import scores
from grace.trainer.model import Model
from grace.trainer.model_card import model_card
from grace.trainer.protocol import Fold, split
from grace.trainer.provenance import inputs_of, steps_of
from grace.trainer.runs import (
    FILES,
    RunConfig,
    check_files,
    class_indices,
    csv_table,
    encode_config,
    file_digests,
    read_config,
    seed_folder,
)
from grace.trainer.settings import PREFIX, TrainSettings
from grace.trainer.targets import check_targets, has_votes
from grace.trainer.training_loop import CHECKPOINT, Trained, fit, predict

VERSION = 12
"""Rises when the same inputs and settings give other weights."""


def train(
    dataset_folder: str | Path,
    settings: TrainSettings,
    fold: int,
    runs: Path | None = None,
    quiet: bool = False,
    pipeline: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a fold on the cache of a data set, choose its epoch by the protocol, and score its test clips once.

    A run made from the same inputs with the same settings is left as it is, but made again where one of its files is
    damaged; one that was killed is continued after its last epoch. The same inputs give the same bytes on one kind of
    CPU.

    Args:
        dataset_folder: ``data/<dataset>``, with ``clips.parquet``, ``tokens/`` and ``motion/``.
        settings: the section ``train`` of ``params.yaml``.
        fold: its number, from 1.
        runs: the folder of runs; ``<dataset_folder>/runs`` if not given.
        quiet: no progress bar.
        pipeline: settings of the steps that made the cache; kept with the run, for predictions on videos.

    Returns:
        The content of the run's ``metrics.json``: what was trained, and by the protocol's prefix all of
        :func:`~grace.trainer.metrics.scores`, and UAR and WAR ``without_text`` of a method that can do without. With
        ``train.seeds`` above 1, those of the first seed, and under ``seeds`` those of each.

    Raises:
        UserError: something is wrong with the cache, the fold or the settings; raised before the first epoch.
        GraceError: training failed, such as a loss that is not finite.

    Example:
        >>> settings = TrainSettings(epochs=1, hidden=16, layers=1)
        >>> metrics = train("data/demo", settings, fold=1, runs=Path("data/demo/short"), quiet=True)
        >>> metrics["epoch"], metrics["train_clips"], 0 <= metrics["UAR"] <= 1
        (1, 34, True)
    """
    where = runs or Path(dataset_folder) / "runs"
    first, *more = [
        _train(dataset_folder, one, fold, seed_folder(where, one, fold, settings.seed), quiet, pipeline)
        for one in each_seed(settings)
    ]
    return {**first, "seeds": [first, *more]} if more else first


def each_seed(settings: TrainSettings) -> list[TrainSettings]:
    """The settings of each run that ``train.seeds`` asks for; each is a run like any other."""
    return [settings.model_copy(update={"seed": settings.seed + k, "seeds": 1}) for k in range(settings.seeds)]


def _train(
    dataset_folder: str | Path,
    settings: TrainSettings,
    fold: int,
    folder: Path,
    quiet: bool,
    pipeline: dict[str, Any] | None,
) -> dict[str, Any]:
    """One run: a fold with one seed."""
    cache = Cache(dataset_folder)
    prompts = load_class_prompts(cache) if MODELS[settings.method].needs_class_prompts else None
    inputs = inputs_of(settings, cache.inputs())
    provenance = {"settings": settings.cache_key(), "fold": fold, "prompts": prompts, **inputs}
    cache_key = fingerprint({"version": VERSION, **provenance})
    clips = None
    if not _finished(folder, cache_key):  # before its folder is made: a wrong fold or setting leaves none behind
        clips = split(cache, fold, settings)
        choose_device(settings.device)
        check_targets(clips.selection.train, settings)
        for subset in (clips.selection.train, clips.selection.validation, clips.test):
            subset.check_finite()
    with folder_lock(folder):
        if clips is None or _finished(folder, cache_key):
            (folder / CHECKPOINT).unlink(missing_ok=True)  # killed between the last file and this
            metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
            return metrics
        # An unfinished folder has no config.yaml: it is written last, and says that everything else is there.
        (folder / "config.yaml").unlink(missing_ok=True)
        torch.manual_seed(settings.seed)
        model = build(ModelConfig.from_settings(settings, cache.sizes), prompts)
        trained = fit(model, clips.selection, settings, folder, cache_key, quiet)
        run = RunConfig(
            version=VERSION,
            fingerprint=cache_key,
            fold=fold,
            protocol=settings.protocol,
            labels=cache.labels,
            model=asdict(model.config),
            settings=settings,
            cache=cache.cache_key(),
            inputs=inputs,
            steps=steps_of(cache.folder),
            pipeline=pipeline,
        )
        return _write(folder, cache, clips, model, trained, run)


def _finished(folder: Path, cache_key: str) -> bool:
    """Whether the run is there, with every file as it was written."""
    if not all((folder / name).exists() for name in FILES):
        return False
    try:
        config = read_config(folder)
        if config.fingerprint != cache_key:
            return False
        check_files(folder, config)
    except UserError:
        return False
    return True


def _write(folder: Path, cache: Cache, clips: Fold, model: Model, trained: Trained, run: RunConfig) -> dict[str, Any]:
    """Score the test clips once and write all files of the run, ``config.yaml`` last."""
    from safetensors.torch import save

    settings = run.settings
    model.load_state_dict(trained.weights)
    with reproducible(settings):
        device = choose_device(settings.device)
        probabilities = predict(model, clips.test, settings.batch, device)
        silent = None
        if "video" in model.heads and model.reads_text:
            silent = predict(model, clips.test.without_texts(), settings.batch, device)
    cache.check_unchanged()  # here, where nothing more is read of it
    rows = _predictions(cache, clips, probabilities, run.fold)
    metrics = _metrics(rows, clips, trained, run)
    if silent is not None:
        metrics[f"{PREFIX[run.protocol]}without_text"] = _without_text(cache, clips, silent, run)
    weights = {name: value.cpu().contiguous() for name, value in trained.weights.items()}
    write_atomic(folder / "model.safetensors", save(weights))
    write_atomic(folder / "history.csv", _history(trained))
    write_table(
        folder / "predictions.parquet",
        PREDICTIONS,
        rows,
        {"protocol": run.protocol, "fold": run.fold, "fingerprint": run.fingerprint, "limits": cache.tokens.limits()},
    )
    write_atomic(folder / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    write_atomic(folder / "README.md", model_card(metrics, cache, run, model.reads_only_text).encode())
    run = run.model_copy(update={"files": file_digests(folder)})
    write_atomic(folder / "config.yaml", encode_config(run))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return metrics


def _predictions(cache: Cache, clips: Fold, probabilities: np.ndarray, fold: int) -> list[Row]:
    rows: list[Row] = []
    limits = limits_text(cache.tokens.limits())
    for clip_id, row in zip(clips.test.clip_ids, probabilities, strict=True):
        predicted = cache.labels[int(row.argmax())]
        rows.append({"clip_id": clip_id, "status": "ok", "error": "", "predicted": predicted, "probabilities": row})
    rows += [{**failure(clip_id, cache.failure(clip_id)), "predicted": ""} for clip_id in clips.missing]
    for row in rows:
        row |= {"fold": fold, "label": cache.rows[row["clip_id"]]["label"]}
        row["label_visible"] = cache.label_visible(row["clip_id"])
        row["limits"] = limits
    return sorted(rows, key=lambda row: str(row["clip_id"]))


def _metrics(rows: list[Row], clips: Fold, trained: Trained, run: RunConfig) -> dict[str, Any]:
    of_test = scores(*class_indices(rows, run.labels), run.labels)
    return {
        "method": run.settings.method,
        "protocol": run.protocol,
        "fold": run.fold,
        "epoch": trained.best_epoch,
        "train_clips": len(clips.selection.train),
        "selection_clips": len(clips.selection.validation),
        **_targets(clips.selection.train, run.settings),
        **{f"{PREFIX[run.protocol]}{name}": value for name, value in of_test.items()},
    }


def _targets(learned: Subset, settings: TrainSettings) -> dict[str, Any]:
    """What the loss was taken against; of votes, how many training clips have some."""
    voted = {"voted_clips": int(has_votes(learned).sum())} if settings.targets == "votes" else {}
    return {"targets": settings.targets, **voted}


def _without_text(cache: Cache, clips: Fold, probabilities: np.ndarray, run: RunConfig) -> dict[str, float]:
    """UAR and WAR of the same weights on the test clips without their texts."""
    rows = _predictions(cache, clips, probabilities, run.fold)
    scored = scores(*class_indices(rows, run.labels), run.labels)
    return {name: scored[name] for name in ("UAR", "WAR")}


def _history(trained: Trained) -> bytes:
    """A CSV row per epoch, seven significant digits, no times."""
    return csv_table(
        [
            {name: int(value) if name == "epoch" else f"{value:.7g}" for name, value in row.items()}
            for row in trained.history
        ]
    )
