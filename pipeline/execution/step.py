"""What a stage does to a shard: rows in, one row per clip out. Everything else is the runner's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from grace.pipeline.errors import ClipError, GraceError, UserError
from grace.pipeline.messages import error_line
from grace.pipeline.store import Clips, Row, Schema, Store, failure, fingerprint
from grace.pipeline.store.chain import Chain, clips_digest
from grace.pipeline.store.schemas import STORES
from grace.pipeline.store.store import FileState


class Step:
    """One kind of work on a shard of clips; small and picklable, heavy things are loaded in :meth:`open`.

    A step sees the columns in ``reads`` and no others: what is not declared there (a label) cannot reach it. Subclass
    it for work on many clips in one batch; :class:`ClipStep` is simpler where clips are done one by one.

    Example:
        >>> from grace.pipeline.store.schemas import CAPTIONS
        >>> class ShoutStep(Step):
        ...     name, version, schema, folder = "caption", 1, CAPTIONS, "captions"
        ...     reads = {"clips": ("caption_human",)}
        ...
        ...     def cache_key(self):
        ...         return {}
        ...
        ...     def shard(self, rows):
        ...         texts = [row["caption_human"].upper() for row in rows]  # a model would take them in one batch
        ...         return [{**row, "caption": text} for row, text in zip(rows, texts)]
        >>> clip = {"clip_id": "a", "status": "ok", "error": "", "caption_human": "she smiles"}
        >>> [row["caption"] for row in process_rows(ShoutStep(), [clip])]
        ['SHE SMILES']
    """

    name: ClassVar[str]
    """The stage: ``faces``."""
    version: ClassVar[int]
    """Rises when the same parameters give other content."""
    schema: ClassVar[Schema]
    """The columns that it writes."""
    folder: ClassVar[str]
    """The store that it writes, a key of ``STORES``."""
    reads: ClassVar[dict[str, tuple[str, ...]]]
    """Stores and columns it is made from; ``clips`` is the table of clips."""
    parallel: ClassVar[bool] = False
    """Whether several processes may each run it (it is bound by one core), or it fills the machine by itself."""
    prefetch_clips: int = 0
    """How many clips of the following shards to begin before one is done, so that an engine that answers many requests
    never idles; above 0, :meth:`shard` is called from several threads."""

    def cache_key(self) -> dict[str, Any]:
        """Every parameter and model that changes the content, as JSON without absolute paths."""
        raise NotImplementedError

    def extra_inputs(self, clip_ids: Sequence[str]) -> Any:
        """What besides ``reads`` shapes the rows of these clips, as JSON; part of their shard's fingerprint."""
        return None

    def knows_only(self) -> dict[str, str]:
        """The step's models that know one kind of footage only, and which: ``{"pocket/vlm": "the rendered world"}``."""
        return {}

    def can_recover(self, row: Row) -> bool:
        """Whether this step can make something of a clip that an earlier stage failed."""
        return False

    def is_failure(self, row: Row) -> bool:
        """Whether ``retry_failed`` redoes this row of the step's own store: this stage failed its clip."""
        return row["status"] == "failed" and str(row["error"]).startswith(f"{self.name}: ")

    def retry_failed(self) -> None:
        """Try again what failed before; a step that remembers failures forgets them as it comes to their clips."""

    def open(self) -> None:
        """Load what :meth:`shard` needs, once per process."""

    def close(self) -> None:
        """Give back what :meth:`open` took; called from another thread, it also ends what is under way."""

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Do the clips of a shard.

        Args:
            rows: The clips that no earlier stage failed, or that this step can recover, with the columns in ``reads``.

        Returns:
            One row per clip, in any order.

        Raises:
            GraceError: The whole stage cannot go on; shards already committed stay.
        """
        raise NotImplementedError


class ClipStep(Step):
    """A step that does one clip at a time, so that several processes can share a shard's stage.

    Example:
        >>> from grace.pipeline.store.schemas import CAPTIONS
        >>> class LengthStep(ClipStep):
        ...     name, version, schema, folder = "caption", 1, CAPTIONS, "captions"
        ...     reads = {"clips": ("n_frames",)}
        ...
        ...     def cache_key(self):
        ...         return {}
        ...
        ...     def clip(self, row):
        ...         if row["n_frames"] < 2:
        ...             raise ClipError("nothing moves in one frame")
        ...         return {**row, "caption": f"{row['n_frames']} frames"}
        >>> clips = [{"clip_id": str(n), "status": "ok", "error": "", "n_frames": n} for n in (1, 9)]
        >>> for row in process_rows(LengthStep(), clips):
        ...     print(row["status"], row.get("caption") or row["error"])
        failed caption: nothing moves in one frame
        ok 9 frames
    """

    parallel: ClassVar[bool] = True

    def clip(self, row: Row) -> Row:
        """Do one clip.

        Args:
            row: The clip, with the columns in ``reads``.

        Returns:
            Its row in the store that the step writes.

        Raises:
            ClipError: The clip fails, with this message as the cause. So does any other exception but
                :class:`GraceError`, which stops the stage.
        """
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
                yield failure(row["clip_id"], error_line(error))


class StepInputs:
    """What a step reads in one data set's folder: the clips and the stores of earlier stages, shard by shard.

    Args:
        step: The step; its ``reads`` names the stores.
        folder: The data set's folder, ``data/<dataset>``.
        size: Clips per shard.

    Raises:
        UserError: The table of clips is missing, broken, or of another version.

    Example:
        >>> inputs = StepInputs(MotionStep(MotionSettings()), Path("data/demo"), size=32)  # doctest: +SKIP
        >>> len(inputs), list(inputs.rows(0)[0])  # doctest: +SKIP
        (8, ['clip_id', 'status', 'error', 'frames', 'neighbours', 'found'])
    """

    def __init__(self, step: Step, folder: Path, size: int) -> None:
        self.step = step
        self.folder = Path(folder)
        self.size = size
        self.cache_key = step.cache_key()
        self.clips = Clips(folder, step.reads.get("clips", ()))
        self.stores = {name: Store(self.folder / name, STORES[name]) for name in step.reads if name != "clips"}
        self.output = Store(self.folder / step.folder, step.schema)
        """The store that the step writes."""
        self.reads_clips = bool(step.reads.get("clips"))
        self._limits = limits(step, self.clips.footage)
        self._chain = Chain(self.folder)

    def __len__(self) -> int:
        return self.clips.count_shards(self.size)

    def check_stores(self) -> None:
        """Raise :class:`UserError` when the inputs do not follow from what there is now, or mix shards of two settings.

        The store that the step writes may do so: the step makes it whole.
        """
        if sentence := self._chain.first_problem(*self.stores) if self.stores else "":
            raise UserError(sentence)

    def fingerprint(self, shard: int) -> str:
        """The fingerprint that the step's shard would have: of the step, its parameters, models and input shards.

        Raises:
            UserError: A shard that it would be made from is missing or broken, or was itself made from something else
                than there is now.
        """
        inputs: dict[str, Any] = {name: store.fingerprint(shard) for name, store in self.stores.items()}
        for name, found in inputs.items():
            if found is None:
                raise UserError(
                    f"{self.stores[name].path(shard)} is missing or broken: "
                    f"run `grace {self.stores[name].schema.stage} --dataset {self.folder.name}` first."
                )
            if sentence := self._chain.outdated(name, shard):
                raise UserError(sentence)
        if self._limits:
            inputs["limits"] = self._limits
        step, clips = self.step, self.clips.shard(shard, self.size)
        if more := step.extra_inputs([clip["clip_id"] for clip in clips]):
            inputs["more"] = more
        return fingerprint(
            {
                "stage": step.name,
                "version": step.version,
                "schema": step.schema.version,
                "cache_key": self.cache_key,
                "clips": clips,
                "inputs": inputs,
            }
        )

    def made_from_clips(self, shard: int) -> dict[str, Any]:
        """What a shard says of the clips that it was made from: the columns that were read, and a digest of them."""
        columns, rows = list(self.step.reads["clips"]), self.clips.shard(shard, self.size)
        return {"columns": columns, "size": self.size, "digest": clips_digest(rows)}

    def limits(self, shard: int) -> list[str]:
        """What must be known of a shard's rows: models, its inputs' too, that do not know the footage."""
        found = set(self._limits)
        for store in self.stores.values():
            found.update(store.meta(shard).get("limits", ()))
        return sorted(found)

    def sources(self, shard: int) -> dict[str, FileState]:
        """The states of the files that a shard is made from, by store: the same before reading and at the commit.

        A fingerprint alone does not tell that: a file that was replaced and put back since has the same one.

        Raises:
            UserError: An input shard is missing.
        """
        return {name: store.state(shard) for name, store in self.stores.items()}

    def rows(self, shard: int) -> list[Row]:
        """The clips of a shard with every column that the step reads; status and error are those of the first failure.

        Raises:
            UserError: An input shard is missing, broken, or holds other clips.
        """
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


def limits(step: Step, footage: str) -> list[str]:
    """A sentence for each model of a step that does not know the footage.

    Args:
        step: The step.
        footage: What the clips show, as :attr:`grace.pipeline.store.Clips.footage`.
    """
    return sorted(
        f"{model} knows only {known}: of this footage its words and tokens mean nothing"
        for model, known in step.knows_only().items()
        if known != footage
    )


def process_rows(step: Step, rows: Sequence[Row]) -> Iterable[Row]:
    """The step's rows for ``rows``, one per clip.

    Clips that an earlier stage failed are carried along, and clips that the step gives no row for are failed. A failure
    names the stage it arose in: ``faces: the video is empty``.

    Args:
        step: An opened step.
        rows: Clips with the columns in ``step.reads``.

    Raises:
        ValueError: The step gives two rows for one clip, or a row for a clip that is not among ``rows``.
    """
    carried = {row["clip_id"]: row["error"] for row in rows if row["status"] == "failed" and not step.can_recover(row)}
    yield from (failure(clip_id, error) for clip_id, error in carried.items())
    waiting = {row["clip_id"]: row for row in rows if row["clip_id"] not in carried}
    for row in step.shard(list(waiting.values())) if waiting else ():
        if waiting.pop(row["clip_id"], None) is None:
            raise ValueError(f"{step.name} gave a row for {row['clip_id']}, which it was not asked for or gave before")
        if row["status"] == "ok":
            yield row
        else:
            yield {**row, "error": f"{step.name}: {row['error']}"}
    for clip_id in waiting:
        yield failure(clip_id, f"{step.name}: the stage gave no row for this clip")
