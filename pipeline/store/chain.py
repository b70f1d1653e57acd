"""What shards say they were made from, held against what there is now: what does not belong is not built upon."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.errors import UserError
from grace.pipeline.store.clips import FILE, Clips
from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.schemas import STORES
from grace.pipeline.store.store import Store


class Chain:
    """The shards of a data set, each made from those of the stage before and from the table of clips.

    Args:
        folder: The data set's folder, ``data/<dataset>``.

    Example:
        >>> import tempfile
        >>> from grace.pipeline.store.schemas import MOTION
        >>> row = {"clip_id": "a", "status": "ok", "error": ""}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Store(Path(folder, "faces"), STORES["faces"]).write(0, [row], {"fingerprint": "now"})
        ...     Store(Path(folder, "motion"), MOTION).write(0, [row], {"inputs": {"faces": "before"}})
        ...     sentence = Chain(Path(folder)).outdated("motion", 0)
        >>> sentence.partition(" was ")[2]
        'made from another faces/00000 than there is now: run `grace motion`.'
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._tables: dict[tuple[str, ...], Clips] = {}

    def problems(self, name: str, shard: int) -> Iterator[str]:
        """What a shard was made from that is no more, a sentence each."""
        meta = Store(self.folder / name, STORES[name]).meta(shard)
        return self._problems(name, shard, meta, self._fingerprint)

    def first_problem(self) -> str:
        """The first problem of any shard, the earliest stage first; else empty. No file is opened twice."""
        fingerprints: dict[tuple[str, int], str] = {}

        def fingerprint_of(source: str, shard: int) -> str | None:
            return fingerprints.get((source, shard))

        for name, schema in STORES.items():  # each after those that it is made from
            store = Store(self.folder / name, schema)
            for shard in store.shards():
                meta = store.meta(shard)
                fingerprints[name, shard] = str(meta.get("fingerprint"))
                if sentence := next(self._problems(name, shard, meta, fingerprint_of), ""):
                    return sentence
        return ""

    def outdated(self, name: str, shard: int) -> str:
        """The first problem of a shard or of those that it was made from, the earliest stage first; else empty."""
        store = Store(self.folder / name, STORES[name])
        for source in store.meta(shard).get("inputs") or {}:
            if Store(self.folder / source, STORES[source]).path(shard).exists() and (
                sentence := self.outdated(source, shard)
            ):
                return sentence
        return next(self.problems(name, shard), "")

    def _problems(
        self, name: str, shard: int, meta: dict[str, Any], fingerprint_of: Callable[[str, int], str | None]
    ) -> Iterator[str]:
        """The problems of a shard with these metadata, where the shards of earlier stages have these fingerprints."""
        store, sources = Store(self.folder / name, STORES[name]), []
        for source, recorded in (meta.get("inputs") or {}).items():
            now = fingerprint_of(source, shard)
            if now is not None and now != recorded:
                sources.append(f"{source}/{shard:05d}")
        if (rows := meta.get("clips")) and clips_digest(self._rows(shard, rows)) != rows["digest"]:
            sources.append(FILE)
        for source in sources:
            path, stage = store.path(shard), store.schema.stage
            yield f"{path} was made from another {source} than there is now: run `grace {stage}`."

    def _fingerprint(self, source: str, shard: int) -> str | None:
        return Store(self.folder / source, STORES[source]).fingerprint(shard)

    def _rows(self, shard: int, recorded: dict[str, Any]) -> list[dict[str, Any]]:
        columns = tuple(recorded["columns"])
        if columns not in self._tables:
            self._tables[columns] = Clips(self.folder, columns)
        return self._tables[columns].shard(shard, recorded["size"])


def refuse_outdated(folder: Path) -> None:
    """Raise :class:`UserError` when a shard of a data set does not follow from what there is now.

    What is there no more is not held against what was made from it. Metadata alone are read, of each file once.

    Args:
        folder: ``data/<dataset>``.
    """
    if sentence := Chain(folder).first_problem():
        raise UserError(sentence)


def clips_digest(rows: Sequence[dict[str, Any]]) -> str:
    """What the table of clips says of a shard's clips, as a hash."""
    return fingerprint(list(rows))
