"""What shards say they were made from, held against what there is now: what does not belong is not built upon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.errors import UserError
from grace.pipeline.store.clips import FILE, Clips
from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.schemas import STORES
from grace.pipeline.store.store import Store, shard_fingerprint
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
        return self._problems(name, shard, self._store(name).meta(shard), self._fingerprint)

    def first_problem(self, *names: str) -> str:
        """The first problem of some stores and of those that they were made from, the earliest stage first; else empty.

        A shard is held against what it was made from, and shards of one store against each other. Metadata alone are
        read.

        Args:
            names: The stores; all of them when not given.
        """
        fingerprints: dict[tuple[str, int], str] = {}

        def fingerprint_of(source: str, shard: int) -> str | None:
            return fingerprints.get((source, shard))

        for name in self._with_sources(names) if names else STORES:  # each after those that it is made from
            store, makers = self._store(name), dict[int, str]()
            for shard in store.shards():
                meta = store.meta(shard)
                fingerprints[name, shard], makers[shard] = shard_fingerprint(meta), made_by(meta)
                if sentence := next(self._problems(name, shard, meta, fingerprint_of), ""):
                    return sentence
            if sentence := mixture(store, makers):
                return sentence
        return ""

    def outdated(self, name: str, shard: int) -> str:
        """The first problem of a shard or of those that it was made from, the earliest stage first; else empty."""
        store = self._store(name)
        for source in store.meta(shard).get("inputs") or {}:
            if self._store(source).path(shard).exists() and (sentence := self.outdated(source, shard)):
                return sentence
        return next(self.problems(name, shard), "")

    def _problems(
        self, name: str, shard: int, meta: dict[str, Any], fingerprint_of: Callable[[str, int], str | None]
    ) -> Iterator[str]:
        """The problems of a shard with these metadata, where the shards of earlier stages have these fingerprints."""
        store, sources = self._store(name), []
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
        return self._store(source).fingerprint(shard)

    def _with_sources(self, names: Iterable[str]) -> list[str]:
        """These stores and those that their shards were made from, in the order of the stages."""
        found, waiting = set[str](), list(names)
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                store = self._store(name)
                waiting += {source for shard in store.shards() for source in store.meta(shard).get("inputs") or {}}
        return [name for name in STORES if name in found]

    def _store(self, name: str) -> Store:
        return Store(self.folder / name, STORES[name])

    def _rows(self, shard: int, recorded: dict[str, Any]) -> list[dict[str, Any]]:
        columns = tuple(recorded["columns"])
        if columns not in self._tables:
            self._tables[columns] = Clips(self.folder, columns)
        return self._tables[columns].shard(shard, recorded["size"])


def refuse_outdated(folder: Path) -> None:
    """Raise :class:`UserError` when a shard of a data set does not follow from what there is now, or from one setting.

    What is there no more is not held against what was made from it. Metadata alone are read, of each file once.

    Args:
        folder: ``data/<dataset>``.
    """
    if sentence := Chain(folder).first_problem():
        raise UserError(sentence)


def clips_digest(rows: Sequence[dict[str, Any]]) -> str:
    """What the table of clips says of a shard's clips, as a hash."""
    return fingerprint(list(rows))
