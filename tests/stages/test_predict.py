"""`grace predict` as people use it: one clip, many, a folder, over time; a bad file costs a row."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from grace import ClipResult, GraceClassifier, Prediction
from stages import app
from stages.predict import JOURNAL_VERSION, Faces, _journal, named_clips
from tests.support.videos import encode, write_images, write_video

SMALL = ("world.clips=14", "world.identities=8", "faces.instants=8", "caption.max_tokens=24", "refine.max_tokens=24")


def test_arguments_are_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a/one.mp4", 2)
    write_video(tmp_path / "a/two.mp4", 2)
    write_images(tmp_path / "frames", 3)
    assert named_clips(["a"]) == [Path("a/one.mp4"), Path("a/two.mp4")]
    assert named_clips(["a/*.mp4", "a/one.mp4"]) == [Path("a/one.mp4"), Path("a/two.mp4")]
    assert named_clips([str(tmp_path / "a/t*.mp4")]) == [tmp_path / "a/two.mp4"]
    assert named_clips(["frames"]) == [Path("frames")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.mp4"], "There is no clip gone.mp4"),
        (["*.avi"], "There is no clip *.avi"),
        (["clips", "--out", "x.png"], "x.png is a picture, of one clip and face: name a table"),
        (["clips", "--over-time"], "--over-time takes one clip, and 2 are named"),
        (["clips/one.mp4", "--over-time", "--faces", "all"], "--over-time follows the main face"),
        (["clips", "--faces", "all", "--out", "x.png"], "of one clip and face: name a table"),
        (["clips", "--out", "x.docx"], "name a file that ends in"),
        (["clips", "--out", "gone/x.csv"], "there is no folder gone"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clips/one.mp4", 2)
    write_video(tmp_path / "clips/two.mp4", 2)
    result = CliRunner().invoke(app, ["predict", *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.fixture
def footage(small_demo: Path, tmp_path: Path) -> Path:
    """A film of the demo's project, the same as an animation that is cut off, and a film of the rendered world."""
    folder = tmp_path / "films"
    film = small_demo / "raw/demo/clips/00001.mp4"
    for place in (folder / "good.mp4", folder / "world/drawn.mp4"):
        place.parent.mkdir(exist_ok=True)
        shutil.copy(film, place)
    (folder / "world/world.json").write_text('{"world": {}, "drawn_by": "0123"}')
    cut = encode(folder / "cut.gif", 12, "gif", "rgb8")
    cut.write_bytes(cut.read_bytes()[:-200])
    return folder


DOUBTFUL = "the video is cut off or damaged"
LIMIT = "pocket/clip knows only the rendered world: of this footage its words and tokens mean nothing."


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_say_which_predictions_are_doubtful(small_demo: Path, footage: Path, ending: str) -> None:
    out = footage / f"p.{ending}"
    result = predict(small_demo, str(footage), "--no-text", "--out", str(out))
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out, keep_default_na=False) if ending == "csv" else pd.read_parquet(out)
    rows = {Path(row["path"]).name: row for row in table.to_dict("records")}
    assert rows["cut.gif"]["remarks"].startswith(DOUBTFUL)
    assert (rows["cut.gif"]["error"], bool(rows["cut.gif"]["label"])) == ("", True)
    assert (rows["good.mp4"]["remarks"], rows["drawn.mp4"]["remarks"]) == ("", "")
    assert {name: row["limits"] for name, row in rows.items()} == {
        "cut.gif": LIMIT,
        "good.mp4": LIMIT,
        "drawn.mp4": "",
    }
    said = " ".join(result.stderr.split())
    assert f"note: cut.gif: {DOUBTFUL}" in said
    assert f"note: cut.gif, good.mp4: {LIMIT}" in said


def test_windows_say_what_is_doubtful(small_demo: Path, footage: Path) -> None:
    out, picture = footage / "t.csv", small_demo / "cut-over-time.png"
    result = predict(small_demo, str(footage / "cut.gif"), "--over-time", "--no-text", "--out", str(out))
    picture.unlink()
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out)
    assert table["remarks"].str.startswith(DOUBTFUL).all()
    assert (table["limits"] == LIMIT).all()
    assert f"note: cut.gif: {DOUBTFUL}" in " ".join(result.stderr.split())


