"""Runs: the scores of `grace evaluate`, two runs clip by clip, and clips that several folds test."""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from grace.pipeline.store import Clips, write_clips
from grace.review.pages import runs_page
from grace.review.query import Filter, select
from grace.review.runs import compare
from grace.review.state import Review
from grace.trainer.evaluate import fold_scores
from grace.trainer.provenance import people_of
from grace.trainer.runs import class_indices, open_run
from grace.trainer.settings import EvaluateSettings
from tests.support.review_runs import add_run
from tests.support.review_server import ReviewServer

CELLS = {(True, True): "both-right", (True, False): "only-first", (False, True): "only-second",
         (False, False): "both-wrong"}  # fmt: skip


def right(data: Path, name: str) -> dict[str, bool]:
    rows = open_run(data / "runs" / name / "fold-1").predictions
    return {row["clip_id"]: row["predicted"] == row["label"] for row in rows}


@pytest.mark.parametrize("nameless", [0, 3, 1])  # no clip, every third, every one
def test_scores_and_intervals_are_those_of_evaluate(data: Path, tmp_path: Path, nameless: int) -> None:
    table = Clips(data)
    rows = [
        {**row, "subject": "" if nameless and at % nameless == 0 else f"p{at // 4}"}
        for at, row in enumerate(table.rows)
    ]
    write_clips(data, rows, table.labels)
    add_run(data, "two", fold=1, clips=slice(0, 40))
    add_run(data, "two", fold=2, clips=slice(40, None), seed=3)
    predictions = {fold: open_run(data / f"runs/two/fold-{fold}").predictions for fold in (1, 2)}
    classes = {fold: class_indices(rows, table.labels) for fold, rows in predictions.items()}
    known = people_of(data, [row["clip_id"] for rows in predictions.values() for row in rows])
    expected = fold_scores(classes, table.labels, 300, 0.9, known)
    review = Review("many", data, None, tmp_path / "o", scoring=EvaluateSettings(bootstrap=300, confidence=0.9))
    found = dict(review.predictions(review.live.get(), "two", review.runs()).scores)  # type: ignore[union-attr]
    assert np.sum(found.pop("confusion")) == 70
    assert found == expected
    assert found["interval"]["over"] == ("clips" if nameless == 1 else "people")
    assert runs_page(review, "two", "")["sides"][0]["confidence"] == 0.9


def test_two_runs_are_compared_clip_by_clip(two_runs: Path, review: Review, server: ReviewServer) -> None:
    first, second = right(two_runs, "grace"), right(two_runs, "vision")
    expected = {cell: sorted(i for i in first if (first[i], second[i]) == key) for key, cell in CELLS.items()}
    catalogue = review.live.get()
    for cell, clips in expected.items():
        asked = Filter.read({"run": "grace", "versus": "vision", "outcome": cell})
        found = select(catalogue, asked, *review.pair(catalogue, asked), review.people(catalogue))
        assert [catalogue.clip_id(clip) for clip in found] == clips
        assert clips
    counted = compare(*review.pair(catalogue, Filter(run="grace", versus="vision")))  # type: ignore[arg-type]
    assert {cell: counted[cell] for cell in expected} == {cell: len(clips) for cell, clips in expected.items()}
    by_label = Counter(catalogue.label[catalogue.positions[clip]] for clip in expected["only-first"])
    assert {row["label"]: row["only-first"] for row in counted["labels"] if row["only-first"]} == by_label
    page = server.get("/runs?run=grace&versus=vision").text
    links = re.findall(r'href="(/\?[^"]*outcome=[^"]+)" class="num">(\d+)<', page)
    assert len(links) > 8
    for address, count in links[:6]:
        assert re.search(rf'<b class="num">{count}</b>', server.get(html.unescape(address)).text), address


def test_runs_of_other_classes_are_not_compared_and_the_page_says_so(data: Path, server: ReviewServer) -> None:
    add_run(data, "few", names=("happiness", "sadness"))
    page = server.get("/runs?run=grace&versus=few").text
    assert "The classes of the two runs differ" in page
    assert "both right" not in page


def test_folds_come_by_number_and_a_clip_of_two_folds_counts_once(data: Path, server: ReviewServer) -> None:
    for fold, clips in ((2, slice(0, 40)), (10, slice(30, 70))):
        add_run(data, "many", fold=fold, clips=clips, seed=fold)
    review = server.review
    runs, catalogue = review.runs(), review.live.get()
    assert list(runs["many"].folders) == [2, 10]
    predictions = review.predictions(catalogue, "many", runs)
    assert predictions is not None
    last = {row["clip_id"]: row["predicted"] for row in open_run(data / "runs/many/fold-10").predictions}
    assert all(predictions.labels[predictions.predicted[catalogue.positions[clip]]] == last[clip] for clip in last)
    assert predictions.repeated == 10
    assert "10 clips are tested by more than one fold" in server.get("/runs?run=many").text
    assert "tested by more than one fold" not in server.get("/runs?run=grace").text


def test_predictions_stand_beside_the_catalogue_that_they_were_read_for(data: Path, review: Review) -> None:
    before = review.live.get()
    kept = review.predictions(before, "grace", review.runs())
    assert review.predictions(before, "grace", review.runs()) is kept
    table = Clips(data)
    write_clips(data, list(table.rows)[1:], table.labels)
    review.live._looked = 0.0
    after = review.live.get()
    assert len(review.predictions(after, "grace", review.runs()).fold) == len(after) == 69  # type: ignore[union-attr]
    assert len(review.predictions(before, "grace", review.runs()).fold) == 70  # type: ignore[union-attr]
