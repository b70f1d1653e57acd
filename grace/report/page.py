"""The report as one HTML file: gathered, rendered, written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from grace.pipeline.store import write_atomic
from grace.pipeline.store.chain import refuse_outdated
from grace.report.data import data_section
from grace.report.origin import digests, limits, settings_section, versions
from grace.report.pictures import HEIGHT, WIDTH
from grace.report.results import results_section
from grace.report.texts import texts_section
from grace.review.catalogue import read_catalogue
from grace.review.rendering import environment
from grace.run_steps import settings_of_cache
from grace.trainer.evaluate import Joined, join_folds
from grace.trainer.runs import fold_folder

if TYPE_CHECKING:
    from grace.settings import Settings


def write_report(dataset: str, settings: Settings, out: Path, runs: Path | None = None) -> bool:
    """Write the report of a data set, and of ``train.method`` where it is trained, as one HTML file.

    The file loads nothing and runs nothing; every text of a model and every name of a file is shown as text. The same
    data give the same bytes.

    Args:
        dataset: Name of the data set.
        settings: Those that the data set and its runs were made with.
        out: The file; replaced whole.
        runs: The folder of runs; ``data/<dataset>/runs`` if not given.

    Returns:
        Whether the report has scores: none of the method's folds may be trained yet.

    Raises:
        UserError: There are no clips yet, a file is damaged or out of date, only some of the folds are trained, or the
            data set was made with other settings.
    """
    folder = settings.folder(dataset)
    catalogue, _ = read_catalogue(folder)
    joined = _joined(folder, settings, runs)
    content = _content(folder, settings, joined)
    evaluation = settings.evaluate
    results = results_section(catalogue, joined, evaluation.bootstrap, evaluation.confidence) if joined else None
    page = (
        environment("grace.report")
        .get_template("report.html")
        .render(
            dataset=dataset,
            data=data_section(catalogue),
            texts=texts_section(catalogue),
            results=results,
            method=settings.train.method,
            settings=settings_section(content),
            versions=versions(),
            digests=digests(folder, joined),
            limits=limits(folder),
            width=WIDTH,
            height=HEIGHT,
        )
    )
    write_atomic(out, page.encode("utf-8", "replace"))
    return joined is not None


def _joined(folder: Path, settings: Settings, runs: Path | None) -> Joined | None:
    """The folds of ``train.method``, or None where not one of them is there. Raises as :func:`join_folds` does."""
    method, where = settings.train.method, runs or folder / "runs"
    if not any((fold_folder(where, method, fold) / "config.yaml").exists() for fold in settings.folds):
        refuse_outdated(folder)
        return None
    return join_folds(
        folder,
        method,
        settings.folds,
        settings.evaluate.bootstrap,
        settings.evaluate.confidence,
        runs=runs,
        seeds=settings.train.seeds,
    )


def _content(folder: Path, settings: Settings, joined: Joined | None) -> dict[str, Any]:
    """The settings that made what is shown: those kept with the run, else those of today."""
    run = next(iter(joined.runs.values())).config if joined else None
    pipeline = (run.pipeline if run else None) or settings_of_cache(folder, settings)
    train = (run.settings if run else settings.train).model_dump()
    return {**pipeline, "train": train, "evaluate": settings.evaluate.model_dump()}
