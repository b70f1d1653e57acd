"""`grace inspect` and `grace show`: texts wrapped and made harmless, one clip in full, pictures of crops and motion."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from grace.pipeline.store import Store, failure, open_store, write_clips
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, FACES, MOTION
from grace.pipeline.visualize.contact_sheets import ABSENT, BETWEEN, CAPTION, DETECTED, GAP, WIDE
from grace.pipeline.visualize.sheet_layout import AXIS, HEAD, LINE
from grace.pipeline.world.identity import sample_identity
from grace.pipeline.world.render import render_instants
from grace.pipeline.world.scenario import sample_scenario
from grace.pipeline.world.settings import WorldSettings
from stages import app

CUE = {"region": "brows", "action": "brow lower", "intensity": "clearly", "phase": "apex"}


@pytest.fixture
def folder(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of three clips with texts, crops and motion maps."""
    shutil.copy(project / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    made = tmp_path / "data" / "demo"
    ok = {"status": "ok", "error": ""}
    labels = {"a": "anger", "b": "fear", "c": "fear"}
    write_clips(
        made,
        [{"clip_id": clip, "label": label, "path": f"{clip}.mp4", **ok} for clip, label in labels.items()],
        ["anger", "fear"],
    )
    texts = [
        {
            "clip_id": "a",
            **ok,
            "caption": "The brows [bold]lower[/bold].",
            "description": "The brows \x1b[31mlower.",
            "cues": [CUE],
        },
        {"clip_id": "b", **ok, "caption": "The jaw drops.", "description": "The jaw drops open.", "cues": []},
        failure("c", "caption: the model wrote no text"),
    ]
    Store(made / "descriptions", DESCRIPTIONS).write(0, texts, {})
    _, encoded = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    images = [encoded.tobytes()] * 4
    face = {
        "frames": images,
        "neighbours": images,
        "size": np.array([64, 64]),
        "boxes": np.tile([0, 0, 64, 64], (4, 1)),
    }
    face |= {"times": np.arange(4) / 4, "found": np.ones(4, dtype=bool)}
    Store(made / "faces", FACES).write(
        0, [{"clip_id": "a", **ok, **face}, failure("b", "faces: the video is empty")], {}
    )
    motion = {"motion": np.full((4, 8, 8), 0.5), "rigid": np.zeros((4, 4)), "cut": np.zeros(4, dtype=bool)}
    Store(made / "motion", MOTION).write(0, [{"clip_id": "a", **ok, **motion}], {})
    return tmp_path


def grace(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    return f"{result.exit_code}\n{result.output}"


def test_inspect_prints_texts_as_they_are_and_harmless(folder: Path) -> None:
    output = grace("inspect", "--sample", "0")
    assert "3 of 3 rows" in output
    assert "[bold]lower[/bold]" in output, "markup in a model's text is text"
    assert "\x1b[31m" not in output, "a terminal's control codes are dropped"
    assert "the model wrote no text" in output
    assert "brows: brow lower, clearly, apex" in output


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [(["--label", "fear"], 2), (["--status", "failed"], 1), (["--match", "jaw"], 1), (["--sample", "2"], 3)],
)
def test_inspect_filters_and_samples(folder: Path, arguments: list[str], rows: int) -> None:
    assert f"of {rows} rows" in grace("inspect", *arguments)


def test_inspect_shows_all_that_is_known_of_a_clip(folder: Path) -> None:
    output = grace("inspect", "--clip", "a")
    for word in ("anger", "a.mp4", "4 JPEG images", "4 × 8 × 8", "brow lower"):
        assert word in output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["inspect", "--clip", "zzz"], "There is no clip 'zzz'"),
        (["inspect", "--label", "joy"], "There is no emotion 'joy'"),
        (["show", "b"], "faces: the video is empty"),
        (["show", "zzz"], "the faces stage has no such clip"),
        (["predict", "no.mp4"], "There is no clip no.mp4"),
        (["show", "a", "--what", "alignment"], "no finished run"),
        (["show", "a", "--out", "/nonexistent/x.png"], "there is no folder /nonexistent"),
        (["show", "a", "--out", "params.yaml/x.png"], "there is no folder params.yaml"),
        (["show", "a", "--out", "x.bmp"], "ends in .png, .jpg or .jpeg"),
        (["inspect", "--status", "bogus"], "'bogus' is not one of"),
        (["train", "--fold", "9"], "run `grace"),
    ],
)
def test_what_is_not_there_is_named(folder: Path, arguments: list[str], sentence: str) -> None:
    output = grace(*arguments)
    assert output.startswith("2\n")
    assert sentence in " ".join(output.split())


