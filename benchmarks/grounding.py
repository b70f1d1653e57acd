"""Alignment points right: where the mass of a word that names a part of the face lands, against the world's truth.

For every such word ("brows", "lips", …) of the test clips' descriptions: the share of its mass on the patches of that
part (drawn where the renderer put it), on the instants at which the part truly moves, and on both together; each over
chance, which is the part's share of the crop's area, of the clip's instants, and their product. Four ways to send the
mass: the plan of `grace`; of `grace` trained with the visual marginal held exactly (marginal_relaxation infinite); of
`grace` trained with cross-attention in the place of transport; and plain cosine of the cached CLIP tokens,
softmax(cos/epsilon), which nothing was trained for.

    python -m benchmarks.grounding [--quick] [--data data/demo] [--root raw/demo] [--folds 1,2]

Ends with one line of JSON: grounding_lift, mass on the part over chance for `grace` (goal >= 4, and ahead of
cross-attention_lift and cosine_lift where vision is general).

--quick takes 91 s of processor time; the full run trains 6 times for 30 epochs instead of 3 times for 5.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Bool, Float
from rich.table import Table

from benchmarks.harness import PROJECT, Benchmark, add_world_options, table
from grace.pipeline.store import Row, Store, UserError
from grace.pipeline.store.schemas import FACES, MOTION, TOKENS
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.visualize.alignment import aligned_words
from grace.pipeline.vocabulary import REGIONS
from grace.pipeline.world.actions import ACTIONS
from grace.settings import load_settings
from grace.trainer.classifier import TokenClassifier
from grace.trainer.data import Cache, scatter_to_grid
from grace.trainer.protocol import split
from grace.trainer.runs import fold_folder
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train

NAMED = {
    **dict.fromkeys(("brow", "brows", "eyebrow", "eyebrows", "forehead"), "brows"),
    **dict.fromkeys(("eye", "eyes", "eyelid", "eyelids", "lid", "lids"), "eyes"),
    **dict.fromkeys(("cheek", "cheeks"), "cheeks"),
    **dict.fromkeys(("mouth", "lip", "lips"), "mouth"),
    **dict.fromkeys(("jaw", "chin"), "jaw"),
    "nose": "nose",
}
MOVING = 0.1
"""Intensity of an action from which its part counts as moving."""

TRAINED: dict[str, dict[str, Any]] = {
    "grace": {},
    "columns held exactly": {"marginal_relaxation": math.inf},
    "cross-attention": {"transport": False},
}
"""Ways that are trained, and what each changes in the settings."""

WAYS = (*TRAINED, "cosine")


@dataclass(frozen=True)
class Landing:
    """One word of one clip: its part, and share of mass and chance for the part, the moment, and both."""

    way: str
    region: str
    mass: tuple[float, float, float]
    chance: tuple[float, float, float]


BENCHMARK = Benchmark(
    "grounding",
    __doc__,
    keys=("grounding_lift", "cross-attention_lift", "cosine_lift"),
    quick="one fold, few epochs",
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    add_world_options(options, PROJECT / "data/demo", PROJECT / "raw/demo", folds="1,2")
    options.add_argument("--work", type=Path, default=PROJECT / "data/grounding", help="where the runs are kept")
    return options


def main() -> None:
    """Train what is missing, measure, print the table and the line of JSON."""
    args = parser().parse_args()
    folds = args.folds[:1] if args.quick else args.folds
    settings = TrainSettings().model_copy(update={"epochs": 5 if args.quick else 30})
    landings = [landing for fold in folds for landing in measured(args.data, args.root, args.work, settings, fold)]
    if not landings:
        raise UserError(f"No test clip of {args.data} has a word that names a part of the face.")
    lifts = {way: [round(lift, 3) for lift in lift_of(landings, way)] for way in WAYS}
    figures = {
        "grounding_lift": lifts["grace"][0],
        "moment_lift": lifts["grace"][1],
        "both_lift": lifts["grace"][2],
        **{f"{way.replace(' ', '_')}_lift": lifts[way][0] for way in WAYS[1:]},
        **{f"{way.replace(' ', '_')}_moment_lift": lifts[way][1] for way in WAYS[1:]},
        "words": sum(landing.way == "grace" for landing in landings),
    }
    BENCHMARK.report(figures, keep=not args.quick, tables=[lift_table(landings)])


def measured(data: Path, root: Path, work: Path, settings: TrainSettings, fold: int) -> Iterator[Landing]:
    """Every region word of the test clips of a fold, each way."""
    name = "quick" if settings.epochs < TrainSettings().epochs else "runs"
    classifiers = {}
    for way, changed in TRAINED.items():
        runs = work / name / way.replace(" ", "-")
        train(data, settings.model_copy(update=changed), fold, runs)
        classifiers[way] = TokenClassifier.from_pretrained(fold_folder(runs, "grace", fold))
    clips = set(split(Cache(data), fold, settings).test.clip_ids)
    tokens = load_settings(PROJECT / "params.yaml").tokens
    yield from landings_of(data, root, classifiers, tokens, clips, settings.epsilon)


def landings_of(
    data: Path,
    root: Path,
    classifiers: Mapping[str, TokenClassifier],
    tokens: TokensSettings,
    clips: set[str],
    epsilon: float,
) -> Iterator[Landing]:
    """Every region word of the clips, for each classifier's plan and, in a shared space, for plain cosine."""
    frames = truth(root)
    for row in rows(data, clips):
        region, moving = where_and_when(row, frames[row["clip_id"]], side=_side(row))
        plans = {way: classifier.predict(row)[1] for way, classifier in classifiers.items()}
        if tokens.vision is None and tokens.text_encoder is None:
            plans["cosine"] = scatter_to_grid(cosine(row, epsilon), row)
        for way, plan in plans.items():
            assert plan is not None
            for word in aligned_words(row, plan, tokens):
                part = NAMED.get(word.text)
                if part is not None and moving[part].any():
                    yield landed(way, part, word.mass, region[part], moving[part])