def test_what_an_earlier_version_kept_without_remarks_is_predicted_again(
    small_demo: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, classifier = footage / "p.csv", GraceClassifier.from_pretrained(small_demo / "data/demo/runs/grace/fold-1")
    for version, clip in ((1, "good.mp4"), (JOURNAL_VERSION, "cut.gif")):
        monkeypatch.setattr("stages.predict.JOURNAL_VERSION", version)
        made = Prediction({"sadness": 1.0}, ClipResult({"path": str(footage / clip)}, ("kept",)))
        _journal(classifier, out, False, Faces.main).add(str(footage / clip), {"rows": [made.row(classifier.labels)]})
    result = predict(
        small_demo, *(str(footage / name) for name in ("cut.gif", "good.mp4")), "--no-text", "--out", str(out)
    )
    assert result.exit_code == 0, result.output
    assert "1 of 2 clips were predicted before" in " ".join(result.stderr.split())
    table = pd.read_csv(out)
    assert list(table) == list(made.row(classifier.labels))
    kept, good = table.to_dict("records")
    assert (good["label"], good["limits"], kept["label"], kept["remarks"]) == ("happiness", LIMIT, "sadness", "kept")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run on a few clips of the rendered world."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        commands = ["init .", "world --out raw/demo", "index", "faces", "caption", "refine", "motion", "tokens"]
        for command in [*commands, "train -S train.epochs=1 -S train.method=grace"]:
            words = command.split()
            settings = () if words[0] == "init" else [part for each in SMALL for part in ("-S", each)]
            result = CliRunner().invoke(app, [*words, *settings])
            assert result.exit_code == 0, f"{command}\n{result.output}"
    return folder


def predict(folder: Path, *arguments: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(app, ["predict", *arguments])


@pytest.mark.slow
def test_many_clips_give_what_each_alone_gives_and_a_bad_file_costs_its_row(trained: Path) -> None:
    (trained / "raw/demo/clips/broken.mp4").write_bytes(b"no video" * 99)
    result = predict(trained, "raw/demo/clips", "--out", "all.csv")
    (trained / "raw/demo/clips/broken.mp4").unlink()
    assert result.exit_code == 0, result.output
    table = pd.read_csv(trained / "all.csv").astype(object).fillna("")
    assert len(table) == 15
    bad = table[table["path"].str.endswith("broken.mp4")].iloc[0]
    assert bad["label"] == ""
    assert "cannot be decoded" in bad["error"] or "video" in bad["error"]
    good = table[table["error"] == ""]
    assert len(good) == 14
    classes = [name for name in table.columns if name.startswith("p_")]
    assert (good[classes].astype(float).sum(axis=1) - 1).abs().max() < 1e-4
    alone = predict(trained, good.iloc[3]["path"], "--out", "one.json")
    assert alone.exit_code == 0, alone.output
    (one,) = json.loads((trained / "one.json").read_text())
    assert one["label"] == good.iloc[3]["label"]
    assert one["description"] == good.iloc[3]["description"]
    assert [one[name] for name in classes] == pytest.approx(list(good.iloc[3][classes]), abs=0.05), (
        "batches round otherwise"
    )


@pytest.mark.slow
def test_a_prediction_that_was_killed_goes_on_where_it_stopped(trained: Path) -> None:
    clips = sorted((trained / "raw/demo/clips").glob("*.mp4"))
    whole = predict(trained, "raw/demo/clips", "--no-text", "--out", "whole.jsonl")
    assert whole.exit_code == 0, whole.output
    journal = trained / "killed.jsonl.partial.jsonl"
    command = [sys.executable, "-m", "stages", "predict", "raw/demo/clips", "--no-text", "--out", "killed.jsonl"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, cwd=trained, env=environment, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 240
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < end
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    kept = journal.read_bytes().count(b"\n")
    assert 3 <= kept < len(clips)
    assert not (trained / "killed.jsonl").exists()
    again = predict(trained, "raw/demo/clips", "--no-text", "--out", "killed.jsonl")
    assert again.exit_code == 0, again.output
    assert f"{kept} of {len(clips)} clips were predicted before" in " ".join(again.stderr.split())
    assert not journal.exists()
    rows, expected = (
        [json.loads(line) for line in (trained / name).read_text().splitlines()]
        for name in ("killed.jsonl", "whole.jsonl")
    )
    assert [row["path"] for row in rows] == [row["path"] for row in expected]
    assert [row["label"] for row in rows] == [row["label"] for row in expected]


@pytest.mark.slow
def test_over_time_gives_a_window_per_row_and_a_plot(trained: Path) -> None:
    clip = sorted((trained / "raw/demo/clips").glob("*.mp4"))[0]
    result = predict(
        trained, str(clip), "--over-time", "--window", "1", "--stride", "0.5", "--no-text", "--out", "t.csv"
    )
    assert result.exit_code == 0, result.output
    table = pd.read_csv(trained / "t.csv")
    assert len(table) >= 2
    assert table["start"].is_monotonic_increasing
    assert ((table["end"] - table["start"]) < 1.2).all()
    assert (trained / f"{clip.stem}-over-time.png").stat().st_size > 10_000


@pytest.mark.slow
def test_no_clip_that_can_be_used_is_an_error(trained: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no video" * 99)
    result = predict(trained, str(tmp_path), "--out", str(tmp_path / "t.csv"))
    assert result.exit_code == 1
    assert "No clip could be used" in result.stderr
    assert len(pd.read_csv(tmp_path / "t.csv")) == 2


@pytest.mark.slow
def test_all_faces_give_a_row_per_track_with_its_box(trained: Path) -> None:
    (trained / "raw/demo/broken.mp4").write_bytes(b"no video" * 99)
    clip = sorted((trained / "raw/demo/clips").glob("*.mp4"))[0]
    result = predict(trained, str(clip), "raw/demo/broken.mp4", "--faces", "all", "--no-text", "--out", "faces.csv")
    (trained / "raw/demo/broken.mp4").unlink()
    assert result.exit_code == 0, result.output
    table = pd.read_csv(trained / "faces.csv")
    found = table[table["error"].isna()]
    assert len(found) >= 1
    assert found["track"].tolist() == list(range(1, len(found) + 1))
    assert (found["x1"] > found["x0"]).all()
    assert (found["end"] >= found["start"]).all()
    bad = table[table["track"] == 0].iloc[0]
    assert bad["path"].endswith("broken.mp4")
    assert isinstance(bad["error"], str)
