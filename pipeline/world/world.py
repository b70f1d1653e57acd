"""Make a world: real video files in a data set's official layout, and the truth about them."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from grace.pipeline.errors import UserError
from grace.pipeline.store import folder_lock, write_atomic
from grace.pipeline.world.footage import write_frames, write_video
from grace.pipeline.world.layouts import LAYOUTS
from grace.pipeline.world.render import frame_times, measure, render, truth_of
from grace.pipeline.world.sampling import Part, plan, script_of
from grace.pipeline.world.settings import WorldSettings
from grace.pipeline.world.truth import clip_row, frame_rows, write_truth

MARK = "world.json"
UNFINISHED = "unfinished"

_NOT_PIXELS = ("sentences.py", "sheet.py", "truth.py")  # modules that no pixel depends on

Made = tuple[bool, dict[str, Any], list[dict[str, Any]]]
"""Whether the clip was rendered now, its row and its frames' rows of the truth."""


@dataclass
class Counts:
    """What :func:`make_world` did."""

    rendered: int = 0
    skipped: int = 0
    frames: int = 0
    seconds: float = 0.0


def make_world(settings: WorldSettings, root: Path, workers: int) -> None:
    """Render every clip of the world into ``root``, then its lists and its truth; ``workers`` local processes.

    Clips whose file exists are kept, so an interrupted run goes on; the bytes depend on the settings only. A world of
    other settings, or drawn by other code, is removed and made anew. Raises :class:`UserError` when ``root`` holds
    something that is no world.
    """
    parts = plan(settings)
    counts, start = Counts(), time.perf_counter()
    with folder_lock(root):
        _claim(settings, root)
        unfinished = root / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            with tqdm(total=len(parts), desc="world", unit="clip") as bar:
                write_truth(root, _counted(_make_all(settings, root, parts, workers), counts, bar), unfinished)
            LAYOUTS[settings.layout].write_lists(root, parts)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    counts.seconds = time.perf_counter() - start
    _report(counts, root)


def make_clip(settings: WorldSettings, root: Path, part: Part) -> Made:
    """Render one clip unless its file exists; either way tell the truth about it."""
    layout = LAYOUTS[settings.layout]
    script, identity = script_of(settings, part)
    row, path = clip_row(script, part.fold), root / layout.path(part.clip_id)
    if path.exists():
        truth = measure(script, identity, settings, frame_times(script, settings))
        return False, row, frame_rows(part.clip_id, truth)
    frames = list(render(script, identity, settings))
    images = [frame.image for frame in frames]
    if layout.close:
        write_frames(path, images, root / UNFINISHED)
    else:
        write_video(path, images, settings.fps, root / UNFINISHED)
    return True, row, frame_rows(part.clip_id, truth_of(frames))


def _make_all(settings: WorldSettings, root: Path, parts: list[Part], workers: int) -> Iterator[Made]:
    """Every clip in order, in this process (``workers`` 0) or in local ones."""
    if workers == 0 or len(parts) < 2:
        for part in parts:
            yield make_clip(settings, root, part)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        # A bounded queue: results wait for their turn, and a large world must not wait in memory.
        ahead, waiting = [], iter(parts)
        for part in waiting:
            ahead.append(pool.submit(make_clip, settings, root, part))
            if len(ahead) >= 4 * workers:
                yield ahead.pop(0).result()
        for future in ahead:
            yield future.result()


def _one_thread() -> None:
    import cv2

    from grace.pipeline.execution.processes import exit_with_parent

    cv2.setNumThreads(1)
    exit_with_parent()


def _counted(made: Iterator[Made], counts: Counts, bar: tqdm[Any]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    for now, row, frames in made:
        counts.rendered += now
        counts.skipped += not now
        counts.frames += len(frames) if now else 0
        bar.update()
        yield row, frames


def _claim(settings: WorldSettings, root: Path) -> None:
    """Make ``root`` the place of the world of these settings, removing that of others."""
    mark = root / MARK
    wanted = json.dumps({"world": settings.model_dump(mode="json"), "drawn_by": _code()}, indent=2) + "\n"
    if not mark.exists():
        if any(entry.name != UNFINISHED for entry in root.iterdir()):
            raise UserError(f"{root} holds files but no {MARK}: it is not a rendered world. Name an empty folder.")
    elif mark.read_text(encoding="utf-8") != wanted:
        print(f"{root} holds a world of other settings or older drawing code; it is removed and made anew.")
        mark_last = [*(top for layout in LAYOUTS.values() for top in layout.tops), "truth", UNFINISHED, MARK]
        for name in mark_last:
            _remove(root / name)
    write_atomic(mark, wanted.encode())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _code() -> str:
    """Hash of the modules that decide what a pixel looks like."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.name not in _NOT_PIXELS:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _report(counts: Counts, root: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"world in {root}")
    for name in ("rendered", "skipped", "frames", "seconds", "frames a second"):
        table.add_column(name, justify="right")
    pace = counts.frames / counts.seconds if counts.seconds else 0.0
    row = (counts.rendered, counts.skipped, counts.frames, f"{counts.seconds:.1f}", f"{pace:.0f}")
    table.add_row(*(str(cell) for cell in row))
    Console(highlight=False).print(table)
