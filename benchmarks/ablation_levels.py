"""The two axes of the bench: what the vision side knows of an expression, and how true the texts are.

``bench.md`` states what each level has to look like before any method runs on it, and where its knobs come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from zlib import crc32

import numpy as np
import pyarrow.parquet as pq

from benchmarks.harness import PROJECT
from grace.pipeline.execution.step import ClipStep
from grace.pipeline.store import Row
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.vocabulary import INTENSITIES, PHASES, REGIONS, Intensity, Phase, Region
from grace.pipeline.world.actions import ACTIONS, Action
from grace.pipeline.world.sentences import (
    MAX_CLAUSES,
    Clause,
    caption_from_clauses,
    cues_from_clauses,
    description_from_clauses,
    timeline_clauses,
)
from grace.pipeline.world.timeline import Event, Timeline

T = TypeVar("T")

VISIONS = ("general", "pocket", "dinov2")
"""General: DINOv2-small tuned with CLIP's loss on whole pictures and alternative texts
(``pocket/train_general_clip.py``). Pocket: the CLIP of the demo, trained on the true actions. DINOv2-small as it is:
real, general and unaligned. Beside both DINOv2s, MiniLM encodes the texts."""

TEXTS = ("true", "noisy", "pocket")
"""True: descriptions written from the truth. Noisy: the same, with misses and inventions at the rates of real captions.
Pocket: what the demo's VLM and LLM write."""

TWO_SPACES = ("general", "dinov2")
"""Levels whose video and texts have encoders of their own."""

GENERAL_VISION = ("general", "dinov2")
DECIDING = (("general", "noisy"), ("dinov2", "noisy"))
"""The cells that decide, named before any run: three seeds there."""


def token_settings(vision: str, general_clip: Path, real_models: Path | None) -> dict[str, Any]:
    """The section ``tokens`` of a level of vision."""
    if vision == "pocket":
        return {"model": str(PROJECT / "pocket/clip")}
    assert real_models is not None
    return {
        "vision": str(general_clip if vision == "general" else real_models / "dinov2-small"),
        "text_encoder": str(real_models / "minilm"),
        "image_size": 112,
    }


@dataclass(frozen=True)
class Noise:
    """How a caption model errs.

    ``named`` is the share of real captions that name a region at all (``docs/audit.md``); ``seen`` the share of the
    movements there that it sees, ``confused`` the share of those that it takes for another movement of the region,
    ``invented`` the mean number of movements that it makes up. Words of intensity, phase and time are drawn again with
    ``vague``.
    """

    named: Mapping[str, float] = field(
        default_factory=lambda: {
            "brows": 0.54, "eyes": 0.87, "nose": 0.002, "cheeks": 0.002, "mouth": 0.90, "jaw": 0.03
        }
    )  # fmt: skip
    seen: float = 0.75
    confused: float = 0.30
    invented: float = 1.0
    vague: float = 0.4

    def clauses(self, true: Sequence[Clause], rng: np.random.Generator) -> tuple[Clause, ...]:
        """What the model would say of a clip of which ``true`` holds."""
        said = []
        for clause in true:
            if rng.random() < self.named[clause.action.region] * self.seen:
                action = self._of_region(clause.action.region, rng) if rng.random() < self.confused else clause.action
                said.append(Clause(action, *self._manner(clause, rng)))
        weights = np.array([self.named[region] for region in REGIONS])
        for _ in range(rng.poisson(self.invented)):
            region = REGIONS[rng.choice(len(REGIONS), p=weights / weights.sum())]
            third = int(rng.integers(3))
            said.append(Clause(self._of_region(region, rng), _one_of(INTENSITIES, rng), _one_of(PHASES, rng), third))
        once = {clause.action.name: clause for clause in said}
        return tuple(sorted(once.values(), key=lambda clause: clause.third)[:MAX_CLAUSES])

    def _manner(self, clause: Clause, rng: np.random.Generator) -> tuple[Intensity, Phase, int]:
        level = _one_of(INTENSITIES, rng) if rng.random() < self.vague else clause.level
        phase = _one_of(PHASES, rng) if rng.random() < self.vague else clause.phase
        third = int(rng.integers(3)) if rng.random() < self.vague else clause.third
        return level, phase, third

    @staticmethod
    def _of_region(region: Region, rng: np.random.Generator) -> Action:
        return _one_of([action for action in ACTIONS if action.region == region], rng)


def _one_of(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]


@dataclass
class WrittenTexts(ClipStep):
    """Descriptions written from a world's truth: as it is, or with the ``noise`` of a caption model."""

    root: str
    noise: Noise | None
    seed: int

    name: ClassVar = "refine"
    version: ClassVar = 101
    schema: ClassVar = DESCRIPTIONS
    folder: ClassVar = "descriptions"
    reads: ClassVar = {"faces": ("found",)}
    truth: dict[str, Timeline] = field(default_factory=dict, init=False, repr=False)

    def cache_key(self) -> dict[str, Any]:
        """The noise, and the seed of its draws."""
        return {"noise": asdict(self.noise) if self.noise else None, "seed": self.seed}

    def open(self) -> None:
        """Read the truth."""
        self.truth = timelines(Path(self.root))

    def clip(self, row: Row) -> Row:
        """The texts of one clip."""
        clauses = timeline_clauses(self.truth[row["clip_id"]])
        if self.noise is not None:
            rng = np.random.default_rng((self.seed, crc32(row["clip_id"].encode())))
            clauses = self.noise.clauses(clauses, rng)
        return {
            "clip_id": row["clip_id"], "status": "ok", "error": "",
            "caption": caption_from_clauses(clauses),
            "description": description_from_clauses(clauses),
            "cues": cues_from_clauses(clauses),
            "engine": "truth", "model": "", "prompt": "", "label_visible": False, "attempts": 1,
        }  # fmt: skip


def timelines(root: Path) -> dict[str, Timeline]:
    """The expression of each clip of a world, by id."""
    found = {}
    for row in pq.read_table(root / "truth/clips.parquet", columns=["clip_id", "events", "duration"]).to_pylist():
        names = ("action", "intensity", "onset", "apex_start", "apex_end", "offset")
        events = tuple(Event(**{name: event[name] for name in names}) for event in row["events"])
        found[row["clip_id"]] = Timeline(events, row["duration"])
    return found
