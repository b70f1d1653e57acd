"""The index: every clip that a data set's lists name, its frames counted, and one table of what does not fit.

Nothing is left out in silence: a clip that cannot be used has a row with the cause.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from pipeline.datasets import LABEL_ID, Listing, classes, read
from pipeline.datasets.base import FOLDS, VIDEO_SUFFIXES
from pipeline.errors import ClipError, GraceError
from pipeline.store import Row, failure, write_clips
from pipeline.video import images, probe

TRUNCATED = 0.9
"""A video that yields less than this share of the frames its header promises ends early."""


@dataclass
class Reconciliation:
    """The data set's lists against its files, in numbers of clips."""

    annotated: int = 0
    usable: int = 0
    missing: int = 0
    unreadable: int = 0
    no_frames: int = 0
    ends_early: int = 0
    contradictory: int = 0  # a path outside the root, two files or two labels for one id
    unknown_label: int = 0
    repeated: int = 0
    leaked: int = 0
    unlisted: int = 0
    differences: Counter[int] = field(default_factory=Counter)  # frames counted less frames annotated, to clips
    examples: dict[str, str] = field(default_factory=dict)  # finding to one clip that shows it

    def rows(self) -> list[tuple[str, int, str]]:
        """What, how many, and one example, in the order of the table."""
        names = {
            "clips annotated": self.annotated,
            "usable": self.usable,
            "missing": self.missing,
            "unreadable": self.unreadable,
            "zero frames": self.no_frames,
            "ends early": self.ends_early,
            "frame count differs from the annotation": sum(self.differences.values()),
            "listed twice": self.repeated,
            "in train and test of one fold (kept in test)": self.leaked,
            "label unknown": self.unknown_label,
            "contradictory or outside the root": self.contradictory,
            "files that no list names": self.unlisted,
        }
        return [(name, count, self.examples.get(name, "")) for name, count in names.items()]

    def note(self, name: str, example: str) -> None:
        """Keep the first example of a finding."""
        self.examples.setdefault(name, example)

    def table(self, dataset: str) -> Table:
        """The reconciliation as a table for people."""
        table = Table(title=Text(f"index {dataset}", "bold"), title_justify="left", show_header=False)
        table.add_column(overflow="fold")
        table.add_column(justify="right")
        table.add_column(overflow="fold", style="dim")
        for name, count, example in self.rows():
            table.add_row(Text(name), Text(str(count)), Text(example))
        if self.differences:
            spread = ", ".join(f"{off:+d}: {count}" for off, count in self.differences.most_common(6))
            table.add_row(Text("  frames counted less annotated: clips"), Text(""), Text(spread))
        return table


def index(dataset: str, root: Path, folder: Path, *, workers: int = 2) -> Reconciliation:
    """Write ``<folder>/clips.parquet`` for a data set whose raw files lie under ``root``, and print the reconciliation.

    Videos are counted by decoding them, in ``workers`` threads (OpenCV decodes outside Python's lock).
    Raises :class:`UserError` when the root is not that data set, :class:`GraceError` when no clip at all is usable.
    """
    listings = read(dataset, root)
    found = Reconciliation(annotated=len(listings))
    rows = []
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        counted = pool.map(lambda listing: _row(root, listing), listings)
        for listing, row in zip(listings, tqdm(counted, total=len(listings), desc="index", unit="clip"), strict=True):
            rows.append(row)
            _count(found, listing, row)
    unlisted = _unlisted(root, listings)
    found.unlisted = len(unlisted)
    if unlisted:
        found.note("files that no list names", unlisted[0])
    write_clips(folder, rows, classes(dataset, root, listings))
    Console(highlight=False).print(found.table(dataset))
    if not found.usable:
        raise GraceError(
            f"None of the {found.annotated} clips that the lists of {dataset} name can be used "
            f"({rows[0]['error'].removeprefix('index: ')}): does roots.{dataset} = {root} hold the clips?"
        )
    return found


