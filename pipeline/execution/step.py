"""What a stage does to a shard: rows in, one row a clip out. Everything else is the runner's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from grace.pipeline.errors import ClipError, GraceError
from grace.pipeline.store import Clips, Row, Schema, Store, UserError, failure, fingerprint
from grace.pipeline.store.schemas import STORES


class Step:
    """One kind of work on a shard of clips; small and picklable, heavy things are loaded in :meth:`open`.

    A step sees the columns in ``reads`` and no others: what is not declared there (a label) cannot reach it.
    """

    name: ClassVar[str]
    """The stage: ``faces``."""
    version: ClassVar[int]
    """Rises when the same parameters give other content."""
    schema: ClassVar[Schema]
    folder: ClassVar[str]
    """The store it writes, a key of ``STORES``."""
    reads: ClassVar[dict[str, tuple[str, ...]]]
    """Stores and columns it is made from; ``clips`` is the table of clips."""
    parallel: ClassVar[bool] = False
    """Whether several processes may each run it (it is bound by one core), or it fills the machine by itself."""
    prefetch_clips: int = 0
    """How many clips of the following shards to begin before one is done, so that what answers them never idles;
    above 0, :meth:`shard` is called from several threads."""

    def cache_key(self) -> dict[str, Any]:
        """Every parameter and model that changes the content, as JSON without absolute paths."""
        raise NotImplementedError

    def inputs(self, clip_ids: Sequence[str]) -> Any:
        """What else than ``reads`` shapes the rows of these clips, as JSON; part of their shard's fingerprint."""
        return None

    def can_recover(self, row: Row) -> bool:
        """Whether this step can make something of a clip that an earlier stage failed."""
        return False

    def open(self) -> None:
        """Load what :meth:`shard` needs, once a process."""

    def close(self) -> None:
        """Give back what :meth:`open` took; called from another thread, it also ends what is under way."""

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """One row for each of ``rows``, the clips that no earlier stage failed or this one rescues, in any order.

        Raise :class:`GraceError` when the whole stage cannot go on; shards already committed stay.
        """
        raise NotImplementedError


class ClipStep(Step):
    """A step that does one clip at a time, several processes side by side."""

    parallel: ClassVar[bool] = True

    def clip(self, row: Row) -> Row:
        """The row of one clip. :class:`ClipError` fails this clip with its message as the cause."""
        raise NotImplementedError

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Every clip by itself: whatever breaks on one clip costs that clip only."""
        for row in rows:
            try:
                yield self.clip(row)
            except ClipError as error:
                yield failure(row["clip_id"], str(error))
            except (GraceError, MemoryError):
                raise
            except Exception as error:  # a decoder's or a library's complaint about this one file
                yield failure(row["clip_id"], f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


class StepInputs:
    """What a step reads in one data set's folder: the clips and the stores of earlier stages, shard by shard."""

    def __init__(self, step: Step, folder: Path, size: int) -> None:
        self.step = step
        self.folder = Path(folder)
        self.size = size
        self.cache_key = step.cache_key()
        self.clips = Clips(folder, step.reads.get("clips", ()))
        self.stores = {name: Store(self.folder / name, STORES[name]) for name in step.reads if name != "clips"}

    def __len__(self) -> int:
        return self.clips.count_shards(self.size)

    def fingerprint(self, shard: int) -> str:
        """What the step's shard would be made from: itself, its parameters, its models, its input shards."""
        inputs: dict[str, Any] = {name: store.fingerprint(shard) for name, store in self.stores.items()}
        for name, found in inputs.items():
            if found is None:
                raise UserError(
                    f"{self.stores[name].path(shard)} is missing or broken: "
                    f"run `grace {self.stores[name].schema.stage} --dataset {self.folder.name}` first."
                )
        step, clips = self.step, self.clips.shard(shard, self.size)
        if more := step.inputs([clip["clip_id"] for clip in clips]):
            inputs["more"] = more
        return fingerprint(
            {
                "stage": step.name,
                "version": step.version,
                "schema": step.schema.version,
                "identity": self.cache_key,
                "clips": clips,
                "inputs": inputs,
            }
        )

    def rows(self, shard: int) -> list[Row]:
        """The clips of a shard with all that the step reads of them; status and error as the last stage left them."""
        rows = [dict(clip) for clip in self.clips.shard(shard, self.size)]
        for name, store in self.stores.items():
            found = store.read(shard, ["clip_id", "status", "error", *self.step.reads[name]])
            if [row["clip_id"] for row in found] != [row["clip_id"] for row in rows]:
                raise UserError(
                    f"{store.path(shard)} holds other clips than {self.clips.path} lists there: "
                    f"run `grace {store.schema.stage} --dataset {self.folder.name}` again."
                )
            for row, more in zip(rows, found, strict=True):
                kept = {key: row[key] for key in ("status", "error")} if row["status"] == "failed" else {}
                row.update(more)
                row.update(kept)
        return rows


def process_rows(step: Step, rows: Sequence[Row]) -> Iterable[Row]:
    """The step's rows for ``rows``, one a clip: failed clips are carried along, forgotten ones are failed.

    A failure names the stage it arose in: ``faces: the video is empty``.
    """
    lost = [row for row in rows if row["status"] == "failed" and not step.can_recover(row)]
    yield from (failure(row["clip_id"], row["error"]) for row in lost)
    gone = {row["clip_id"] for row in lost}
    waiting = {row["clip_id"]: row for row in rows if row["clip_id"] not in gone}
    for row in step.shard(list(waiting.values())) if waiting else ():
        if waiting.pop(row["clip_id"], None) is None:
            raise ValueError(f"{step.name} gave a row for {row['clip_id']}, which it was not asked for or gave before")
        if row["status"] == "ok":
            yield row
        else:
            yield {**row, "error": f"{step.name}: {row['error']}"}
    for clip_id in waiting:
        yield failure(clip_id, f"{step.name}: the stage gave no row for this clip")
