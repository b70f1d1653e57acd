"""The pages of a chosen sample as plain files, to put on any web space or to send: nothing in them needs a server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tqdm import tqdm

from grace.pipeline.audit.report import PLOTS
from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.store import write_atomic
from grace.review import alignment, pictures, views
from grace.review.catalogue import Catalogue
from grace.review.links import FileLinks
from grace.review.pages import AUDIT_PLOTS, audit_page, runs_page
from grace.review.query import Filter, select
from grace.review.rendering import render
from grace.review.runs import Predictions
from grace.review.state import Review
from grace.review.video import playable_file

STATIC = Path(__file__).parent / "static"
SHIPPED = ("style.css", "icon.svg", "timeline.js", "clip.js")
MARK = "grace-review.txt"
"""Marks a folder as an export: only such a one, or an empty one, is written into."""


def export(review: Review, folder: Path, where: str = "", sample: int = 48) -> int:
    """Write the gallery, the clips, the runs and the audit of a sample.

    Args:
        review: The data set.
        folder: Where to; made if it is not there.
        where: A filter, as the query of a gallery's address.
        sample: How many of the clips that it finds, spread evenly over them.

    Returns:
        How many clips were written.

    Raises:
        UserError: The filter finds nothing, or the folder holds other files.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).exists())):
        raise UserError(f"{folder} holds other files: name an empty folder or a new one.")
    asked = Filter.read({name: values[-1] for name, values in parse_qs(where.lstrip("?")).items()})
    catalogue = review.live.get()
    first, second = review.pair(catalogue, asked)
    found = select(catalogue, asked, first, second, review.people(catalogue)).tolist()
    if not found:
        raise UserError(f"No clip of {review.dataset} is like '{where}'.")
    count = min(sample, len(found))
    chosen = [found[number * len(found) // count] for number in range(count)]
    files = {catalogue.clip_id(clip): f"{place:05d}" for place, clip in enumerate(chosen, 1)}
    write_atomic(folder / MARK, f"Clips of {review.dataset}, written by grace review --export.\n".encode())
    for name in SHIPPED:
        write_atomic(folder / "static" / name, (STATIC / name).read_bytes())
    videos: dict[str, str] = {}
    for clip in tqdm(chosen, desc="export", unit="clip"):
        videos |= _media(review, catalogue, clip, folder / "media", files)
    exported: dict[str, Any] = {"exported": ("gallery", "runs", "audit")}
    for clip in chosen:
        _clip(review, catalogue, clip, asked, first, folder, FileLinks("../", files, videos), exported)
    links = FileLinks("", files, videos)
    content = views.gallery(review, asked, links) | {
        "clips": [views.card(catalogue, clip, first, second, review.people(catalogue)) for clip in chosen],
        "pages": 1,
        "found": count,
        "chips": [],
    }
    _write(folder / "index.html", render("gallery", review.dataset, links, **content, **exported))
    runs = runs_page(review, asked.run, asked.versus)
    _write(folder / "runs.html", render("runs", review.dataset, links, **runs, **exported))
    _write(folder / "audit.html", render("audit", review.dataset, links, **audit_page(review), **exported))
    for name in AUDIT_PLOTS:
        plot = review.folder / "audit" / PLOTS / f"{name}.png"
        if plot.is_file():
            write_atomic(folder / "media" / f"audit-{name}.png", plot.read_bytes())
    return count


def _media(review: Review, catalogue: Catalogue, clip: int, folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Write the pictures and the video of a clip; returns the suffix of its video where it has one."""
    clip_id = catalogue.clip_id(clip)
    for kind, content in (("strip", pictures.filmstrip(catalogue, clip)), ("crops", pictures.crops(catalogue, clip))):
        if content is not None:
            write_atomic(folder / f"{files[clip_id]}-{kind}.jpg", content)
    try:
        path, _ = playable_file(catalogue, clip, review.root)
    except (UserError, ClipError):
        return {}
    shutil.copyfile(path, folder / f"{files[clip_id]}-video{path.suffix.lower()}")
    return {clip_id: path.suffix.lower()}


def _clip(
    review: Review,
    catalogue: Catalogue,
    clip: int,
    asked: Filter,
    first: Predictions | None,
    folder: Path,
    links: FileLinks,
    exported: dict[str, Any],
) -> None:
    clip_id = catalogue.clip_id(clip)
    content: dict[str, Any] = views.clip(review, clip_id, asked)
    names = list(links.files)
    place = names.index(clip_id)
    content |= {
        "around": {
            "place": place + 1,
            "of": len(names),
            "before": names[place - 1] if place else "",
            "after": names[place + 1] if place + 1 < len(names) else "",
        },
        "has_video": clip_id in links.videos,
        "look": None,
    }
    if first is not None and content["data"]["times"]:
        try:
            look = alignment.look(catalogue, clip, first.run, int(first.fold[clip]), review.tokens)
            content["look"] = look | {"tested": bool(first.tested[clip])}
        except UserError:
            pass  # without tokens there is nothing to look at
    page = render("clip", review.dataset, links, here="gallery", **content, **exported)
    _write(folder / "clips" / f"{links.files[clip_id]}.html", page)


def _write(path: Path, page: str) -> None:
    write_atomic(path, page.encode("utf-8", "replace"))
