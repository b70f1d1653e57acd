"""An export: plain files of a chosen sample, whose counts lead to its clips, and which hold nobody else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grace.pipeline.errors import UserError
from grace.review.export import export
from grace.review.query import Filter, select
from grace.review.state import Review
from tests.support.videos import write_video


def test_an_export_needs_no_server(review: Review, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert export(review, folder, "label=fear", 3) == 3
    pages = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    clips = [f"clips/0000{number}.html" for number in (1, 2, 3)]
    assert pages == ["audit.html", *clips, "index.html", "runs.html"]
    for page in folder.rglob("*.html"):
        text = page.read_text()
        for link in re.findall(r'(?:href|src|data-crops)="([^"#]+)"', text):
            assert not link.startswith(("/", "http")), link
            assert (page.parent / link).exists(), f"{page.name}: {link}"
        assert "form-token" not in text
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="holds other files"):
        export(review, tmp_path / "mine")
    with pytest.raises(UserError, match="No clip"):
        export(review, folder, "label=fear&q=unheard-of")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_smaller_export_leaves_nothing_of_the_larger_one(review: Review, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (tmp_path / "raw" / "000").mkdir()
    write_video(tmp_path / "raw" / "000" / "000003.mp4", 12)
    assert export(review, folder, sample=70) == 70
    assert any(name.endswith(("-video.mp4", "-video.webm")) for name in files(folder))
    for mine in ("clips/notes.html", "media/thesis.png", "CNAME"):
        (folder / mine).write_text("mine")
    export(review, folder, "q=000/000001", 2)
    made = {name for name in files(folder) if name.startswith(("clips/", "media/"))}
    assert made == {
        "clips/00001.html", "media/00001-strip.jpg", "media/00001-crops.jpg", "clips/notes.html", "media/thesis.png",
    }  # fmt: skip
    assert (folder / "CNAME").is_file()


def test_clips_that_failed_can_be_exported(review: Review, tmp_path: Path) -> None:
    (tmp_path / "raw" / "000").mkdir()
    write_video(tmp_path / "raw" / "000" / "000000.mp4", 12)
    assert export(review, tmp_path / "out", "status=failed") == 1
    page = (tmp_path / "out" / "clips" / "00001.html").read_text()
    assert (tmp_path / "out" / "clips" / re.findall(r'<video[^>]* src="([^"]+)"', page)[0]).resolve().is_file()


def test_counts_of_an_export_lead_to_its_clips_and_neighbours_are_among_them(
    two_runs: Path, review: Review, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    export(review, folder, "run=grace&versus=vision", 12)
    shown = {name.removesuffix(".html")[6:] for name in files(folder) if name.startswith("clips/")}
    catalogue = review.live.get()
    asked = Filter(run="grace", versus="vision", outcome="both-right")
    both_right = {catalogue.clip_id(clip) for clip in select(catalogue, asked, *review.pair(catalogue, asked))}
    ids = {name: re.findall(r"<h1>(.*)</h1>", (folder / f"clips/{name}.html").read_text())[0] for name in shown}
    runs = (folder / "runs.html").read_text()
    link = re.search(r'<b>all</b></th><td><a href="index.html#([\d,]+)"', runs)
    assert link and {ids[name] for name in link[1].split(",")} == both_right & set(ids.values())
    for page in ("runs.html", "audit.html"):
        links = re.findall(r'href="index.html#([^"]*)"', (folder / page).read_text())
        assert len(links) > 5
        assert all(set(names.split(",")) <= shown for names in links)
    near = re.findall(r'"href": "\.\./clips/(\d+)\.html"', (folder / "clips/00002.html").read_text())
    assert len(near) == 6 and set(near) <= shown - {"00002"}
