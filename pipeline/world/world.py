"""Make a world: real video files in a data set's official layout, and the ground truth about them."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from grace.pipeline.datasets.footage import WORLD_FILE as MARK
from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.execution.progress import ClipProgress
from grace.pipeline.store import clear_abandoned, folder_lock, write_atomic
from grace.pipeline.world.clip_spec import ClipSpec
from grace.pipeline.world.footage import write_frames, write_video
from grace.pipeline.world.layouts import LAYOUTS
from grace.pipeline.world.render import frame_times, measure, render, stack_truth
from grace.pipeline.world.sampling import clip_scenario, sample_clips
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.truth import clip_row, frame_rows, write_truth

UNFINISHED = "unfinished"
"""Folder at a world's root for files that are not complete yet."""

_NOT_PIXELS = ("__init__.py", "expression_sheet.py", "sentences.py", "settings.py", "truth.py")
"""Modules of this package that no pixel depends on; the values of the settings are compared themselves."""

logger = logging.getLogger(__name__)


class MadeClip(NamedTuple):
    """A clip on the disk and its ground truth."""

    rendered: bool  # now; False if its file existed
    clip_row: dict[str, Any]  # of ``truth/clips.parquet``
    frame_rows: list[dict[str, Any]]  # of ``truth/frames.parquet``


@dataclass
class WorldCounts:
    """What :func:`make_world` did."""

    rendered: int = 0
    skipped: int = 0
    frames: int = 0  # of the rendered clips
    seconds: float = 0.0


def make_world(settings: WorldSettings, root: Path, workers: int) -> WorldCounts:
    """Render a world: its clips, then its list files and its ground truth.

    The bytes depend on the settings only. Clips whose file exists are kept, so an interrupted run resumes. A world of
    other settings, or of older drawing code, is removed and rendered again.

    Args:
        settings: section ``world`` of ``params.yaml``.
        root: folder of the world; created if it does not exist.
        workers: local processes; 0 renders in this process.

    Returns:
        How many clips and frames were rendered, how many clips were skipped, and the seconds that it took.

    Raises:
        UserError: ``root`` holds something that is not a world, or there are fewer people or clips than folds.

    Example:
        >>> import tempfile
        >>> tiny = WorldSettings(clips=1, identities=1, folds=1, size=96, fps=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     counts = make_world(tiny, Path(folder), workers=0)
        ...     files = sorted(path.name for path in Path(folder).iterdir())
        >>> counts.rendered, files
        (1, ['clips', 'clips.csv', 'truth', 'world.json'])
    """
    specs = sample_clips(settings)
    counts, start = WorldCounts(), time.perf_counter()
    with folder_lock(root):
        _prepare_root(settings, root)
        unfinished = root / UNFINISHED
        unfinished.mkdir(exist_ok=True)
        clear_abandoned(unfinished)
        try:
            made = sum((root / LAYOUTS[settings.layout].path(spec.clip_id)).exists() for spec in specs)
            with ClipProgress("world", len(specs), made) as progress:
                write_truth(root, _counted(_make_clips(settings, root, specs, workers), counts, progress), unfinished)
            LAYOUTS[settings.layout].write_lists(root, specs)
        finally:
            clear_abandoned(unfinished)
            with suppress(OSError):  # a machine that this one's locks do not reach is still writing there
                unfinished.rmdir()
    counts.seconds = time.perf_counter() - start
    return counts


