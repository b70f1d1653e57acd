"""Draws where words met the face, for ``grace show --what alignment`` and ``grace predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grace.pipeline.store import Row
    from grace.settings import Settings

WORDS = 12
"""Rows of the picture: the words whose mass went its own way most."""


def run_folder(run: Path | None, settings: Settings, dataset: str) -> Path:
    """The run that was named, or the first fold of ``train.method``."""
    from grace.trainer.runs import fold_folder

    return run or fold_folder(settings.folder(dataset) / "runs", settings.train.method, settings.folds[0])


def draw(row: Row, plan: Any, settings: Settings, file: Path) -> None:
    """Write the picture of one clip: ``row`` holds its crops and text tokens, ``plan`` is [L, T, P]."""
    from transformers import AutoTokenizer

    from grace.pipeline.visualize.alignment import alignment_sheet, merge_subwords, most_distinctive
    from grace.pipeline.visualize.contact_sheets import crops, save

    tokenizer = AutoTokenizer.from_pretrained(settings.tokens.model, revision=settings.tokens.revision)
    pieces = tokenizer.convert_ids_to_tokens(row["text_id"].tolist())
    words = most_distinctive(merge_subwords(pieces, row["sentence"], row["text_mask"], plan), WORDS)
    save(alignment_sheet(crops(row), words), str(file))


def draw_cached(clip: str, run: Path | None, settings: Settings, dataset: str, file: Path) -> None:
    """Write the picture of a clip of the cache, aligned by a run.

    Raises :class:`UserError` when the clip or the run is missing, or the run's method aligns nothing.
    """
    from grace.pipeline.store import Store, UserError
    from grace.pipeline.store.schemas import STORES
    from grace.trainer.classifier import TokenClassifier

    classifier = TokenClassifier.from_pretrained(run_folder(run, settings, dataset))
    folder = settings.folder(dataset)
    whole: Row = {}
    for name in ("faces", "motion", "tokens"):
        row = Store(folder / name, STORES[name]).find(clip)
        if row is None or row["status"] == "failed":
            cause = row["error"] if row else f"the {name} stage has no such clip"
            raise UserError(f"There is nothing to show of clip '{clip}' of {dataset}: {cause}.")
        whole |= row
    _, plan = classifier.predict(whole)
    if plan is None:
        raise UserError(
            f"Method {classifier.run.settings.method} aligns no words with patches: name a run of grace with --run."
        )
    draw(whole, plan, settings, file)
