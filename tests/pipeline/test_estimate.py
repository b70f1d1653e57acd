"""The estimate before anything runs: what a few clips took, and what the whole data set will take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grace.pipeline.errors import UserError
from grace.pipeline.estimate.costs import Estimate, StageCost, TokenShape
from grace.pipeline.estimate.machine import Machine
from grace.pipeline.estimate.sample import take_sample
from grace.pipeline.estimate.settings import EstimateSettings
from grace.pipeline.estimate.trial import estimate
from grace.pipeline.execution.runner import run
from grace.pipeline.steps import STEPS
from grace.pipeline.store import Store, write_clips
from grace.pipeline.store.schemas import TOKENS
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.step import tokens_step
from grace.settings import Settings
from stages import app
from stages.tables.estimate import train_span
from tests.support.face_stores import clips_with_texts
from tests.support.videos import write_video

Checkpoint = Callable[[str], Path]


def world(folder: Path, checkpoint: Checkpoint) -> Settings:
    """Three indexed videos, a CLIP, and text models that are not here."""
    clips = []
    for name in ("a", "b", "c"):
        write_video(folder / "raw" / f"{name}.mp4", 20)
        key = {"clip_id": name, "status": "ok", "error": "", "label": "fear"}
        clips.append({**key, "path": f"{name}.mp4", "source": "video", "n_frames": 20, "fps": 25.0})
    write_clips(folder / "data" / "set", clips, ["fear"])
    return Settings.model_validate(
        {
            "data": str(folder / "data"),
            "roots": {"set": str(folder / "raw")},
            "faces": {"instants": 4, "size": 48, "detector": "none"},
            "motion": {"grid": 2},
            "caption": {"model": str(folder / "no-vlm")},
            "refine": {"model": str(folder / "no-llm")},
            "tokens": {"model": str(checkpoint("clip")), "text_length": 64, "storage": "int8", "patches": 2},
        }
    )


def test_every_stage_that_can_be_tried_is_timed_and_weighed(tmp_path: Path, checkpoint: Checkpoint) -> None:
    made = estimate(world(tmp_path, checkpoint), "set", samples=2)
    costs = {cost.stage: cost for cost in made.costs}
    assert (made.clips, made.tried) == (3, 3), "a batch of the engine is filled, as far as there are clips"
    assert "index" not in costs
    assert made.shape == TokenShape(instants=4, patches=4, length=64, width=16)
    for stage in ("faces", "motion", "tokens"):
        seconds, size = costs[stage].seconds_per_clip, costs[stage].bytes_per_clip
        assert seconds is not None and seconds > 0
        assert size is not None and size > 500
        span = costs[stage].seconds(7200)
        assert span is not None
        assert span.expected == pytest.approx(7200 * seconds / costs[stage].parallel + costs[stage].start_seconds)
        assert span.low <= span.expected <= span.high
    for stage in ("caption", "refine"):
        assert costs[stage].seconds_per_clip is None
        assert "no-" in costs[stage].note
    assert costs["tokens"].weight_bytes is not None
    assert costs["caption"].weight_bytes is None
    assert not (tmp_path / "data" / "set" / "tokens").exists()


def test_a_set_that_is_not_indexed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no root for data set 'set'"):
        estimate(Settings(data=str(tmp_path)), "set")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=r"None of the 1 clips of set under .* can be read"):
        estimate(Settings(data=str(tmp_path), roots={"set": str(tmp_path / "raw")}), "set")


def test_nothing_need_be_indexed_and_nothing_is_kept(tmp_path: Path, checkpoint: Checkpoint) -> None:
    settings = world(tmp_path, checkpoint)
    (tmp_path / "data/set/clips.parquet").unlink()
    (tmp_path / "raw/d.mp4").write_bytes(b"no video" * 99)
    made = estimate(settings, "set", samples=4)
    assert (made.clips, made.tried) == (4, 3)
    assert [cost.stage for cost in made.costs] == ["index", *STEPS]
    assert made.shape is not None
    assert not made.trainable
    assert list((tmp_path / "data/set").iterdir()) == []


def test_training_is_counted_only_where_clips_have_labels_and_folds(tmp_path: Path) -> None:
    shape, machine = TokenShape(instants=4, patches=4, length=64, width=16), Machine(cores=2)
    settings = Settings.model_validate({"train": {"hidden": 16, "layers": 1, "heads": 2}})
    made = Estimate(100, 4, (), shape, machine, trainable=False)
    assert train_span(made, settings) is None
    assert train_span(replace(made, trainable=True), settings) is not None
    for labelled, folds, trainable in ((True, True, True), (True, False, False), (False, True, False)):
        row = {"clip_id": "a", "status": "ok", "error": "", "label": "fear" if labelled else ""}
        write_clips(tmp_path / "set", [row | ({"fold_1": "train"} if folds else {})], ["fear"] if labelled else [])
        assert take_sample(Settings(data=str(tmp_path)), "set", 1).trainable is trainable


def test_a_busy_machine_gives_a_range(tmp_path: Path) -> None:
    busy, idle = Machine(cores=2, busy=1.0), Machine(cores=2)
    assert busy.is_busy and not idle.is_busy
    cost = StageCost("faces", seconds_per_clip=1.0, processes=2, parallel=2 * busy.speed(2), parallel_idle=2.0)
    span = cost.seconds(300)
    assert span is not None
    assert (span.low, span.expected, span.high) == (150, 225, 225)


def test_tokens_have_a_price_where_a_server_answers() -> None:
    prices = EstimateSettings(million_tokens_in=2.0, million_tokens_out=8.0)
    cost = StageCost("caption", seconds_per_clip=1.0, tokens_in=1000, tokens_out=100, paid_tokens=True)
    assert cost.token_price(1000, prices) == pytest.approx(2.0 + 0.8)
    assert StageCost("caption", seconds_per_clip=1.0, tokens_in=1000).token_price(1000, prices) == 0.0


@pytest.mark.slow
def test_the_command_says_hours_disk_tokens_and_cost_of_a_bare_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        write_video(tmp_path / "my clips" / f"{name}.mp4", 20)
    small = ["estimate.hour=3", "faces.instants=4", "faces.size=64", "caption.max_tokens=8", "refine.max_tokens=8"]
    options = [part for each in small for part in ("-S", each)]
    result = CliRunner().invoke(app, ["estimate", "my clips", *options])
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    for said in ("my-clips: 3 clips", "index", "tokens", "together", "Cost: USD"):
        assert said in text
    assert " train " not in text
    assert "train: not counted, since no clip has a label and a fold" in result.stderr
    assert not (tmp_path / "data").exists()
    gone = CliRunner().invoke(app, ["estimate", "nowhere"])
    assert gone.exit_code == 2
    assert "nowhere is not a folder" in gone.stderr


@pytest.mark.parametrize("keep", [None, 2])
@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_sizes_are_those_of_the_files(storage: str, keep: int | None, tmp_path: Path, checkpoint: Checkpoint) -> None:
    clips_with_texts(tmp_path, 8, motion=2)
    settings = {"model": str(checkpoint("clip")), "text_length": 64, "storage": storage, "patches": keep}
    run(tokens_step(TokensSettings.model_validate(settings)), tmp_path, size=8)
    path = Store(tmp_path / "tokens", TOKENS).path(0)
    expected = 8 * TokenShape(instants=6, patches=4, length=64, width=16).bytes(storage, keep)
    assert expected < path.stat().st_size < expected + 12_000  # HDF5's own, ids and the shard's metadata
