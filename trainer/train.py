"""Trains one fold of one method and writes its run folder: ``<runs>/<method>/fold-<k>/``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from grace.pipeline.devices import choose_device
from grace.pipeline.store import Row, UserError, failure, fingerprint, folder_lock, write_atomic, write_table
from grace.pipeline.store.schemas import PREDICTIONS
from grace.trainer.class_prompts import class_prompts
from grace.trainer.data import Cache
from grace.trainer.determinism import reproducible
from grace.trainer.metrics import MISSING, scores
from grace.trainer.model import ModelConfig, build
from grace.trainer.model_card import model_card
from grace.trainer.protocol import PREFIX, Fold, split
from grace.trainer.settings import TrainSettings
from grace.trainer.training_loop import CHECKPOINT, Trained, fit, predict

VERSION = 8
"""Rises when the same inputs and settings give other weights."""

FILES = ("model.safetensors", "config.yaml", "history.csv", "predictions.parquet", "metrics.json", "README.md")


def run_folder(runs: Path, method: str, fold: int) -> Path:
    """Where a fold of a method lies."""
    return Path(runs) / method / f"fold-{fold}"


def train(
    dataset_folder: Path, settings: TrainSettings, fold: int, runs: Path | None = None, quiet: bool = False
) -> dict[str, Any]:
    """Train fold ``fold`` on the cache in ``dataset_folder`` and return the content of its ``metrics.json``.

    ``runs`` is ``<dataset_folder>/runs`` unless named. A run made from the same inputs with the same settings is left
    as it is. The same inputs give the same bytes on one kind of CPU. Raises :class:`UserError` for what is wrong with
    the cache, the fold or the settings before the first epoch, :class:`GraceError` when training fails.
    """
    folder = run_folder(runs or Path(dataset_folder) / "runs", settings.method, fold)
    cache = Cache(dataset_folder)
    prompts = class_prompts(cache) if settings.method == "template" else None
    made_from = {"settings": settings.cache_key(), "fold": fold, "prompts": prompts, **cache.inputs()}
    cache_key = fingerprint({"version": VERSION, **made_from})
    with folder_lock(folder):
        if _finished(folder, cache_key):
            (folder / CHECKPOINT).unlink(missing_ok=True)  # killed between the last file and this
            metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
            return metrics
        parts = split(cache, fold, settings)
        for part in (parts.choice.train, parts.choice.selection, parts.test):
            part.check_finite()
        # An unfinished folder has no config.yaml: it is written last, and says that everything else is there.
        (folder / "config.yaml").unlink(missing_ok=True)
        config = model_config(cache, settings)
        torch.manual_seed(settings.seed)
        model = build(config, prompts)
        trained = fit(model, parts.choice, settings, folder, cache_key, quiet)
        return _write(folder, cache, settings, fold, parts, model, config, trained, cache_key)


def model_config(cache: Cache, settings: TrainSettings) -> ModelConfig:
    """Sizes from the cache, the rest from the settings."""
    return ModelConfig(
        method=settings.method,
        classes=len(cache.labels),
        instants=cache.instants,
        patches=cache.patches,
        width=cache.width,
        hidden=settings.hidden,
        layers=settings.layers,
        heads=settings.heads,
        dropout=settings.dropout,
        segments=settings.segments,
        epsilon=settings.epsilon,
        sinkhorn_iterations=settings.sinkhorn_iterations,
        transport=settings.transport,
        column_weight=settings.column_weight,
        motion_exponent=settings.motion_exponent,
        motion_within=settings.motion_within,
        motion_attention=settings.motion_attention,
        motion_marginal=settings.motion_marginal,
    )


def read_config(folder: Path) -> dict[str, Any]:
    """A run's ``config.yaml``. Raises :class:`UserError` when the run is missing, unfinished or damaged."""
    path = Path(folder) / "config.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {folder} is no finished run; run `grace train` first.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict) or "model" not in content:
        raise UserError(f"{path} is damaged: remove {folder} and run `grace train` again.")
    return content


def _finished(folder: Path, cache_key: str) -> bool:
    if not all((folder / name).exists() for name in FILES):
        return False
    try:
        return bool(read_config(folder).get("fingerprint") == cache_key)
    except UserError:
        return False


def _write(
    folder: Path,
    cache: Cache,
    settings: TrainSettings,
    fold: int,
    parts: Fold,
    model: torch.nn.Module,
    config: ModelConfig,
    trained: Trained,
    cache_key: str,
) -> dict[str, Any]:
    """Score the test part once and write all files of the run, ``config.yaml`` last."""
    from safetensors.torch import save

    model.load_state_dict(trained.weights)
    with reproducible(settings):
        probabilities = predict(model, parts.test, settings.batch, choose_device(settings.device))
    rows = _predictions(cache, parts, probabilities, fold)
    metrics = _metrics(cache, rows, settings, fold, parts, trained)
    weights = {name: value.cpu().contiguous() for name, value in trained.weights.items()}
    write_atomic(folder / "model.safetensors", save(weights))
    write_atomic(folder / "history.csv", _history(trained).encode())
    write_table(folder / "predictions.parquet", PREDICTIONS, rows, {"protocol": settings.protocol, "fold": fold})
    write_atomic(folder / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    write_atomic(folder / "README.md", model_card(metrics, cache, settings).encode())
    content = {
        "version": VERSION,
        "fingerprint": cache_key,
        "fold": fold,
        "protocol": settings.protocol,
        "labels": cache.labels,
        "model": config.as_dict(),
        "settings": settings.cache_key(),
        "cache": cache.cache_key(),
    }
    write_atomic(folder / "config.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return metrics


def _predictions(cache: Cache, parts: Fold, probabilities: np.ndarray, fold: int) -> list[Row]:
    rows: list[Row] = []
    for clip_id, row in zip(parts.test.clip_ids, probabilities, strict=True):
        predicted = cache.labels[int(row.argmax())]
        rows.append({"clip_id": clip_id, "status": "ok", "error": "", "predicted": predicted, "probabilities": row})
    rows += [{**failure(clip_id, cache.failure(clip_id)), "predicted": ""} for clip_id in parts.missing]
    for row in rows:
        row |= {"fold": fold, "label": cache.rows[row["clip_id"]]["label"]}
    return sorted(rows, key=lambda row: str(row["clip_id"]))


def _metrics(
    cache: Cache, rows: list[Row], settings: TrainSettings, fold: int, parts: Fold, trained: Trained
) -> dict[str, Any]:
    places = {label: index for index, label in enumerate(cache.labels)}
    labels = np.array([places[row["label"]] for row in rows])
    predicted = np.array([places.get(row["predicted"], MISSING) for row in rows])
    prefix = PREFIX[settings.protocol]
    return {
        "method": settings.method,
        "protocol": settings.protocol,
        "fold": fold,
        "epoch": trained.best_epoch,
        "train_clips": len(parts.choice.train),
        "selection_clips": len(parts.choice.selection),
        **{f"{prefix}{name}": value for name, value in scores(labels, predicted, cache.labels).items()},
    }


def _history(trained: Trained) -> str:
    """One row an epoch, seven significant digits, no times."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, trained.history[0].keys(), lineterminator="\n")
    writer.writeheader()
    for row in trained.history:
        writer.writerow({name: int(value) if name == "epoch" else f"{value:.7g}" for name, value in row.items()})
    return buffer.getvalue()
