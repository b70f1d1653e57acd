"""The pages of a chosen sample as plain files, to put on any web space or to send: nothing in them needs a server."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tqdm import tqdm

from grace.pipeline.audit.report import PLOTS
from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.store import write_atomic
from grace.pipeline.store.claimed import claim_folder
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
SHIPPED = ("style.css", "icon.svg", "timeline.js", "clip.js", "exported.js")
MARK = "grace-review.txt"
"""Marks a folder as an export: only such a one of the same data set, or an empty one, is written into."""
MADE = {
    "clips": re.compile(r"\d{5,}\.html"),
    "media": re.compile(rf"\d{{5,}}-(strip|crops)\.jpg|\d{{5,}}-video\.\w+|audit-({'|'.join(AUDIT_PLOTS)})\.png"),
}
"""The files of clips that an export writes, by folder; other files there are not an export's to remove."""
PAGES: dict[str, Any] = {"exported": ("gallery", "runs", "audit")}


@dataclass(frozen=True)
class _Export:
    """What every page of an export is made from."""

    review: Review
    folder: Path
    catalogue: Catalogue
    asked: Filter
    first: Predictions | None
    second: Predictions | None
    links: FileLinks


def export(review: Review, folder: Path, where: str = "", sample: int = 48) -> int:
    """Write the gallery, the clips, the runs and the audit of a sample. The clips of an earlier export are removed.

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
    asked = Filter.read({name: values[-1] for name, values in parse_qs(where.lstrip("?")).items()})
    catalogue = review.live.get()
    first, second = review.pair(catalogue, asked)
    found = select(catalogue, asked, first, second, review.people(catalogue)).tolist()
    if not found:
        raise UserError(f"No clip of {review.dataset} is like '{where}'.")
    count = min(sample, len(found))
    chosen = [found[number * len(found) // count] for number in range(count)]
    files = {catalogue.clip_id(clip): f"{place:05d}" for place, clip in enumerate(chosen, 1)}
    claim_folder(folder, MARK, f"Clips of {review.dataset}, written by grace review --export.\n")
    _remove_earlier(folder)
    for name in SHIPPED:
        write_atomic(folder / "static" / name, (STATIC / name).read_bytes())
    videos: dict[str, str] = {}
    for clip in tqdm(chosen, desc="export", unit="clip"):
        videos |= _media(review, catalogue, clip, folder / "media", files)

    def chosen_like(wanted: Filter) -> list[str]:
        pair = review.pair(catalogue, wanted)
        alike = set(select(catalogue, wanted, *pair, review.people(catalogue)).tolist())
        return [catalogue.clip_id(clip) for clip in chosen if clip in alike]

    links = FileLinks("", files, videos, chosen_like)
    made = _Export(review, folder, catalogue, asked, first, second, links)
    for clip in chosen:
        _clip(made, clip)
    _overview(made, chosen)
    return count


def _remove_earlier(folder: Path) -> None:
    """Remove the pages and pictures of the clips of an earlier export, whose people this one may not show."""
    for name, made in MADE.items():
        for path in (folder / name).glob("*"):
            if made.fullmatch(path.name):
                path.unlink()


def _media(review: Review, catalogue: Catalogue, clip: int, folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Write the pictures and the video of a clip; returns the suffix of its video where it has one."""
    clip_id = catalogue.clip_id(clip)
    folder.mkdir(parents=True, exist_ok=True)
    for kind, content in (("strip", pictures.filmstrip(catalogue, clip)), ("crops", pictures.crops(catalogue, clip))):
        if content is not None:
            write_atomic(folder / f"{files[clip_id]}-{kind}.jpg", content)
    try:
        path, _ = playable_file(catalogue, clip, review.root)
    except (UserError, ClipError):
        return {}
    shutil.copyfile(path, folder / f"{files[clip_id]}-video{path.suffix.lower()}")
    return {clip_id: path.suffix.lower()}


def _clip(made: _Export, clip: int) -> None:
    review, first, links = made.review, made.first, replace(made.links, up="../")
    clip_id = made.catalogue.clip_id(clip)
    content: dict[str, Any] = views.clip(review, clip_id, made.asked)
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
        "near": {"clips": views.neighbours(review, clip_id, links, links.files)},
    }
    if first is not None and content["data"]["times"]:
        try:
            look = alignment.look(made.catalogue, clip, first.run, int(first.fold[clip]), review.tokens)
            content["look"] = look | {"tested": bool(first.tested[clip])}
        except UserError:
            pass  # without tokens there is nothing to look at
    page = render("clip", review.dataset, links, here="gallery", **content, **PAGES)
    _write(made.folder / "clips" / f"{links.files[clip_id]}.html", page)


def _overview(made: _Export, chosen: list[int]) -> None:
    """The gallery, the runs and the audit: their counts are those of the data set, and lead to the exported clips."""
    review, catalogue, links, folder = made.review, made.catalogue, made.links, made.folder
    people = review.people(catalogue)
    content = views.gallery(review, made.asked, links) | {
        "clips": [views.card(catalogue, clip, made.first, made.second, people) for clip in chosen],
        "pages": 1,
        "found": len(chosen),
        "chips": [],
    }
    _write(folder / "index.html", render("gallery", review.dataset, links, **content, **PAGES))
    runs = runs_page(review, made.asked.run, made.asked.versus)
    _write(folder / "runs.html", render("runs", review.dataset, links, **runs, **PAGES))
    _write(folder / "audit.html", render("audit", review.dataset, links, **audit_page(review), **PAGES))
    for name in AUDIT_PLOTS:
        plot = review.folder / "audit" / PLOTS / f"{name}.png"
        if plot.is_file():
            write_atomic(folder / "media" / f"audit-{name}.png", plot.read_bytes())


def _write(path: Path, page: str) -> None:
    write_atomic(path, page.encode("utf-8", "replace"))
