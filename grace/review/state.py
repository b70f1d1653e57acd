"""What the pages of one data set are made from, opened once and kept up to date."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.tokens.settings import TokensSettings
from grace.review.agreement import Ratings
from grace.review.alignment import Neighbours
from grace.review.catalogue import Catalogue, LiveCatalogue
from grace.review.corrections import Corrections, Said
from grace.review.query import Filter, People
from grace.review.runs import Predictions, RunFolds, find_runs, read_predictions, stamp
from grace.trainer.settings import EvaluateSettings


@dataclass
class Review:
    """One data set under review.

    Args:
        dataset: Its name.
        folder: ``data/<dataset>``.
        root: The folder of its raw files; None where it is not known, and videos are not shown.
        overrides: The folder of corrections.
        run: The run that ``--run`` names.
        tokens: The settings that made the tokens.
        scoring: How the intervals of scores are made.
    """

    dataset: str
    folder: Path
    root: Path | None
    overrides: Path
    run: Path | None = None
    tokens: TokensSettings = field(default_factory=TokensSettings)
    scoring: EvaluateSettings = field(default_factory=EvaluateSettings)
    live: LiveCatalogue = field(init=False)
    corrections: Corrections = field(init=False)
    ratings: Ratings = field(init=False)
    neighbours: Neighbours = field(init=False)

    def __post_init__(self) -> None:
        self.live = LiveCatalogue(self.folder)
        self.corrections = Corrections(self.overrides, self.dataset)
        self.ratings = Ratings(self.overrides, self.dataset)
        self.neighbours = Neighbours(self.folder)
        self._lock = threading.Lock()
        self._predictions: dict[str, tuple[tuple[int, ...], Predictions]] = {}
        self._predicted: Catalogue | None = None  # the catalogue beside which they stand
        self._said: tuple[tuple[int, ...], dict[str, Said]] = ((), {})
        find_runs(self.folder, self.run)  # refuse a --run that does not exist before the first page

    def runs(self) -> dict[str, RunFolds]:
        """The finished runs by name, the one that ``--run`` names first."""
        return find_runs(self.folder, self.run)

    def predictions(self, catalogue: Catalogue, name: str, runs: dict[str, RunFolds]) -> Predictions | None:
        """The predictions of a run; of the first one when ``name`` is empty, None where there is no run.

        Raises:
            UserError: There is no run of that name, or it is damaged.
        """
        if not runs and not name:
            return None
        run = runs.get(name) if name else self._default(runs)
        if run is None:
            raise UserError(f"There is no finished run '{name}': the runs are {', '.join(runs) or 'none'}.")
        key = stamp(run)
        with self._lock:
            if self._predicted is not catalogue:
                self._predicted = catalogue
                self._predictions.clear()
            kept = self._predictions.get(run.name)
            if kept is None or kept[0] != key:
                kept = key, read_predictions(catalogue, run, self.scoring)
                self._predictions[run.name] = kept
            return kept[1]

    def _default(self, runs: dict[str, RunFolds]) -> RunFolds:
        return next(iter(runs.values())) if self.run is not None else runs.get("grace") or next(iter(runs.values()))

    def pair(self, catalogue: Catalogue, asked: Filter) -> tuple[Predictions | None, Predictions | None]:
        """The predictions that a filter is about, and those beside them where it names a second run."""
        runs = self.runs()
        first = self.predictions(catalogue, asked.run, runs)
        return first, self.predictions(catalogue, asked.versus, runs) if asked.versus else None

    def said(self) -> dict[str, Said]:
        """What people said about clips, read again when a file has changed."""
        files = (self.corrections.texts, self.corrections.marks)
        key = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)
        with self._lock:
            if self._said[0] != key:
                self._said = key, self.corrections.all()
            return self._said[1]

    def people(self, catalogue: Catalogue) -> People:
        """The numbers of the clips that people said something about."""
        known = {catalogue.positions[clip]: said for clip, said in self.said().items() if clip in catalogue.positions}
        return People(
            frozenset(clip for clip, said in known.items() if said.description),
            frozenset(clip for clip, said in known.items() if said.mark == "unusable"),
            frozenset(clip for clip, said in known.items() if said.mark == "doubtful"),
        )
