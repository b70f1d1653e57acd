"""A filter finds what a person would by reading every row; its address says all of it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from grace.pipeline.audit.lexicon import actions_in
from grace.pipeline.errors import UserError
from grace.pipeline.messages import cause_of
from grace.pipeline.store import Clips, Store, write_clips
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.review import views
from grace.review.query import Filter, select
from grace.review.state import Review
from grace.trainer.runs import open_run
from tests.support.review_server import ReviewServer


def found(review: Review, **asked: str) -> list[str]:
    catalogue, wanted = review.live.get(), Filter.read(asked)
    clips = select(catalogue, wanted, *review.pair(catalogue, wanted), review.people(catalogue))
    return [catalogue.clip_id(clip) for clip in clips]


@pytest.fixture
def predictions(data: Path) -> dict[str, dict[str, object]]:
    return {row["clip_id"]: row for row in open_run(data / "runs/grace/fold-1").predictions}


def test_labels_predictions_and_confidence(review: Review, predictions: dict[str, dict[str, object]]) -> None:
    wrong = [i for i, row in predictions.items() if row["predicted"] != row["label"]]
    assert found(review, outcome="wrong") == wrong
    pair = predictions[wrong[0]]
    same = [i for i, r in predictions.items() if (r["label"], r["predicted"]) == (pair["label"], pair["predicted"])]
    assert found(review, label=str(pair["label"]), predicted=str(pair["predicted"])) == same
    sure = [i for i, row in predictions.items() if max(row["probabilities"]) >= 0.6]  # type: ignore[call-overload]
    assert found(review, low="60") == sure
    ordered = found(review, sort="unsure")
    shares = [max(predictions[clip]["probabilities"]) for clip in ordered]  # type: ignore[call-overload]
    assert shares == sorted(shares)


def test_clips_are_sorted_by_label_prediction_status_and_person(
    review: Review, predictions: dict[str, dict[str, object]]
) -> None:
    catalogue = review.live.get()
    place = {name: at for at, name in enumerate(catalogue.labels)}
    labels = [catalogue.label[catalogue.positions[clip]] for clip in found(review, sort="label")]
    assert labels == sorted(labels, key=place.__getitem__)
    predicted = [predictions[clip]["predicted"] for clip in found(review, sort="predicted")]
    assert predicted == sorted(predicted, key=place.__getitem__)  # type: ignore[arg-type]
    assert found(review, sort="status")[:3] == ["000/000000", "000/000041", "000/000001"]  # failed, fallback, ok
    persons = [catalogue.subject[catalogue.positions[clip]] for clip in found(review, sort="subject")]
    assert persons == sorted(persons)


def test_a_value_that_is_not_offered_stays_in_the_form(review: Review, server: ReviewServer) -> None:
    for name, value in (("subject", "person-850"), ("label", "awe"), ("cause", "a rare cause")):
        page = server.get(f"/?{name}={value.replace(' ', '+')}").text
        field = page.partition(f'name="{name}"')[2].partition("</label>")[0]
        assert re.search(rf'(value="|<option selected>){value}', field), name


def test_texts_status_causes_and_persons(review: Review, data: Path) -> None:
    rows = list(Store(data / "descriptions", DESCRIPTIONS).rows())
    assert found(review, q="BROWS rise", text="description") == [
        row["clip_id"] for row in rows if "brows" in row["description"] and "rise" in row["description"]
    ]
    assert found(review, says="action:jaw drop", text="description") == [
        row["clip_id"] for row in rows if "jaw drop" in actions_in(row["description"])
    ]
    assert found(review, q="000/000007") == ["000/000007"]
    assert found(review, status="failed") == ["000/000000"]
    assert found(review, cause="faces: the video is empty") == ["000/000000"]
    assert found(review, subject="person-003") == ["000/000003"]
    assert found(review, label="nothing like that") == []


def test_any_number_of_folds(data: Path, tmp_path: Path) -> None:
    table = Clips(data)
    rows = [{**row, "fold_24": "test" if at % 10 == 3 else "train"} for at, row in enumerate(table.rows)]
    write_clips(data, rows, table.labels)
    review = Review("many", data, tmp_path, tmp_path / "overrides")
    assert found(review, fold="24") == [row["clip_id"] for row in rows[3::10]]
    with pytest.raises(UserError, match=r"There is no fold 9: the set has .*24"):
        found(review, fold="9")
    parts = views.clip(review, rows[3]["clip_id"], Filter(fold="24"))["parts"]
    assert "24" in parts["test"].split(", ")
    with pytest.raises(UserError, match="fold is 'x', not a whole number from 1"):
        Filter.read({"fold": "x"})


def test_what_people_said_is_found(review: Review) -> None:
    fresh = review.corrections.get("000/000004").version
    review.corrections.change("000/000004", fresh, {"mark": "unusable", "reason": "no face"}, "ann")
    review.corrections.change("000/000009", fresh, {"description": "The jaw drops."}, "ann")
    assert found(review, mark="unusable") == ["000/000004"]
    assert found(review, mark="corrected") == ["000/000009"]


def test_the_catalogue_follows_a_shard_that_was_made_again(review: Review, data: Path) -> None:
    store = Store(data / "descriptions", DESCRIPTIONS)
    rows = store.read(1)
    rows[0]["description"] = "An unheard-of xylophone."
    store.write(1, rows, {**store.meta(1), "fingerprint": "new"})
    review.live._looked = 0.0
    assert found(review, q="xylophone") == [rows[0]["clip_id"]]
    assert len(found(review)) == 70


def test_an_address_says_all_of_a_filter(review: Review) -> None:
    asked = {"q": "a&b=c", "label": "fear", "says": "action:jaw drop", "low": "40", "sort": "wrong", "page": "3"}
    address = Filter.read(asked).address()
    assert dict(parse_qsl(address)) == asked
    assert Filter.read(dict(parse_qsl(address))) == Filter.read(asked)


@pytest.mark.parametrize(
    "asked",
    [{"page": "0"}, {"page": "x"}, {"fold": "9"}, {"status": "bad"}, {"low": "high"}, {"low": "nan"}, {"says": "x"},
     {"sort": "up"}, {"outcome": "only-first"}, {"run": "none"}, {"versus": "../grace"}, {"page": "9" * 5000}],
)  # fmt: skip
def test_what_a_filter_cannot_be_is_one_sentence(review: Review, asked: dict[str, str]) -> None:
    with pytest.raises(UserError) as error:
        found(review, **asked)
    assert len(str(error.value)) < 6000


def test_like_causes_are_one() -> None:
    first, second = "faces: a/b.mp4: the video ends at frame 3", "faces: c/d.mp4: the video ends at frame 17"
    assert cause_of(first) == cause_of(second) == "faces: the video ends at frame …"
    assert cause_of("") == ""
