"""The folder of a run, ``<runs>/<method>/fold-<k>/``: what it holds, and how it is read back."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, ValidationError

from grace.pipeline.store import Row, UserError, read_table
from grace.pipeline.store.formats import decode_meta
from grace.pipeline.store.schemas import PREDICTIONS
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
    pipeline: dict[str, Any] | None = None  # settings of the steps that made them; predictions on videos need these


@dataclass(frozen=True)
class Run:
    """A finished run: its configuration, and a row of ``predictions.parquet`` per test clip."""

    config: RunConfig
    predictions: list[Row]
    made_by: str
    """Fingerprint of the run that wrote the predictions."""


def fold_folder(runs: Path, method: str, fold: int) -> Path:
    """The run folder of a fold of a method."""
    return Path(runs) / method / f"fold-{fold}"


def open_run(folder: Path) -> Run:
    """Read a run. Raises :class:`UserError` when it is missing, unfinished or damaged."""
    if missing := [name for name in FILES if not (folder / name).exists()]:
        raise UserError(f"{folder} lacks {', '.join(missing)}: run `grace train` for this fold first.")
    path = folder / "predictions.parquet"
    return Run(
        read_config(folder), read_table(path, PREDICTIONS), str(decode_meta(PREDICTIONS, path).get("fingerprint"))
    )


def read_config(folder: Path) -> RunConfig:
    """A run's ``config.yaml``.

    Raises :class:`UserError` when the run is missing, unfinished, damaged, or its settings are not those of today.
    """
    path = Path(folder) / "config.yaml"
    again = f"remove {folder} and run `grace train` again."
    try:
        return RunConfig.model_validate(read_yaml(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {folder} is no finished run; run `grace train` first.") from None
    except (UserError, OSError):
        raise UserError(f"{path} is damaged: {again}") from None
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


def csv_table(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as CSV with a heading."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()