def make_clip(settings: WorldSettings, root: Path, spec: ClipSpec) -> MadeClip:
    """Render one clip unless its file exists, and return its ground truth in either case.

    Args:
        settings: section ``world`` of ``params.yaml``.
        root: folder of the world; the file is written in its folder ``unfinished`` first, then renamed.
        spec: the clip, from :func:`~grace.pipeline.world.sampling.sample_clips`.

    Returns:
        Whether the clip was rendered now, and its rows of the two tables of ground truth.

    Raises:
        GraceError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> tiny = WorldSettings(clips=1, identities=1, folds=1, size=96, fps=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     clip = make_clip(tiny, Path(folder), sample_clips(tiny)[0])
        >>> clip.rendered, clip.clip_row["clip_id"], len(clip.frame_rows) == round(2 * clip.clip_row["duration"])
        (True, '00001', True)
    """
    layout = LAYOUTS[settings.layout]
    scenario, identity = clip_scenario(settings, spec)
    row, path = clip_row(scenario, spec.fold), root / layout.path(spec.clip_id)
    if path.exists():
        truth = measure(scenario, identity, settings, frame_times(scenario, settings))
        return MadeClip(False, row, frame_rows(spec.clip_id, truth))
    frames = list(render(scenario, identity, settings))
    images = [frame.image for frame in frames]
    unfinished = root / UNFINISHED
    unfinished.mkdir(parents=True, exist_ok=True)
    if layout.cropped:
        write_frames(path, images, unfinished)
    else:
        write_video(path, images, settings.fps, unfinished)
    return MadeClip(True, row, frame_rows(spec.clip_id, stack_truth(frames)))


def _make_clips(settings: WorldSettings, root: Path, specs: list[ClipSpec], workers: int) -> Iterator[MadeClip]:
    """Every clip in order, in this process (``workers`` 0) or in local ones."""
    if workers == 0 or len(specs) < 2:
        for spec in specs:
            yield make_clip(settings, root, spec)
        return
    try:
        yield from _make_in_processes(settings, root, specs, workers)
    except BrokenProcessPool:
        raise GraceError(
            "A process that renders clips was killed (for want of memory?): set workers to a smaller number and run it "
            "again; finished clips are kept."
        ) from None


def _make_in_processes(settings: WorldSettings, root: Path, specs: list[ClipSpec], workers: int) -> Iterator[MadeClip]:
    with ProcessPoolExecutor(workers, get_context("spawn"), _init_worker) as pool:
        # The queue is bounded: results wait for those of earlier clips, and a large world must not wait in memory.
        queue, remaining = [], iter(specs)
        for spec in remaining:
            queue.append(pool.submit(make_clip, settings, root, spec))
            if len(queue) >= 4 * workers:
                yield queue.pop(0).result()
        for future in queue:
            yield future.result()


def _init_worker() -> None:
    import cv2

    from grace.pipeline.execution.processes import exit_with_parent

    cv2.setNumThreads(1)
    exit_with_parent()


def _counted(
    clips: Iterator[MadeClip], counts: WorldCounts, progress: ClipProgress
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The rows of clips; ``counts`` and the progress are updated on the way."""
    for clip in clips:
        counts.rendered += clip.rendered
        counts.skipped += not clip.rendered
        counts.frames += len(clip.frame_rows) if clip.rendered else 0
        progress.commit(int(clip.rendered))
        yield clip.clip_row, clip.frame_rows


def _prepare_root(settings: WorldSettings, root: Path) -> None:
    """Mark ``root`` as the world of these settings; the world of other settings there is removed."""
    mark = root / MARK
    expected = json.dumps({"world": settings.model_dump(mode="json"), "drawn_by": _code_hash()}, indent=2) + "\n"
    if not mark.exists():
        if any(entry.name != UNFINISHED for entry in root.iterdir()):
            raise UserError(f"{root} holds files but no {MARK}: it is not a rendered world. Name an empty folder.")
    elif mark.read_bytes() != expected.encode():
        logger.warning("%s holds a world of other settings or older drawing code; it is removed and made again.", root)
        mark_last = [
            *(entry for layout in LAYOUTS.values() for entry in layout.root_entries),
            "truth",
            UNFINISHED,
            MARK,
        ]
        for name in mark_last:
            _remove(root / name)
    write_atomic(mark, expected.encode())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _code_hash() -> str:
    """Hash of the modules that decide what a pixel looks like."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.name not in _NOT_PIXELS:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
