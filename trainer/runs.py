"""The folder of a run, ``<runs>/<method>/fold-<k>/``: what it holds, and how it is read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
import yaml
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from grace.pipeline.store import Row, UserError, read_table
from grace.pipeline.store.checksum import PLACEHOLDER, is_intact, seal
from grace.pipeline.store.formats import decode_meta
from grace.pipeline.store.schemas import PREDICTIONS
from grace.pipeline.strict_csv import encode_rows
from grace.pipeline.strict_yaml import read_yaml
from grace.trainer.metrics import MISSING
from grace.trainer.settings import TrainSettings

FILES = ("model.safetensors", "config.yaml", "history.csv", "predictions.parquet", "metrics.json", "README.md")


class RunConfig(BaseModel):
    """A run's ``config.yaml``: all that it was made with. It is written last, so a folder with one is finished."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    fingerprint: str
    fold: int
    protocol: str
    labels: list[str]
    model: dict[str, Any]  # of :class:`~grace.trainer.model.ModelConfig`
    settings: TrainSettings
    cache: dict[str, Any]  # what the tokens and motion were made with
    inputs: dict[str, str]  # hashes of the clips, tokens and motion that it was trained on
    steps: dict[str, dict[str, Any]] | None = None  # version and cache key of each step behind these, by stage
    pipeline: dict[str, Any] | None = None  # settings of the steps that made them; predictions on videos need these
    files: dict[str, str] = {}  # digest of each other file of the run

    @field_validator("pipeline")
    @classmethod
    def _without_servers(cls, content: dict[str, Any] | None) -> dict[str, Any] | None:
        """Runs of earlier versions have the addresses of servers, which may hold a key: they go no further."""
        if content is None:
            return None
        return {
            stage: {key: value for key, value in section.items() if key != "server"}
            for stage, section in content.items()
        }


@dataclass(frozen=True)
class Run:
    """A finished run: its configuration, and a row of ``predictions.parquet`` per test clip."""

    config: RunConfig
    predictions: list[Row]
    made_by: str
    """Fingerprint of the run that wrote the predictions."""
    metrics: dict[str, Any]
    """The content of ``metrics.json``."""
    history: list[dict[str, float]]
    """The numbers of each epoch, as :func:`read_history` reads them."""
    limits: tuple[str, ...] = ()
    """Models behind the predictions that do not know the footage, a sentence each."""


def texts_of_known_clips(engine: str, use_label: bool) -> str:
    """What the texts are, where only a data set's own clips can have such; else empty.

    Args:
        engine: ``caption.engine``.
        use_label: ``refine.use_label``.

    Example:
        >>> texts_of_known_clips("annotation", use_label=False)
        'texts that its data set ships (caption.engine is annotation)'
    """
    if engine == "annotation":
        return "texts that its data set ships (caption.engine is annotation)"
    if use_label:
        return "texts that were written from its data set's labels (refine.use_label is true)"
    return ""


def encode_config(config: RunConfig) -> bytes:
    """``config.yaml``, with its own checksum in the last line."""
    content = yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True)
    return seal(f"{content}# {PLACEHOLDER}\n".encode())


def file_digests(folder: Path, names: Sequence[str] = FILES) -> dict[str, str]:
    """Digest of every file of a run but ``config.yaml``, which holds them."""
    return {name: _digest(folder / name) for name in names if name != "config.yaml"}


def check_file(folder: Path, config: RunConfig, name: str) -> Path:
    """The path of a file of a run.

    Args:
        folder: The run's folder.
        config: Its configuration, which holds a digest of each other file.
        name: One of ``FILES`` but ``config.yaml``.

    Raises:
        UserError: The file is missing, or not as the run wrote it.
    """
    path = folder / name
    again = f"remove {folder} and run `grace train` again."
    try:
        if _digest(path) != config.files.get(name):
            raise UserError(f"{path} is damaged or of another run (its content does not fit config.yaml): {again}")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {again}") from None
    return path


def check_files(folder: Path, config: RunConfig) -> None:
    """Raise :class:`UserError` when any file of a run is missing, or not as the run wrote it."""
    for name in FILES:
        if name != "config.yaml":
            check_file(folder, config, name)


