"""What a stage wrote for a data set, opened by its name."""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.store.clips import FILE
from grace.pipeline.store.formats import decode_meta
from grace.pipeline.store.schemas import CLIPS, STORES, clips_schema
from grace.pipeline.store.store import Store


class ClipsStore(Store):
    """The table of clips, ``clips.parquet``, read as a store of one shard; ``write_clips`` writes it.

    Args:
        folder: The data set's folder, ``data/<dataset>``.

    Raises:
        UserError: The table is broken.
    """

    def __init__(self, folder: Path) -> None:
        path = Path(folder) / FILE
        folds = decode_meta(CLIPS, path).get("folds", ()) if path.exists() else ()
        super().__init__(folder, clips_schema(folds))

    def path(self, shard: int) -> Path:
        """The table."""
        return self.folder / FILE

    def shards(self) -> list[int]:
        """One shard where there is a table."""
        return [0] if self.path(0).exists() else []


def open_store(folder: str | Path, name: str) -> Store:
    """What a stage wrote for a data set, to be read.

    Args:
        folder: The data set's folder, such as ``data/demo``.
        name: ``clips`` (paths, labels, folds, people), ``faces``, ``captions``, ``descriptions``, ``motion`` or
            ``tokens``.

    Returns:
        The store; ``to_pandas()`` gives all its rows, ``find(clip_id)`` one. What a stage has not written yet is an
        error when its rows are asked for.

    Raises:
        UserError: No store has that name, or the table of clips is broken.

    Example:
        >>> import tempfile
        >>> from grace.pipeline.store import write_clips
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     clip = {"clip_id": "a", "status": "ok", "error": "", "label": "fear", "fold_1": "test"}
        ...     write_clips(Path(folder), [clip], labels=["fear"])
        ...     open_store(folder, "clips").to_pandas(["clip_id", "label", "fold_1"])
          clip_id label fold_1
        0       a  fear   test
    """
    if name == "clips":
        return ClipsStore(Path(folder))
    if name not in STORES:
        raise UserError(f"There is no store '{name}': choose one of clips, {', '.join(STORES)}.")
    return Store(Path(folder) / name, STORES[name])
