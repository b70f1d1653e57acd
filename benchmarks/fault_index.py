"""Trials of what an index leaves beside its table, and of folders of pictures that were replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

from benchmarks.fault_bases import index_rows, succeed, write_raw
from benchmarks.fault_corruptions import DAMAGES, damaged
from benchmarks.fault_trial import Outcome, Trial, digests, grace, kept, result_of

Change = Callable[[Path], None]
DATA, PARTIAL = "data/mine", "data/mine/index.partial.jsonl"


def interrupted(folder: Path) -> None:
    """An index that was killed when it had counted everything and written nothing."""
    from grace.pipeline.store.journal import Journal

    shutil.rmtree(folder / DATA)
    with mock.patch.object(Journal, "remove", lambda self: None):
        succeed("index", "-d", "mine")
    for path in (folder / DATA).iterdir():
        if path != folder / PARTIAL:
            path.unlink()


def resumed(folder: Path, *words: str) -> Outcome:
    """The index goes on: its rows are those of one that was never stopped, and no journal stays."""
    ran = grace("index", "-d", "mine", *words)
    right = kept(folder, "content")
    return result_of(ran, lambda: index_rows(folder, ()) == right and not (folder / PARTIAL).exists(), "other rows")


def resumed_after(change: Change, folder: Path) -> Outcome:
    """The index goes on after a change of the clips: its rows are those of an index from the beginning."""
    interrupted(folder)
    change(folder)
    ran = grace("index", "-d", "mine")
    rows = index_rows(folder, ())
    shutil.rmtree(folder / DATA)
    again = grace("index", "-d", "mine")
    return again.failure or result_of(ran, lambda: rows == index_rows(folder, ()), "what was counted before is kept")


def rewritten(folder: Path) -> Outcome:
    """The index once more: ``reconciliation.csv`` is as it was, whatever was there."""
    ran = grace("index", "-d", "mine")
    return result_of(ran, lambda: digests(folder / DATA) == kept(folder, "files"), "other findings")


def _replaced(folder: Path) -> None:
    write_raw(folder / "other", 1, clips=4)
    shutil.copy(folder / "other/clips/01.mp4", folder / "raw/clips")


def _swapped(folder: Path) -> None:
    clips = folder / "raw/clips"
    for here, there in (("01", "x"), ("02", "01"), ("x", "02")):
        (clips / f"{here}.mp4").rename(clips / f"{there}.mp4")


def _edited(folder: Path) -> None:
    path = folder / PARTIAL
    path.write_text(path.read_text().replace('"n_frames": 8', '"n_frames": 7'))


def _of_other_root(folder: Path) -> None:
    """The journal of a folder whose clips are others of the same names."""
    journal = (folder / PARTIAL).read_text()
    shutil.rmtree(folder / "raw")
    write_raw(folder / "raw", 1, clips=4)
    (folder / PARTIAL).write_text(journal)


def _twice(folder: Path) -> None:
    path = folder / PARTIAL
    path.write_bytes(path.read_bytes() * 2)


CHANGES: dict[str, Change] = {
    "untouched": lambda folder: None,
    "a video replaced": _replaced,
    "two videos swapped": _swapped,
    "a count edited": _edited,
    "of other videos": _of_other_root,
    "every line twice": _twice,
}


def pictures_replaced(suffix: str, folder: Path) -> Outcome:
    """A folder of frames whose pictures are replaced by others of the same names and sizes."""
    _write_frames(folder / "raw", suffix, 0)
    rows = json.loads((folder / "params.yaml").read_text())
    rows["roots"] = {"frames": "raw/frames"}
    (folder / "params.yaml").write_text(json.dumps(rows))
    succeed("index", "-d", "frames")
    before = index_rows(folder, (), "frames")
    _write_frames(folder / "raw", suffix, 1)
    ran = grace("index", "-d", "frames")
    now = index_rows(folder, (), "frames")
    right = all(now[clip]["content"] != before[clip]["content"] for clip in before)
    return result_of(ran, lambda: right, "the digest is that of the old pictures")


def _write_frames(root: Path, suffix: str, seed: int) -> None:
    import cv2
    import numpy as np

    random = np.random.default_rng(seed)
    (root / "frames/a").mkdir(parents=True, exist_ok=True)
    uncompressed = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix == "tiff" else []  # so that all have one size
    for number in range(3):
        picture = random.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f"frames/a/{number}.{suffix}"), picture, uncompressed)


def damages(seed: int) -> list[Trial]:
    """Both files damaged."""
    found = []
    for name, damage in DAMAGES.items():
        left = partial(_after_kill, damage, seed)
        found.append(Trial("corruptions", f"{PARTIAL}: {name}, resumed", left, ("held",), "clips"))
        table = partial(damaged, f"{DATA}/reconciliation.csv", damage, seed, rewritten)
        found.append(Trial("corruptions", f"{DATA}/reconciliation.csv: {name}, rewritten", table, ("held",), "clips"))
    return found


def _after_kill(damage: Callable[..., None], seed: int, folder: Path) -> Outcome:
    interrupted(folder)
    return damaged(PARTIAL, damage, seed, resumed, folder)


def trials(seed: int) -> list[Trial]:
    """Journals, tables of findings, pictures."""
    found = [
        Trial("stale", f"a killed index, {name}", partial(resumed_after, change), ("held",), "clips")
        for name, change in CHANGES.items()
    ]
    found += [
        Trial("stale", f"frames replaced, {suffix}", partial(pictures_replaced, suffix), ("held",), "clips")
        for suffix in ("bmp", "tiff")
    ]
    return found + damages(seed)
