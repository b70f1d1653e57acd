"""``ClipPipeline`` and ``GraceClassifier`` given what people give by mistake: it works, or one sentence says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import grace
from grace import ClipPipeline, ClipResult, GraceClassifier, Prediction, PredictionOverTime, UserError
from grace.pipeline.settings import PipelineSettings
from grace.pipeline.steps import STEPS, make_step, step_sections
from grace.trainer.classifier import TokenClassifier
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train
from stages import app
from tests.support.small_demo import SETTINGS
from tests.support.toy_cache import TRAIN, toy_cache
from tests.support.videos import write_images, write_video

RUN = "data/demo/runs/grace/fold-1"
PLAIN = PipelineSettings.model_validate(SETTINGS)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (["nope"], "There is no step 'nope': choose among " + ", ".join(STEPS)),
        ("nope", "There is no step 'nope'"),
        ([], "There is no step to take: name some of faces, caption"),
        ([["faces"]], r"There is no step \['faces'\]"),
        (["faces", "faces"], "The step faces is named twice"),
        (["motion", "faces"], "The step motion reads what faces made: name faces before it."),
        (["caption"], "The step caption reads what faces made"),
        (["faces", "refine"], "The step refine reads what caption made"),
        (["faces", "tokens", "caption", "refine"], "The step tokens reads what refine made"),
    ],
)
def test_steps_that_cannot_follow_each_other_are_refused_at_once(stages: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        ClipPipeline(PLAIN, stages)


def test_a_step_may_read_more_by_its_settings() -> None:
    settings = PipelineSettings.model_validate({**SETTINGS, "tokens": {"patches": 8}})
    assert len(ClipPipeline(settings, ["faces", "motion", "tokens"]).steps) == 3
    with pytest.raises(UserError, match="The step tokens reads what motion made"):
        ClipPipeline(settings, ["faces", "tokens"])


def test_the_name_of_one_step_is_one_step(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 9)
    with ClipPipeline(PLAIN, "faces") as pipeline:
        assert len(pipeline(tmp_path / "a.mp4").row["frames"]) == 4


def test_settings_are_no_file() -> None:
    with pytest.raises(UserError, match=r"takes settings, not 'params.yaml': .* grace\.load_settings"):
        ClipPipeline("params.yaml")  # type: ignore[arg-type]


def test_one_override_is_one() -> None:
    assert grace.load_settings(None, "faces.size=96").faces.size == 96


@pytest.fixture
def pipeline() -> ClipPipeline:
    return ClipPipeline(PLAIN, ["faces", "motion"])


def test_one_path_is_one_clip(pipeline: ClipPipeline, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 9)
    for given in (str(tmp_path / "a.mp4"), tmp_path / "a.mp4", tmp_path.glob("*.mp4")):
        (result,) = pipeline.many(given)
        assert result.error == ""
    (gone,) = pipeline.many("x.avi")
    assert gone.error == "there is no file x.avi"


@pytest.mark.parametrize("clip", [None, 3, ["a.mp4"], b"a.mp4"])
def test_what_is_no_path_is_no_clip(pipeline: ClipPipeline, clip: Any) -> None:
    with pytest.raises(UserError, match="A clip is the path of a video or of a folder of frames, not of type"):
        pipeline(clip)
    with pytest.raises(UserError, match="A clip is the path"):
        pipeline.many([clip])


@pytest.mark.parametrize(
    ("seconds", "stride", "said"),
    [
        (0, 1, "seconds must be a number and at least 0.1, not 0"),
        (1, 0, "stride must be a number and at least 0.05, not 0"),
        (-1, 1, "seconds must be"),
        (1, float("nan"), "stride must be"),
        ("2", 1, "seconds must be .* not '2'"),
    ],
)
def test_windows_have_a_length(pipeline: ClipPipeline, seconds: Any, stride: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        pipeline.windows("x.avi", seconds, stride)


def test_windows_and_people_need_faces_first() -> None:
    settings = PipelineSettings.model_validate({**SETTINGS, "caption": {"engine": "annotation"}})
    pipeline = ClipPipeline(settings, ["caption"])
    for asked in (lambda: pipeline.people("x.avi"), lambda: pipeline.windows("x.avi", 1, 1)):
        with pytest.raises(UserError, match="are cut out by the step faces: name it first in stages, not caption"):
            asked()


def test_nothing_is_drawn_of_a_clip_without_crops(pipeline: ClipPipeline, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.mp4 has no face crops to draw: it was not taken through the step faces"):
        ClipResult({"path": "a.mp4"}).plot()
    (gone,) = pipeline.many([tmp_path / "gone.mp4"])
    with pytest.raises(UserError, match=r"has no face crops to draw: there is no file gone\.mp4"):
        gone.plot()
    failed = Prediction({}, gone)
    with pytest.raises(UserError, match=r"has no prediction to draw: there is no file gone\.mp4"):
        failed.plot()
    times = ClipResult({**gone.row, "times": [0.0, 1.0]}, error="faces: no face is found")
    with pytest.raises(UserError, match="has no window to draw: faces: no face is found"):
        PredictionOverTime((Prediction({}, times),), ("happiness",)).plot()


def test_one_path_is_predicted_as_one_clip(small_demo: Path) -> None:
    classifier = GraceClassifier.from_pretrained(small_demo / RUN, overrides="caption.device=cpu")
    clip = small_demo / "raw/demo/clips/00001.mp4"
    for given in (str(clip), clip, iter([clip])):
        (prediction,) = classifier.predict_many(given, text=False)
        assert (prediction.label, prediction.error) == ("happiness", "")
    with pytest.raises(UserError, match="batch must be a number and at least 1, not 0"):
        list(classifier.predict_many(clip, text=False, batch=0))
    with pytest.raises(UserError, match=r"faces\.detector is none"):
        list(classifier.predict_people(clip, text=False))


ANNOTATION = {"caption": {"engine": "annotation"}}
LABELLED = {"refine": {"use_label": True, "prompt": "refine-label-v1"}}


@pytest.mark.parametrize(("section", "named"), [(ANNOTATION, "caption.engine is annotation"), (LABELLED, "use_label")])
def test_texts_that_no_new_clip_has_leave_predictions_without_text(
    small_demo: Path, section: dict[str, Any], named: str
) -> None:
    settings = PipelineSettings.model_validate({**SETTINGS, **section})
    classifier = GraceClassifier(TokenClassifier.from_pretrained(small_demo / RUN), settings)
    clip = small_demo / "raw/demo/clips/00001.mp4"
    with pytest.raises(UserError, match=rf"{named}.*which a new clip does not have: predict without a text \(text=Fal"):
        classifier.predict(clip)
    with pytest.raises(UserError, match=named):
        list(classifier.predict_many([clip]))
    assert classifier.predict(clip, text=False).label == "happiness"


def test_a_run_that_reads_nothing_but_such_texts_predicts_no_new_clip(tmp_path: Path) -> None:
    annotated = PipelineSettings.model_validate(ANNOTATION)
    made_by = {stage: make_step(stage, annotated, root=".").cache_key() for stage in ("tokens", "motion")}
    data = toy_cache(tmp_path / "data/toy", made_by=made_by)
    settings = TrainSettings(**{**TRAIN, "epochs": 1}, method="text")
    train(data, settings, 1, quiet=True, pipeline=step_sections(annotated))
    classifier = GraceClassifier.from_pretrained(data / "runs/text/fold-1")
    write_images(tmp_path / "clip", 3)
    with pytest.raises(UserError, match="it cannot predict new clips, since method text reads nothing but text"):
        classifier.predict(tmp_path / "clip")
    with pytest.raises(UserError, match="Method text reads nothing but text: it says nothing without one"):
        classifier.predict(tmp_path / "clip", text=False)


def test_the_command_says_the_same(small_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_demo)
    result = CliRunner().invoke(app, ["predict", "raw/demo/clips/00001.mp4", "--over-time", "--window", "0.01"])
    assert result.exit_code == 2
    assert "0.1" in result.stderr


def test_the_table_of_clips_opens_like_any_store(small_demo: Path, tmp_path: Path) -> None:
    clips = grace.open_store(small_demo / "data/demo", "clips")
    table = clips.to_pandas(["clip_id", "label", "fold_1"])
    assert table["label"].value_counts().to_dict() == {"happiness": 8, "sadness": 8}
    assert table["fold_1"].tolist()[:5] == ["test"] * 4 + ["train"]
    assert clips.find("00003", "label") == {"label": "happiness"}
    assert "votes" in clips.to_pandas()
    with pytest.raises(UserError, match="holds nothing yet: run `grace index` first"):
        grace.open_store(tmp_path, "clips").to_pandas()
    with pytest.raises(UserError, match=r"choose one of clips, faces, captions, .*tokens"):
        grace.open_store(small_demo / "data/demo", "nope")


def test_the_name_of_one_column_is_one_column(small_demo: Path) -> None:
    texts = grace.open_store(small_demo / "data/demo", "descriptions").to_pandas("description")
    assert texts.columns.tolist() == ["description"]
