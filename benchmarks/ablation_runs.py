"""The bench's predictions in one table: every test clip of every run. All scores are computed from it.

It is kept, and published, beside the figures (``results/ablation_predictions.parquet``), so that runs of several
sittings and machines meet in one report, and a reader can compute intervals and tests of their own:

>>> import pandas as pd
>>> kept = pd.read_parquet(PREDICTIONS_FILE)
>>> list(kept.columns[:6])
['vision', 'text', 'row', 'seed', 'fold', 'clip_id']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from benchmarks.ablation_table import Score
from benchmarks.harness import RESULTS
from grace.pipeline.store import read_table
from grace.pipeline.store.schemas import PREDICTIONS
from grace.trainer.runs import FILES, read_config

PREDICTIONS_FILE = RESULTS / "ablation_predictions.parquet"
CELL = ["vision", "text"]
RUN = [*CELL, "row", "seed", "fold"]
COLUMNS = [*RUN, "clip_id", "person", "label", "predicted", "validation_uar"]


def predictions_of(folder: Path, run: Mapping[str, str | int], people: Mapping[str, str]) -> pd.DataFrame | None:
    """The test clips of a finished run; None when it is not finished.

    Args:
        folder: The run's folder.
        run: Its cell, row, seed and fold, as named in ``RUN``.
        people: Who is seen in each clip.
    """
    if not all((folder / name).exists() for name in FILES):
        return None
    read = pd.DataFrame(read_table(folder / "predictions.parquet", PREDICTIONS))[["clip_id", "label", "predicted"]]
    read["person"] = read["clip_id"].map(dict(people))
    return read.assign(**{name: run[name] for name in RUN}, validation_uar=validation_uar(folder))[COLUMNS]


def validation_uar(folder: Path) -> float:
    """The validation score of a run's selected epoch; no test clip is read for it."""
    settings = read_config(folder).settings
    scores = pd.read_csv(folder / "history.csv")["validation_uar"]
    window = 1 if settings.method == "probe" else settings.window
    return float(scores.rolling(window).mean().max())


def with_kept(found: list[pd.DataFrame], file: Path = PREDICTIONS_FILE) -> pd.DataFrame:
    """What was found, and of ``file`` the runs that were not found here."""
    parts = [pd.read_parquet(file), *found] if file.exists() else found
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    every = pd.concat(parts, ignore_index=True)
    newest = every.drop_duplicates([*RUN, "clip_id"], keep="last")
    return newest.sort_values([*RUN, "clip_id"], ignore_index=True)


def keep(table: pd.DataFrame, file: Path = PREDICTIONS_FILE) -> None:
    """Write the table, names as dictionaries."""
    names = [*CELL, "row", "person", "label", "predicted"]
    table.astype(dict.fromkeys(names, "category")).to_parquet(file, compression="zstd", index=False)


def scores(table: pd.DataFrame) -> Iterator[tuple[str, str, str, Score]]:
    """Vision, text, row and score of each row of each cell."""
    for (vision, text, row), of_row in table.groupby([*CELL, "row"], observed=True, sort=False):
        names = sorted(of_row["label"].unique())
        once = of_row.drop_duplicates("clip_id")
        runs, validation = {}, {}
        for _, run in of_row.groupby(["seed", "fold"]):
            first = run.iloc[0]
            key = int(first["seed"]), int(first["fold"])
            right = run["label"].astype(str) == run["predicted"].astype(str)
            runs[key] = dict(zip(run["clip_id"], right, strict=True))
            validation[key] = float(first["validation_uar"])
        labels = {clip: names.index(label) for clip, label in zip(once["clip_id"], once["label"], strict=True)}
        people = dict(zip(once["clip_id"], once["person"], strict=True))
        yield str(vision), str(text), str(row), Score(names, labels, people, runs, validation)
