"""What shards say they were made from, held against what there is now: what does not belong is not built upon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.store.clips import FILE, Clips
from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.schemas import STORES
from grace.pipeline.store.store import Store
from grace.pipeline.store.whole import made_by, mixture


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
        store = self._store(name)
        meta, sources = store.meta(shard), []
        for source, recorded in (meta.get("inputs") or {}).items():
            now = self._store(source).fingerprint(shard)
            if now is not None and now != recorded:
                sources.append(f"{source}/{shard:05d}")
        if (rows := meta.get("clips")) and clips_digest(self._rows(shard, rows)) != rows["digest"]:
            sources.append(FILE)
        for source in sources:
            path, stage = store.path(shard), store.schema.stage
            yield f"{path} was made from another {source} than there is now: run `grace {stage}`."

    def outdated(self, name: str, shard: int) -> str:
        """The first problem of a shard or of those that it was made from, the earliest stage first; else empty."""
        store = self._store(name)
        for source in store.meta(shard).get("inputs") or {}:
            if self._store(source).path(shard).exists() and (sentence := self.outdated(source, shard)):
                return sentence
        return next(self.problems(name, shard), "")

    def mixed(self, *names: str) -> str:
        """A sentence when shards of a store, or of one that it was made from, were made by different settings.

        The earliest stage comes first; empty when the shards of each store are alike.
        """
        makers: dict[str, dict[int, str]] = {}
        for name in names:
            self._read_makers(name, makers)
        return next(filter(None, (mixture(self._store(name), found) for name, found in makers.items())), "")

    def _read_makers(self, name: str, makers: dict[str, dict[int, str]]) -> None:
        """What each shard of a store was made by, after the same of the stores that it was made from."""
        if name in makers:
            return
        store, sources, found = self._store(name), set[str](), dict[int, str]()
        for shard in store.shards():
            meta = store.meta(shard)
            found[shard] = made_by(meta)
            sources.update(meta.get("inputs") or {})
        for source in sorted(sources):
            self._read_makers(source, makers)
        makers[name] = found

    def _store(self, name: str) -> Store:
        return Store(self.folder / name, STORES[name])

    def _rows(self, shard: int, recorded: dict[str, Any]) -> list[dict[str, Any]]:
        columns = tuple(recorded["columns"])
        if columns not in self._tables:
            self._tables[columns] = Clips(self.folder, columns)
        return self._tables[columns].shard(shard, recorded["size"])


def clips_digest(rows: Sequence[dict[str, Any]]) -> str:
    """What the table of clips says of a shard's clips, as a hash."""
    return fingerprint(list(rows))