def _row(root: Path, listing: Listing) -> Row:
    """The row of one clip: what the lists say, and what its file holds."""
    said: Row = {
        "clip_id": listing.clip_id,
        "status": "ok",
        "error": "",
        "path": listing.path,
        "source": listing.source,
        "n_frames": 0,
        "fps": 0.0,
        "width": 0,
        "height": 0,
        "label": listing.label if listing.label in LABEL_ID else "",
        "label_id": LABEL_ID.get(listing.label, -1),
        **{f"fold_{fold}": listing.folds.get(fold, "") for fold in FOLDS},
        "subject": listing.subject,
        "annotated_frames": listing.annotated_frames,
        "caption_human": listing.caption_human,
    }
    if listing.problem:
        return {**said, **failure(listing.clip_id, f"index: {listing.problem}")}
    try:
        held = probe(root / listing.path, listing.source)
    except ClipError as error:
        return {**said, **failure(listing.clip_id, f"index: {listing.path}: {error}")}
    except MemoryError:
        raise
    except Exception as error:  # a decoder's complaint about this one file
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return {**said, **failure(listing.clip_id, f"index: {listing.path}: {cause}")}
    said |= {"n_frames": held.n_frames, "fps": held.fps, "width": held.width, "height": held.height}
    if held.n_frames < TRUNCATED * held.declared - 1:
        promise = f"the video ends early: {held.n_frames} of {held.declared} frames could be decoded"
        said |= {"status": "fallback", "error": f"index: {listing.path}: {promise}"}
    return said


def _count(found: Reconciliation, listing: Listing, row: Row) -> None:
    """Add one clip to the reconciliation."""
    if listing.repeated:
        found.repeated += 1
        found.note("listed twice", listing.clip_id)
    if listing.leaked:
        found.leaked += 1
        found.note("in train and test of one fold (kept in test)", f"{listing.clip_id}, fold {listing.leaked[0]}")
    if row["status"] != "failed":
        found.usable += 1
        off = row["n_frames"] - listing.annotated_frames
        if listing.annotated_frames >= 0 and off:
            found.differences[off] += 1
            found.note("frame count differs from the annotation", f"{listing.clip_id}: {off:+d}")
        if row["status"] == "fallback":
            found.ends_early += 1
            found.note("ends early", row["error"].removeprefix("index: "))
        return
    error = row["error"].removeprefix("index: ")
    if row["label_id"] < 0:
        found.unknown_label += 1
        found.note("label unknown", f"{listing.clip_id}: {listing.label}")
    elif listing.problem:
        found.contradictory += 1
        found.note("contradictory or outside the root", f"{listing.clip_id}: {error}")
    elif error.endswith("is missing"):
        found.missing += 1
        found.note("missing", listing.path)
    elif "no frame" in error or "no images" in error or "zero bytes" in error:
        found.no_frames += 1
        found.note("zero frames", error)
    else:
        found.unreadable += 1
        found.note("unreadable", error)


def _unlisted(root: Path, listings: list[Listing]) -> list[str]:
    """Videos and folders of frames that lie beside listed ones and that no list names, relative to the root."""
    listed = {listing.path for listing in listings}
    beside: dict[str, set[str]] = {}
    for listing in listings:
        if listing.path:
            beside.setdefault(listing.path.rpartition("/")[0], set()).add(listing.source)
    unlisted = []
    for folder, sources in sorted(beside.items()):
        try:
            with os.scandir(root / folder) as scan:
                items = sorted(scan, key=lambda item: item.name)
        except OSError:
            continue  # its clips are missing, and counted so
        for item in items:
            path = f"{folder}/{item.name}" if folder else item.name
            if path in listed:
                continue
            video = "video" in sources and Path(item.name).suffix.lower() in VIDEO_SUFFIXES
            if video or ("frames" in sources and item.is_dir() and _holds_images(Path(item.path))):
                unlisted.append(path)
    return unlisted


def _holds_images(folder: Path) -> bool:
    try:
        return bool(images(folder))
    except ClipError:
        return False