@pytest.mark.parametrize("what", ["faces", "motion"])
def test_show_writes_a_picture(folder: Path, what: str) -> None:
    assert grace("show", "a", "--what", what, "--out", "sheet.png").startswith("0\n")
    picture = cv2.imread("sheet.png")
    assert picture is not None
    assert picture.shape[1] > 8 * 64


def test_show_says_why_it_has_crops_only(folder: Path) -> None:
    assert "Crops only" in grace("show", "a", "--what", "faces", "--out", "sheet.png")


def test_show_draws_whole_frames_with_boxes_that_say_how_they_came_about(folder: Path) -> None:
    rng = np.random.default_rng(5)
    identity = sample_identity(rng, 0)
    script = sample_scenario(rng, identity, "happiness", WorldSettings())
    faces, _ = render_instants(script, identity, WorldSettings(), np.arange(6) / 25)
    blank = np.full_like(faces[0], 90)
    raw = folder / "raw" / "mine"
    for number, frame in enumerate([*faces, *[blank] * 6]):
        (raw / "x").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(raw / "x" / f"{number}.png"), frame)
    (raw / "clips.csv").write_text("path,label\nx,fear\n")
    few = ("--dataset", "mine", "--set", "workers=0", "--set", "roots.mine=raw/mine", "--set", "faces.instants=12")
    for stage in ("index", "faces"):
        assert grace(stage, *few).startswith("0\n")
    output = grace("show", "x", "--what", "faces", "--out", "sheet.png", *few)
    assert output.startswith("0\n")
    assert "Crops only" not in output
    picture = cv2.imread("sheet.png").astype(int)
    tiles = [tile for line in np.split(picture[HEAD + LINE : -AXIS], 3) for tile in np.split(line, WIDE, axis=1)]

    def coloured(tile: np.ndarray, colour: tuple[int, int, int]) -> int:
        return int((np.abs(tile[CAPTION + GAP :] - colour).sum(axis=-1) < 12).sum())

    assert all(coloured(tiles[at], DETECTED) > 50 for at in (0, 2, 4))
    assert all(coloured(tiles[at], BETWEEN) > 50 for at in (1, 3))
    assert all(coloured(tiles[at], ABSENT) > 50 for at in range(6, 12))


def test_a_file_name_that_no_disk_takes_is_one_sentence(folder: Path) -> None:
    output = grace("show", "a", "--out", f"{'x' * 300}.png")
    assert output.startswith("1\n")
    assert "cannot be written" in " ".join(output.split())


def test_inspect_shows_captions_before_there_are_descriptions(folder: Path) -> None:
    shutil.rmtree(folder / "data/demo/descriptions")
    rows = [
        {"clip_id": "a", "status": "ok", "error": "", "caption": "The brows lower."},
        {"clip_id": "b", "status": "fallback", "error": "caption: cut short", "caption": "The jaw drops."},
        failure("c", "caption: the model wrote no text"),
    ]
    Store(folder / "data/demo/captions", CAPTIONS).write(0, rows, {})
    output = grace("inspect", "--sample", "0")
    assert output.startswith("0\n")
    for text in ("3 of 3 rows", "The brows lower.", "The jaw drops.", "the model wrote no text"):
        assert text in output
    assert "of 1 rows" in grace("inspect", "--status", "fallback")
    assert "of 1 rows" in grace("inspect", "--match", "jaw")
    shutil.rmtree(folder / "data/demo/captions")
    assert grace("inspect").startswith("2\n")


def test_what_is_shown_and_no_longer_true_is_said_in_one_note(folder: Path) -> None:
    def note(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 0, result.output
        assert result.stderr.count("note: ") == (1 if "note" in result.stderr else 0)
        return " ".join(result.stderr.split())

    looks = {
        "descriptions": [("inspect",), ("inspect", "--clip", "a"), ("audit",)],
        "motion": [("inspect", "--clip", "a"), ("show", "a")],
    }
    assert not note("show", "a")
    assert "note" not in grace("show", "nobody")
    for name, commands in looks.items():
        store = open_store(folder / "data/demo", name)
        rows, meta = store.read(0), {"clips": {"columns": ["path"], "size": 32, "digest": "before"}}
        store.write(0, rows, meta)
        for command in commands:
            assert f"{name}/00000" in (said := note(*command)), command
            assert f"was made from another clips.parquet than there is now: run `grace {store.schema.stage}`" in said
        store.write(0, rows, {})
    Store(folder / "data/demo/descriptions", DESCRIPTIONS).write(
        0, open_store(folder / "data/demo", "descriptions").read(0)[:2], {}
    )
    for command in (("inspect",), ("audit",)):
        assert "descriptions lacks 1 of 3 clips (c among them): run `grace refine`" in note(*command)
    assert "motion lacks clip b: run `grace motion`" in note("inspect", "--clip", "b")
