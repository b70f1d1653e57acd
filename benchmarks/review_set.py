"""A data set of any size for the review page, cheaply: real shards and a finished run, of drawn numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from grace.pipeline.store import Row, Store, fingerprint, write_atomic, write_clips, write_table
from grace.pipeline.store.schemas import PREDICTIONS, STORES
from grace.trainer.batch import Sizes
from grace.trainer.runs import RunConfig, encode_config, file_digests
from grace.trainer.settings import TrainSettings

LABELS = ["happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"]
INSTANTS, GRID, WIDTH, WORDS, SIDE = 16, 4, 16, 12, 64
SHARD = 32
PARTS = ("brows", "eyelids", "lip corners", "lips", "cheeks", "jaw", "nose")
MOVES = ("rise slightly", "lower clearly", "part", "press together", "wrinkle strongly", "relax again", "drop")


def make_set(folder: Path, clips: int, seed: int = 0) -> None:
    """Write ``clips.parquet``, the five stores and a run of ``grace`` into ``data/<dataset>``."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(LABELS), clips)
    ids = [f"{number // 1000:03d}/{number:06d}" for number in range(clips)]
    write_clips(folder, [_clip(ids[k], k, int(labels[k])) for k in range(clips)], LABELS)
    pictures = [_jpeg(random) for _ in range(64)]
    for shard in range(-(-clips // SHARD)):
        numbers = range(shard * SHARD, min(clips, (shard + 1) * SHARD))
        rows = {name: [_row(name, ids[k], random, pictures) for k in numbers] for name in STORES}
        for name, made in rows.items():
            meta = {"version": 1, "cache_key": {"model": "drawn"}, "fingerprint": fingerprint([name, shard, seed])}
            Store(folder / name, STORES[name]).write(shard, made, meta)
    write_run(folder / "runs" / "grace" / "fold-1", ids, labels, random)


def _clip(clip_id: str, number: int, label: int) -> Row:
    part = {"fold_1": "test"}
    return {
        "clip_id": clip_id, "status": "ok", "error": "", "path": f"{clip_id}.mp4", "source": "video", "n_frames": 60,
        "fps": 25.0, "width": 640, "height": 480, "content": "", "label": LABELS[label], "label_id": label,
        "subject": f"person-{number % 900:03d}", "annotated_frames": -1, "caption_human": "", **part,
    }  # fmt: skip


def _jpeg(random: np.random.Generator) -> bytes:
    small = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    picture = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def _row(store: str, clip_id: str, random: np.random.Generator, pictures: list[bytes]) -> Row:
    failed = int(clip_id[-6:]) % 199 == 0
    key = {"clip_id": clip_id, "status": "ok", "error": ""}
    if failed:
        return {**key, "status": "failed", "error": "faces: the video is empty"}
    if store == "faces":
        frames = [pictures[k] for k in random.integers(0, len(pictures), INSTANTS)]
        boxes = np.tile(np.float32([200, 100, 440, 340]), (INSTANTS, 1))
        times = np.linspace(0.1, 2.3, INSTANTS, dtype=np.float32)
        few = int(clip_id[-6:]) % 41 == 0
        cause = {"status": "fallback", "error": f"faces: the face was found in only {clip_id[-1]} of 16 instants"}
        return {
            **key, **(cause if few else {}), "frames": frames, "neighbours": frames, "boxes": boxes, "times": times,
            "size": np.int32([640, 480]), "found": np.ones(INSTANTS, bool),
        }  # fmt: skip
    if store in ("captions", "descriptions"):
        text = " ".join(_sentence(random) for _ in range(3))
        return {**key, "caption": text, "description": text, "engine": "transformers", "model": "drawn"}
    if store == "motion":
        return {**key, "motion": random.random((INSTANTS, GRID, GRID)), "cut": np.zeros(INSTANTS, bool)}
    return {
        **key,
        "visual": random.normal(size=(INSTANTS, GRID * GRID, WIDTH)).astype(np.float16),
        "frame": random.normal(size=(INSTANTS, WIDTH)).astype(np.float16),
        "text": random.normal(size=(WORDS, WIDTH)).astype(np.float16),
        "text_mask": np.ones(WORDS, bool),
        "text_id": np.arange(300, 300 + WORDS, dtype=np.int32),
        "sentence": np.zeros(WORDS, np.int16),
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
) -> None:
    """A finished run with weights as they are drawn, and predictions that are right in three of four clips."""
    import torch
    from safetensors.torch import save

    from grace.trainer.layers import ModelConfig
    from grace.trainer.methods import build

    settings = TrainSettings(method="grace", hidden=16, layers=1, heads=2)
    torch.manual_seed(0)
    model = build(ModelConfig.from_settings(settings, Sizes(len(names), INSTANTS, GRID * GRID, WIDTH)))
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
