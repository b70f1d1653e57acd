"""A data set of any size for the review page, cheaply: real shards and finished runs, of drawn numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from grace.pipeline.store import Row, Store, fingerprint, write_atomic, write_clips, write_table
from grace.pipeline.store.schemas import PREDICTIONS, STORES
from grace.trainer.batch import Sizes
from grace.trainer.runs import RunConfig, encode_config, file_digests
from grace.trainer.settings import TrainSettings

LABELS = ["happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"]
SHARD = 32


@dataclass(frozen=True)
class ClipSizes:
    """How much a clip's rows hold: T instants, G × G patches, tokens of D numbers, L words, crops of so many pixels."""

    instants: int
    grid: int
    width: int
    words: int
    side: int


SMALL = ClipSizes(instants=16, grid=4, width=16, words=12, side=64)
REAL = ClipSizes(instants=16, grid=14, width=512, words=128, side=224)
"""As CLIP's ViT-B/16 makes them by the default settings: 3.2 MB of tokens per clip, about 100 MB per shard."""
BARE = ClipSizes(instants=1, grid=1, width=512, words=1, side=64)
"""Tokens as wide as real ones and no more of them: enough for neighbours, on 1 % of the disk."""
SPOKEN = 48
"""Words that a text has at most; the rest of a real row is padding."""
OTHERS = [name for name in STORES if name != "tokens"]
PARTS = ("brows", "eyelids", "lip corners", "lips", "cheeks", "jaw", "nose")
MOVES = ("rise slightly", "lower clearly", "part", "press together", "wrinkle strongly", "relax again", "drop")