def rows(data: Path, clips: set[str]) -> Iterator[Row]:
    """The named clips with faces, motion and tokens in one row, shard by shard."""
    stores = [
        Store(data / folder, schema) for folder, schema in (("faces", FACES), ("motion", MOTION), ("tokens", TOKENS))
    ]
    for shard in stores[0].shards():
        for together in zip(*(store.read(shard) for store in stores), strict=True):
            if together[0]["clip_id"] in clips:
                yield {**together[0], **together[1], **together[2]}


def truth(root: Path, columns: tuple[str, ...] = ("time", "actions", "regions")) -> dict[str, list[Row]]:
    """The truth of each clip's frames, as far as ``columns`` tell it.

    Raises :class:`UserError` when ``root`` is no rendered world.
    """
    path = root / "truth/frames.parquet"
    if not path.exists():
        raise UserError(f"{path} is missing: name the folder of a rendered world with --root.")
    found: dict[str, list[Row]] = {}
    for row in pq.read_table(path, columns=["clip_id", *columns]).to_pylist():
        found.setdefault(row["clip_id"], []).append(row)
    return found


def where_and_when(
    row: Row, frames: list[Row], side: int
) -> tuple[dict[str, Float[np.ndarray, "instants patches"]], dict[str, Bool[np.ndarray, " instants"]]]:
    """For each part of the face: how much of each patch it covers at each instant, and whether it moves then."""
    times = np.array([frame["time"] for frame in frames])
    at = [int(np.abs(times - time).argmin()) for time in row["times"]]
    boxes = np.array([frames[k]["regions"] for k in at]).reshape(len(at), len(REGIONS), 4)
    actions = np.array([frames[k]["actions"] for k in at])
    crop = np.asarray(row["boxes"], dtype=np.float64)
    size = np.stack([crop[:, 2] - crop[:, 0], crop[:, 3] - crop[:, 1]], axis=1)
    region: dict[str, np.ndarray] = {}
    moving: dict[str, np.ndarray] = {}
    for place, name in enumerate(REGIONS):
        low, high = ((boxes[:, place, k : k + 2] - crop[:, :2]) / size * side for k in (0, 2))
        edges = np.arange(side)
        covered = [
            np.clip(np.minimum(high[:, [k]], edges + 1) - np.maximum(low[:, [k]], edges), 0, 1) for k in (0, 1)
        ]  # share of each column, of each row
        region[name] = (covered[1][:, :, None] * covered[0][:, None, :]).reshape(len(at), -1)
        of_part = [number for number, action in enumerate(ACTIONS) if action.region == name]
        moving[name] = np.any(actions[:, of_part] > MOVING, axis=1)
    return region, moving


def landed(
    way: str,
    part: str,
    mass: Float[np.ndarray, "instants patches"],
    region: Float[np.ndarray, "instants patches"],
    moving: Bool[np.ndarray, " instants"],
) -> Landing:
    """Share of a word's mass on its part, its moment, both; and the shares that even mass would have there."""
    even = np.full_like(mass, 1 / mass.size)

    def shares(values: Float[np.ndarray, "instants patches"]) -> tuple[float, float, float]:
        on_part = (values * region).sum(1)
        return float(on_part.sum()), float(values[moving].sum()), float(on_part[moving].sum())

    return Landing(way, part, shares(mass), shares(even))


def cosine(row: Row, epsilon: float) -> Float[np.ndarray, "text instants patches"]:
    """softmax(cos/ε) of every text token over all patches of the clip, on the cached tokens as they are."""
    visual, text = (_unit(row, name) for name in ("visual", "text"))
    scores = np.einsum("ld,tpd->ltp", text, visual) / epsilon
    weights = np.exp(scores - scores.max((1, 2), keepdims=True))
    shares: np.ndarray = weights / weights.sum((1, 2), keepdims=True)
    return shares


def lift_of(landings: list[Landing], way: str, part: str | None = None) -> tuple[float, float, float]:
    """Mass over chance for the part, the moment, and both; words count alike."""
    selected = [one for one in landings if one.way == way and part in (None, one.region)]
    mass, chance = (np.array([getattr(one, name) for one in selected]).mean(0) for name in ("mass", "chance"))
    part_lift, moment, both = (mass / chance).tolist()
    return part_lift, moment, both


def lift_table(landings: list[Landing]) -> Table:
    """One row per way, then one row per part of the face for ``grace``."""

    def row(name: str, way: str, part: str | None = None) -> list[str]:
        selected = [one for one in landings if one.way == way and part in (None, one.region)]
        share = np.mean([one.mass[0] for one in selected])
        return [name, str(len(selected)), *(f"{lift:.2f}" for lift in lift_of(landings, way, part)), f"{share:.1%}"]

    named = {one.region for one in landings if one.way == "grace"}
    parts = [row(f"grace, {part}", "grace", part) for part in REGIONS if part in named]
    return table(
        "mass of words that name a part of the face, over chance",
        ("", "words", "part", "moment", "both", "mass on part"),
        [*(row(way, way) for way in WAYS), None, *parts],
    )


def _side(row: Row) -> int:
    """Patches a side of the whole grid."""
    return int(row["grid"][0]) if "grid" in row else round(row["visual"].shape[1] ** 0.5)


def _unit(row: Row, name: str) -> np.ndarray:
    values = np.asarray(row[name], dtype=np.float32)
    if f"{name}_scale" in row:
        values = values * row[f"{name}_scale"][..., None]
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-9)


if __name__ == "__main__":
    main()