def _digest(path: Path) -> str:
    return xxhash.xxh3_128_hexdigest(path.read_bytes())


def fold_folder(runs: Path, method: str, fold: int) -> Path:
    """The run folder of a fold of a method.

    Args:
        runs: The folder of runs, such as ``data/<dataset>/runs``.
        method: As in ``train.method``.
        fold: Its number, from 1.

    Example:
        >>> fold_folder(Path("data/demo/runs"), "grace", 1).as_posix()
        'data/demo/runs/grace/fold-1'
    """
    return Path(runs) / method / f"fold-{fold}"


def seed_folder(runs: Path, settings: TrainSettings, fold: int, first: int) -> Path:
    """The run folder of a seed: the fold's own for the ``first`` one, one within it for each other.

    Args:
        runs: The folder of runs, such as ``data/<dataset>/runs``.
        settings: Method and seed of the run.
        fold: Its number, from 1.
        first: The first seed of the fold.

    Example:
        >>> seed_folder(Path("runs"), TrainSettings(method="vision", seed=1), fold=2, first=0).as_posix()
        'runs/vision/fold-2/seed-1'
    """
    folder = fold_folder(runs, settings.method, fold)
    return folder if settings.seed == first else folder / f"seed-{settings.seed}"


def is_seed_folder(folder: Path) -> bool:
    """Whether a run's folder is named as one of a further seed, within that of its fold."""
    return folder.name.startswith("seed-")


def seed_folders(folder: Path, seeds: int) -> list[Path]:
    """The folders of the seeds of a fold's run, the first one's first."""
    if seeds == 1:
        return [folder]
    first = read_config(folder).settings.seed
    return [folder, *(folder / f"seed-{first + number}" for number in range(1, seeds))]


def open_run(folder: Path) -> Run:
    """Read a run. Raises :class:`UserError` when it is missing or unfinished, or a file that is read is damaged."""
    if missing := [name for name in FILES if not (folder / name).exists()]:
        raise UserError(f"{folder} lacks {', '.join(missing)}: run `grace train` for this fold first.")
    config = read_config(folder)
    path = check_file(folder, config, "predictions.parquet")
    meta = decode_meta(PREDICTIONS, path)
    return Run(
        config,
        predictions=read_table(path, PREDICTIONS),
        made_by=str(meta.get("fingerprint")),
        metrics=json.loads(check_file(folder, config, "metrics.json").read_bytes()),
        history=read_history(check_file(folder, config, "history.csv")),
        limits=tuple(meta.get("limits") or ()),
    )


def read_config(folder: Path) -> RunConfig:
    """A run's ``config.yaml``.

    Raises :class:`UserError` when the run is missing, unfinished, damaged, or its settings are not those of today.
    """
    path = Path(folder) / "config.yaml"
    again = f"remove {folder} and run `grace train` again."
    try:
        if not is_intact(path.read_bytes()):
            raise UserError(f"{path} is damaged or was edited (its content does not fit its checksum): {again}")
        return RunConfig.model_validate(read_yaml(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {folder} is no finished run; run `grace train` first.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {again}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        cause = f"'{key}': {problem['msg'][0].lower()}{problem['msg'][1:]}" if key else "no keys"
        raise UserError(f"{path} is damaged or was written by another version ({cause}): {again}") from None


def class_indices(rows: Sequence[Row], names: Sequence[str]) -> tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]:
    """True and predicted class of each prediction, as indices into ``names``; ``MISSING`` where there is none."""
    index = {name: number for number, name in enumerate(names)}
    labels = np.array([index[row["label"]] for row in rows], dtype=np.int64)
    return labels, np.array([index.get(row["predicted"], MISSING) for row in rows], dtype=np.int64)


def read_history(path: Path) -> list[dict[str, float]]:
    """``history.csv`` of a run: the numbers of each epoch; columns that hold no number are left out."""
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    return [{name: float(value) for name, value in row.items() if _is_number(value)} for row in rows]


def _is_number(text: str | None) -> bool:
    try:
        return bool(np.isfinite(float(text or "")))
    except ValueError:
        return False


def csv_table(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as CSV with a heading."""
    names = list(rows[0])
    return encode_rows(names, [[row[name] for name in names] for row in rows])