def make_set(folder: Path, clips: int, seed: int = 0, real: int = 0, methods: Sequence[str] = ("grace",)) -> None:
    """Write ``clips.parquet``, the five stores and a run of each method into ``data/<dataset>``.

    Where ``real`` is not 0, so many shards, the first, are of the sizes of a real set, and the runs fit them: what a
    page takes for one of their clips is what it takes in a real set. Tokens of all others are :data:`BARE` then.
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(LABELS), clips)
    ids = [f"{number // 1000:03d}/{number:06d}" for number in range(clips)]
    write_clips(folder, [_clip(ids[k], k, int(labels[k])) for k in range(clips)], LABELS)
    kinds = (SMALL, REAL) if real else (SMALL,)
    pictures = {sizes: [_jpeg(random, sizes.side) for _ in range(64)] for sizes in kinds}
    for shard in range(math.ceil(clips / SHARD)):
        numbers = range(shard * SHARD, min(clips, (shard + 1) * SHARD))
        sizes = REAL if shard < real else SMALL
        rows = {name: [_row(name, ids[k], random, pictures[sizes], sizes) for k in numbers] for name in OTHERS}
        of_tokens = BARE if real and shard >= real else sizes
        rows["tokens"] = [_tokens(ids[k], random, of_tokens) for k in numbers]
        for name, made in rows.items():
            meta = {"cache_key": {"model": "drawn"}, "fingerprint": fingerprint([name, shard, seed])}
            Store(folder / name, STORES[name]).write(shard, made, meta)
    for method in methods:
        of_run = REAL if real else SMALL
        write_run(folder / "runs" / method / "fold-1", ids, labels, random, method=method, sizes=of_run)


def _clip(clip_id: str, number: int, label: int) -> Row:
    part = {"fold_1": "test"}
    return {
        "clip_id": clip_id, "status": "ok", "error": "", "path": f"{clip_id}.mp4", "source": "video", "n_frames": 60,
        "fps": 25.0, "width": 640, "height": 480, "content": "", "label": LABELS[label], "label_id": label,
        "subject": f"person-{number % 900:03d}", "annotated_frames": -1, "caption_human": "", **part,
    }  # fmt: skip


def _jpeg(random: np.random.Generator, side: int) -> bytes:
    small = random.integers(0, 256, (side // 10, side // 10, 3), dtype=np.uint8)
    picture = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _key(clip_id: str) -> Row:
    failed = int(clip_id[-6:]) % 199 == 0
    cause = {"status": "failed", "error": "faces: the video is empty"}
    return {"clip_id": clip_id, **(cause if failed else {"status": "ok", "error": ""})}


def _row(store: str, clip_id: str, random: np.random.Generator, pictures: list[bytes], sizes: ClipSizes) -> Row:
    key, instants = _key(clip_id), sizes.instants
    if key["status"] == "failed":
        return key
    if store == "faces":
        frames = [pictures[k] for k in random.integers(0, len(pictures), instants)]
        boxes = np.tile(np.array([200, 100, 440, 340], np.float32), (instants, 1))
        times = np.linspace(0.1, 2.3, instants, dtype=np.float32)
        few = int(clip_id[-6:]) % 41 == 0
        cause = {"status": "fallback", "error": f"faces: the face was found in only {clip_id[-1]} of 16 instants"}
        return {
            **key, **(cause if few else {}), "frames": frames, "neighbours": frames, "boxes": boxes, "times": times,
            "size": np.array([640, 480], np.int32), "found": np.ones(instants, bool),
        }  # fmt: skip
    if store in ("captions", "descriptions"):
        text = " ".join(_sentence(random) for _ in range(3))
        return {**key, "caption": text, "description": text, "engine": "transformers", "model": "drawn"}
    motion = random.random((instants, sizes.grid, sizes.grid))
    return {**key, "motion": motion, "cut": np.zeros(instants, bool)}


def _tokens(clip_id: str, random: np.random.Generator, sizes: ClipSizes) -> Row:
    key, words = _key(clip_id), sizes.words
    if key["status"] == "failed":
        return key
    return {
        **key,
        "visual": random.normal(size=(sizes.instants, sizes.grid**2, sizes.width)).astype(np.float16),
        "frame": random.normal(size=(sizes.instants, sizes.width)).astype(np.float16),
        "text": random.normal(size=(words, sizes.width)).astype(np.float16),
        "text_mask": np.arange(words) < SPOKEN,
        "text_id": np.arange(300, 300 + words, dtype=np.int32),
        "sentence": np.where(np.arange(words) < SPOKEN, 0, -1).astype(np.int16),
    }


def _sentence(random: np.random.Generator) -> str:
    first, second = random.integers(0, len(PARTS), 2)
    return f"The {PARTS[first]} {MOVES[random.integers(len(MOVES))]}, then the {PARTS[second]} relax."


def write_run(
    folder: Path,
    ids: list[str],
    labels: np.ndarray,
    random: np.random.Generator,
    fold: int = 1,
    names: Sequence[str] = LABELS,
    method: str = "grace",
    sizes: ClipSizes = SMALL,
) -> None:
    """A finished run with weights as they are drawn, and predictions that are right in three of four clips."""
    import torch
    from safetensors.torch import save

    from grace.trainer.layers import ModelConfig
    from grace.trainer.methods import build

    small: dict[str, Any] = {"hidden": 16, "layers": 1, "heads": 2} if sizes == SMALL else {}
    settings = TrainSettings(method=method, **small)
    torch.manual_seed(0)
    model = build(ModelConfig.from_settings(settings, Sizes(len(names), sizes.instants, sizes.grid**2, sizes.width)))
    right = random.random(len(ids)) < 0.75
    predicted = np.where(right, labels, random.integers(0, len(names), len(ids)))
    rows: list[Row] = []
    for number, clip_id in enumerate(ids):
        shares = random.dirichlet(np.ones(len(names)))
        best = int(shares.argmax())
        shares[[best, predicted[number]]] = shares[[predicted[number], best]]
        row = {"clip_id": clip_id, "status": "ok", "error": "", "fold": fold, "label_visible": False}
        row |= {"label": names[labels[number]], "predicted": names[predicted[number]], "probabilities": shares}
        rows.append(row)
    write_atomic(folder / "model.safetensors", save(model.state_dict()))
    write_table(folder / "predictions.parquet", PREDICTIONS, rows, {"fingerprint": "drawn"})
    history = "epoch,loss,validation_uar\n" + "".join(f"{k},{2 / k:.3f},{1 - 1 / k:.3f}\n" for k in range(1, 31))
    write_atomic(folder / "history.csv", history.encode())
    write_atomic(folder / "metrics.json", b"{}\n")
    write_atomic(folder / "README.md", b"drawn\n")
    config = RunConfig(
        version=1, fingerprint="drawn", fold=fold, protocol="held-out", labels=list(names), model=asdict(model.config),
        settings=settings, cache={}, inputs={}, files=file_digests(folder),
    )  # fmt: skip
    write_atomic(folder / "config.yaml", encode_config(config))
