"""Blind ratings: the same sample for all, the last word counts, and agreement as the textbooks compute it."""

from __future__ import annotations

from pathlib import Path

import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.store import Clips, write_clips
from grace.review.agreement import Rating, Ratings, agreement, krippendorff_alpha, sample
from grace.review.pages import agreement_page, rate_page
from grace.review.state import Review
from tests.support.review_server import ReviewServer


def test_alpha_is_that_of_krippendorffs_example() -> None:
    """Krippendorff (2011), "Computing Krippendorff's alpha-reliability": ordinal alpha of its example C is 0.815."""
    missing = None
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, missing, missing, missing],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, missing, 3],
        [missing, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, missing],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, missing],
    ]
    zero_based = [[None if value is None else value - 1 for value in row] for row in table]
    assert krippendorff_alpha(zero_based, 5) == pytest.approx(0.815, abs=5e-4)


def test_kappa_of_two_raters() -> None:
    values = [(2, 2)] * 20 + [(2, 0)] * 5 + [(0, 2)] * 10 + [(0, 0)] * 15
    ratings, texts = [], {}
    for number, pair in enumerate(values):
        texts[str(number), "caption"] = "d"
        ratings += [Rating(name, str(number), "caption", "d", value) for name, value in zip("ab", pair, strict=True)]
    found = agreement(ratings, texts)["caption"]
    assert found["pairs"][0]["kappa"] == pytest.approx(0.4)  # the textbook's 2 × 2 table
    assert (found["pairs"][0]["same"], found["texts"]) == (0.7, 50)


def test_ratings_of_another_text_do_not_count() -> None:
    ratings = [Rating(name, "x", "caption", "old", 2) for name in "ab"]
    assert agreement(ratings, {("x", "caption"): "new"}) == {}


def test_the_last_rating_counts_and_a_nameless_one_is_refused(tmp_path: Path) -> None:
    ratings = Ratings(tmp_path, "many")
    ratings.add(" ann ", "x", "caption", "text", "true")
    ratings.add("ann", "x", "caption", "text", "false")
    assert [each.value for each in ratings.all()] == [0]
    for rater, value in ((" ", "true"), ("ann", "perhaps")):
        with pytest.raises(UserError):
            ratings.add(rater, "x", "caption", "text", value)


def test_all_rate_the_same_sample_blind(review: Review, server: ReviewServer) -> None:
    catalogue = review.live.get()
    assert sample(catalogue, "caption") == sample(catalogue, "caption")
    for rater in ("ann", "ben"):
        for _ in range(3):
            shown = rate_page(review, "caption", rater)
            assert not {"label", "predictions", "card"} & shown.keys()
            sent = {"id": shown["clip"], "kind": "caption", "rater": rater, "value": "true"}
            assert server.post("/api/rate", sent).status == 200
    assert rate_page(review, "caption", "ann")["done"] == 3
    found = agreement_page(review)["found"]["caption"]
    assert (found["texts"], found["pairs"][0]["same"]) == (3, 1.0)
    assert catalogue.label[catalogue.positions[shown["clip"]]] not in server.get("/rate?rater=ann&kind=caption").text


def test_a_clip_that_is_gone_changes_no_other_clip_of_the_sample(review: Review, data: Path) -> None:
    before = review.live.get()
    first = [before.clip_id(clip) for clip in sample(before, "caption")]
    table = Clips(data)
    write_clips(data, [row for row in table.rows if row["clip_id"] != first[3]], table.labels)
    review.live._looked = 0.0
    after = review.live.get()
    second = [after.clip_id(clip) for clip in sample(after, "caption")]
    assert second[:49] == [clip for clip in first if clip != first[3]]
    assert first != sorted(first)
    assert sample(before, "caption", seed=1) != sample(before, "caption")


def test_a_blank_after_a_name_is_the_same_rater(review: Review, server: ReviewServer) -> None:
    clip = rate_page(review, "caption", "ann ")["clip"]
    sent = {"id": clip, "kind": "caption", "rater": "ann ", "value": "true"}
    assert server.post("/api/rate", sent).status == 200
    shown = rate_page(review, "caption", "ann ")
    assert (shown["done"], shown["rater"]) == (1, "ann")
    assert shown["clip"] != clip


def test_a_name_that_cannot_be_written_is_a_sentence(review: Review, server: ReviewServer) -> None:
    clip = rate_page(review, "caption", "ann")["clip"]
    said = review.corrections.get(clip)
    rating = {"id": clip, "kind": "caption", "rater": "a\ud800", "value": "true"}
    change = {"id": clip, "version": said.version, "by": "a\ud800", "changes": {"description": "The jaw drops."}}
    for path, sent in (("/api/rate", rating), ("/api/correct", change)):
        answer = server.post(path, sent)
        assert answer.status == 400
        assert "cannot be written" in answer.json()["sentence"]
    assert not review.ratings.all()
    assert not review.corrections.entries()
