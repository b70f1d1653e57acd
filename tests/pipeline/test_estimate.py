"""The estimate before anything runs: what a few clips took, and what the whole data set will take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from grace.pipeline.errors import UserError
from grace.pipeline.estimate import TokenShape, estimate
from grace.pipeline.execution.runner import run
from grace.pipeline.store import Store, write_clips
from grace.pipeline.store.schemas import TOKENS
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.step import tokens_step
from grace.settings import Settings
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
    assert (made.clips, made.tried) == (3, 2)
    assert made.shape == TokenShape(instants=4, patches=4, length=64, width=16)
    for stage in ("faces", "motion", "tokens"):
        seconds, size = costs[stage].seconds_per_clip, costs[stage].bytes_per_clip
        assert seconds is not None and seconds > 0
        assert size is not None and size > 500
        hours = costs[stage].hours(7200)
        assert hours == pytest.approx(2 * seconds / costs[stage].processes)
    for stage in ("caption", "refine"):
        assert costs[stage].seconds_per_clip is None
        assert "no-" in costs[stage].note
    assert costs["tokens"].weight_bytes is not None
    assert costs["caption"].weight_bytes is None
    assert not (tmp_path / "data" / "set" / "tokens").exists()


def test_a_set_that_is_not_indexed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clips\.parquet is missing: run `grace index`"):
        estimate(Settings(data=str(tmp_path)), "set")


@pytest.mark.parametrize("keep", [None, 2])
@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_sizes_are_those_of_the_files(storage: str, keep: int | None, tmp_path: Path, checkpoint: Checkpoint) -> None:
    clips_with_texts(tmp_path, 8, motion=2)
    settings = {"model": str(checkpoint("clip")), "text_length": 64, "storage": storage, "patches": keep}
    run(tokens_step(TokensSettings.model_validate(settings)), tmp_path, size=8)
    path = Store(tmp_path / "tokens", TOKENS).path(0)
    expected = 8 * TokenShape(instants=6, patches=4, length=64, width=16).bytes(storage, keep)
    assert expected < path.stat().st_size < expected + 12_000  # HDF5's own, ids and the shard's metadata
