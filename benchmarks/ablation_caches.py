"""The ablation's caches: one rendered world, taken through every stage, with fine, coarse or no text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.harness import PROJECT
from grace.pipeline.execution.runner import run
from grace.pipeline.steps import STEPS, make_step
from grace.pipeline.tokens.step import TokensStep
from grace.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grace.pipeline.store import Row

FOLDERS = {"description": "fine", "caption": "coarse", "none": "textless"}
"""The text that is encoded, and the name of its cache."""

SHARED = ("clips.parquet", "faces", "captions", "descriptions", "motion")
"""All that tokens are made from; the caches share it."""


@dataclass
class TextlessTokens(TokensStep):
    """Tokens of frames alone, for ``vision``: neither captions nor descriptions need to be there."""

    version: ClassVar[int] = 100 + TokensStep.version
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"faces": ("frames",)}

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """As with texts, each of them empty."""
        return super().shard([row | {self.settings.text: ""} for row in rows])


def world_settings(work: Path, clips: int, identities: int, difficulty: float) -> Settings:
    """The settings of ``params.yaml`` for a world of this size below ``work``."""
    overrides: dict[str, Any] = {
        "world.clips": clips,
        "world.identities": identities,
        "world.folds": 5,
        "world.difficulty": difficulty,
        "roots.fine": work / "raw",
    }
    return load_settings(PROJECT / "params.yaml", [f"{key}={value}" for key, value in overrides.items()])


def make_caches(settings: Settings, folders: dict[str, Path], data: Path | None) -> None:
    """Make what is missing of the caches in ``folders``: world, index and stages, or ``data`` instead of them."""
    base = next(iter(folders.values())).parent / FOLDERS["description"]
    stages = [stage for stage in STEPS if stage != "tokens"]
    if set(folders) == {"none"}:
        stages = ["faces", "motion"]
    if data is None:
        _run_pipeline(settings, base, stages)
    else:
        _link(data, base)
    for text, folder in folders.items():
        if folder != base:
            _link(base, folder)
        _tokens(settings, folder, text)


def _link(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to((source / name).resolve())


def _run_pipeline(settings: Settings, folder: Path, stages: list[str]) -> None:
    """The world, its index, and the stages."""
    from grace.pipeline.datasets import root_of
    from grace.pipeline.index.index import index
    from grace.pipeline.world.world import make_world

    root = Path(settings.roots[folder.name])
    make_world(settings.world, root, settings.workers)
    index(folder.name, root_of(settings.roots, folder.name), folder, workers=settings.workers)
    for stage in stages:
        step = make_step(stage, settings, folder.name)
        run(step, folder, size=settings.shards.clips, workers=settings.workers, max_failed=settings.max_failed)


def _tokens(settings: Settings, folder: Path, text: str) -> None:
    from grace.pipeline.tokens.class_prompts import write_class_prompts

    if text == "none":
        made: TokensStep = TextlessTokens(settings.tokens)
    else:
        made = TokensStep(settings.tokens.model_copy(update={"text": text}))
    run(made, folder, size=settings.shards.clips, workers=settings.workers, max_failed=settings.max_failed)
    write_class_prompts(folder, made)
