"""The bench's worlds and caches: each world is rendered and taken through the stages once, each cell has its tokens.

data/ablation/general-clip-<recipe>/   the general CLIP
data/ablation/<world>/raw           the rendered clips and their truth
data/ablation/<world>/base          clips, faces, motion, and what the demo's VLM and LLM wrote
data/ablation/<world>/cells/<vision>-<text>   the same by links, with a cell's descriptions and tokens
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchmarks.ablation_levels import VISIONS, Noise, WrittenTexts, token_settings
from benchmarks.harness import PROJECT, progress
from grace.pipeline.errors import ClipError
from grace.pipeline.execution.runner import run
from grace.pipeline.execution.step import Step
from grace.pipeline.steps import make_step
from grace.pipeline.store import Clips, Row, fingerprint
from grace.pipeline.tokens.step import TokensStep
from grace.settings import Settings, load_settings
from grace.trainer.data import Cache

if TYPE_CHECKING:
    from grace.pipeline.tokens.layout import VisualTokens

OF_VIDEO = ("clips.parquet", "faces", "motion")
OF_POCKET_TEXTS = ("captions", "descriptions")


@dataclass(frozen=True)
class World:
    """A rendered data set of the bench: what it is for, its seed, its size."""

    name: str
    seed: int
    clips: int
    people: int
    difficulty: float = 2.0


@dataclass
class SharedVideoTokens(TokensStep):
    """Tokens of another text of the same clips: those of the video are taken from the cell that has them."""

    source: Path = field(kw_only=True)
    version: ClassVar[int] = 100 + TokensStep.version

    @cached_property
    def made(self) -> Cache:
        """The tokens of that cell."""
        return Cache(self.source)

    def _visual(self, rows: list[Row], mirrored: bool) -> Iterator[VisualTokens | ClipError]:
        for row in rows:
            if cause := self.made.failure(row["clip_id"]):
                yield ClipError(cause)
            else:
                tokens = self.made.row(row["clip_id"])
                yield np.asarray(tokens["visual"]), np.asarray(tokens["frame"])


@dataclass(frozen=True)
class Caches:
    """Where the caches of a world lie, and what they are made with."""

    work: Path
    world: World
    noise: Noise
    real_models: Path | None
    only: tuple[str, ...] = VISIONS
    text_unit: str = "word"

    @property
    def folder(self) -> Path:
        """All of the world's."""
        return self.work / self.world.name

    @property
    def visions(self) -> tuple[str, ...]:
        """The levels of vision that can be had here."""
        return tuple(name for name in self.only if name == "pocket" or self.real_models is not None)

    def people(self) -> dict[str, str]:
        """Who is seen in each clip."""
        return {row["clip_id"]: row["subject"] for row in Clips(self.folder / "base", ["subject"]).rows}

    @property
    def general_clip(self) -> Path:
        """The general CLIP, which another recipe does not take for its own."""
        from grace.pocket.train_general_clip import recipe

        return self.work / f"general-clip-{fingerprint(recipe())[:8]}"

    def cell(self, vision: str, text: str) -> Path:
        """The folder of a cell."""
        unit = "" if self.text_unit == "word" else f"-{self.text_unit}"
        return self.folder / "cells" / f"{vision}-{text}{unit}"

    def settings(self, vision: str = "pocket") -> Settings:
        """``params.yaml`` with the world's settings, and the encoders of a level of vision."""
        world = self.world
        values: dict[str, Any] = {
            "world.clips": world.clips,
            "world.identities": world.people,
            "world.folds": 5,
            "world.seed": world.seed,
            "world.difficulty": world.difficulty,
            "roots.base": self.folder / "raw",
            "tokens.text_unit": self.text_unit,
        }
        encoders = token_settings(vision, self.general_clip, self.real_models)
        values |= {f"tokens.{key}": value for key, value in encoders.items()}
        return load_settings(PROJECT / "params.yaml", [f"{key}={value}" for key, value in values.items()])

    def make(self, cells: list[tuple[str, str]]) -> None:
        """Make what is missing: the world, its stages, the general CLIP, the texts and tokens of the cells."""
        self._base("captions" if any(text == "pocket" for _, text in cells) else "motion")
        general = self.general_clip
        if any(vision == "general" for vision, _ in cells) and not (general / "config.json").exists():
            from grace.pocket.train_general_clip import build

            assert self.real_models is not None
            progress("general CLIP: rendering and training, resumable")
            build(general, general.with_name(f"{general.name}-training"), self.real_models)
        for vision, text in cells:
            progress(f"{self.world.name}: {vision}, {text}")
            self._link(vision, text)
            if text != "pocket":
                noise = self.noise if text == "noisy" else None
                self._run(WrittenTexts(str(self.folder / "raw"), noise, self.world.seed), self.cell(vision, text))
            self._tokens(vision, text, cells)

    def _base(self, last: str) -> None:
        from grace.pipeline.datasets import root_of
        from grace.pipeline.index.index import index
        from grace.pipeline.world.world import make_world

        settings, base = self.settings(), self.folder / "base"
        make_world(settings.world, self.folder / "raw", settings.workers)
        index("base", root_of(settings.roots, "base"), base, workers=settings.workers)
        stages = ["faces", "motion"] + (["caption", "refine"] if last == "captions" else [])
        for stage in stages:
            self._run(make_step(stage, settings, "base"), base)

    def _link(self, vision: str, text: str) -> None:
        cell = self.cell(vision, text)
        cell.mkdir(parents=True, exist_ok=True)
        for name in (*OF_VIDEO, *(OF_POCKET_TEXTS if text == "pocket" else ())):
            if not (cell / name).exists():
                (cell / name).symlink_to((self.folder / "base" / name).resolve())

    def _tokens(self, vision: str, text: str, cells: list[tuple[str, str]]) -> None:
        from grace.pipeline.tokens.class_prompts import write_class_prompts

        settings = self.settings(vision)
        first = next(each for name, each in cells if name == vision)
        step = (
            TokensStep(settings.tokens)
            if text == first
            else SharedVideoTokens(settings.tokens, source=self.cell(vision, first))
        )
        self._run(step, self.cell(vision, text))
        write_class_prompts(self.cell(vision, text), step)

    def _run(self, step: Step, folder: Path) -> None:
        settings = self.settings()
        run(step, folder, size=settings.shards.clips, workers=settings.workers, max_failed=settings.max_failed)
