"""The alignment of a clip of the cache by a run, for ``grace show --what alignment``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stages._options import run_folder

if TYPE_CHECKING:
    from grace.pipeline.media.images import BGRImage
    from grace.pipeline.store import Row
    from grace.settings import Settings


def cached_row(folder: Path, store: str, clip: str) -> Row:
    """What a stage made of a clip. Raises :class:`UserError` with the cause where that is nothing."""
    from grace.pipeline.store import UserError, open_store

    row = open_store(folder, store).find(clip)
    if row is None or row["status"] == "failed":
        cause = row["error"] if row else f"the {store} stage has no such clip"
        raise UserError(f"There is nothing to show of clip '{clip}' of {folder.name}: {cause}.")
    return row


def cached_alignment(clip: str, run: Path | None, settings: Settings, dataset: str) -> BGRImage:
    """Words of a clip against its patches and instants, aligned by a run.

    Raises :class:`UserError` when the clip or the run is missing, or the run's method aligns nothing.
    """
    from grace.pipeline.store import UserError
    from grace.pipeline.visualize.alignment import alignment_sheet, distinctive_words
    from grace.pipeline.visualize.contact_sheets import decode_crops
    from grace.trainer.classifier import TokenClassifier

    classifier = TokenClassifier.from_pretrained(run_folder(run, settings, dataset))
    row: Row = {}
    for store in ("faces", "motion", "descriptions", "tokens"):
        row |= cached_row(settings.folder(dataset), store, clip)
    _, plan = classifier.predict(row)
    if plan is None:
        raise UserError(
            f"Method {classifier.run.settings.method} aligns no words with patches: name a run of grace with --run."
        )
    words = distinctive_words(row, plan, settings.tokens)
    return alignment_sheet(decode_crops(row), words, row["times"], f"{clip}: where the words' mass goes")
