"""What a run makes of one clip: where each word's mass goes, and how probabilities change as the clip unfolds."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grace.pipeline.errors import UserError
from grace.pipeline.store import Row, Store, open_atomic, write_atomic
from grace.pipeline.store.checksum import PLACEHOLDER, seal, seal_file, unsealed, verify
from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.schemas import STORES, TOKENS
from grace.pipeline.tokens.settings import TokensSettings
from grace.review.catalogue import Catalogue
from grace.review.narrow import stamps
from grace.review.runs import RunFolds

if TYPE_CHECKING:
    from grace.trainer.classifier import TokenClassifier

_model_thread = ThreadPoolExecutor(1, "model")
"""One clip at a time, in one thread: PyTorch uses every core by itself, and keeps memory per calling thread."""

OWN_TOKENS = [column.name for column in TOKENS.all_columns if not column.name.startswith(("mirrored_", "other_"))]
"""Columns of a clip's own tokens: further views and texts, which are for training, are not read."""
COMPARED = 1024
"""Clips that are compared at a time."""
PATIENCE = 3.0
"""Seconds that a page waits for another that makes the means for the first time."""


def look(catalogue: Catalogue, clip: int, run: RunFolds, fold: int, tokens: TokensSettings) -> dict[str, Any]:
    """What a run makes of a clip, as plain values for the page.

    Args:
        catalogue: All clips.
        clip: The clip's number.
        run: The run.
        fold: The fold whose model is asked: the one that tests the clip, or 0 for the first.
        tokens: The settings that made the tokens.

    Returns:
        ``labels``, ``probabilities``, ``unfolding`` [T][K] (probabilities when every later instant is replaced by
        this one, that is, had the clip frozen there) and, where the method aligns words, ``words``: text, and
        ``lift`` [T, G, G] as base64 bytes, 255 for the largest of the word.

    Raises:
        UserError: The clip has no tokens, or they do not fit the run.
    """
    folder = run.folders.get(fold) or next(iter(run.folders.values()))
    return _model_thread.submit(_look, _row(catalogue, clip), folder, run.name, tokens).result()


def _look(row: Row, folder: Path, name: str, tokens: TokensSettings) -> dict[str, Any]:
    classifier = _open(folder, (folder / "config.yaml").stat().st_mtime_ns)
    probabilities, plan = classifier.predict(row)
    made: dict[str, Any] = {
        "run": name,
        "fold": classifier.run.fold,
        "labels": classifier.labels,
        "probabilities": probabilities.round(4).tolist(),
        "unfolding": _unfolding(classifier, row).round(4).tolist(),
        "words": [],
    }
    return made if plan is None else made | _words(row, plan, tokens)


def _row(catalogue: Catalogue, clip: int) -> Row:
    shard, clip_id = catalogue.shard(clip), catalogue.clip_id(clip)
    row: Row = {}
    for name in ("descriptions", "tokens", "motion"):
        store = Store(catalogue.folder / name, STORES[name])
        there = shard is not None and store.path(shard).exists()
        columns = OWN_TOKENS if name == "tokens" else None
        found = store.read_row(shard, clip_id, columns) if shard is not None and there else None
        if found is None or found["status"] == "failed":
            raise UserError(f"The clip has no {name}: {found['error'] if found else f'run `grace {name}` first'}.")
        row |= found
    return row


@lru_cache(maxsize=4)
def _open(folder: Path, _changed: int) -> TokenClassifier:
    from grace.trainer.classifier import TokenClassifier

    return TokenClassifier.from_pretrained(folder)


def _unfolding(classifier: TokenClassifier, row: Row) -> np.ndarray:
    """Probabilities [T, K] of the clip frozen at each of its instants."""
    import torch

    from grace.trainer.data import collate

    instants = len(row["visual"])
    unfolding = []
    device = next(classifier.model.parameters()).device
    for at in range(instants):  # one by one: T clips at once take gigabytes
        kept = np.minimum(np.arange(instants), at)
        changed = {
            name: row[name][kept]
            for name in ("visual", "frame", "motion", "visual_scale", "frame_scale", "patch_index")
            if row.get(name) is not None
        }
        with torch.inference_mode():
            logits = classifier.model(collate([row | changed]).to(device)).logits
        unfolding.append(logits[0].float().softmax(-1).cpu().numpy())
    return np.stack(unfolding)


def _words(row: Row, plan: np.ndarray, tokens: TokensSettings) -> dict[str, Any]:
    from grace.pipeline.visualize.alignment import aligned_words, lift

    words = aligned_words(row, plan, tokens)
    if not words:
        return {}
    average = np.mean([word.mass for word in words], axis=0)
    return {
        "grid": round(average.shape[1] ** 0.5),
        "words": [
            {
                "text": word.text,
                "lift": _base64(lift(word, average)),
                "moments": (word.mass.sum(1) / max(float(word.mass.sum()), 1e-12)).round(4).tolist(),
            }
            for word in words
        ],
    }


def _base64(values: np.ndarray) -> str:
    levels = np.clip(values / max(float(values.max()), 1e-12) * 255, 0, 255).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode()


class Neighbours:
    """Clips by how alike their frames are in token space: the cosine of their mean class tokens.

    The means of all clips lie in one file beside the data set, read a part at a time; it is made when first asked for,
    from one column of the tokens, and made again when a shard has changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def nearest(self, catalogue: Catalogue, clip: int, count: int = 6) -> list[tuple[int, float]]:
        """The numbers of the nearest clips, the nearest first, and their cosine; nothing where there are no tokens.

        Raises:
            UserError: The means are being made for another page, which takes a while.
        """
        if not self._lock.acquire(timeout=PATIENCE):
            raise UserError("The tokens of all clips are being compared for the first time: look again in a while.")
        try:
            path, ids = self._means()
        finally:
            self._lock.release()
        if catalogue.clip_id(clip) not in ids:
            return []
        own = ids.index(catalogue.clip_id(clip))
        width = (path.stat().st_size - len(PLACEHOLDER)) // (2 * len(ids))
        mean = np.fromfile(path, np.float16, width, offset=2 * width * own).astype(np.float32)
        likeness = np.concatenate([part.astype(np.float32) @ mean for part in _parts(path, len(ids), width)])
        likeness[own] = -2
        best = np.argsort(-likeness)[: count + 1]
        known = [(catalogue.positions.get(ids[at]), float(likeness[at])) for at in best if likeness[at] > -1.5]
        return [(number, value) for number, value in known if number is not None][:count]

    def _means(self) -> tuple[Path, list[str]]:
        """The file of the means, float16 [clips, D], and the ids of these clips; made where it is not up to date."""
        store = Store(self.folder / "tokens", STORES["tokens"])
        now = fingerprint(stamps(store))
        path = self.folder / "review" / "index" / "tokens.f16"
        names = path.with_suffix(".txt")
        if not _is_current(path, names, now):
            ids: list[str] = []
            with open_atomic(path) as file:
                for clip_id, mean in _class_means(store):
                    file.write(mean.tobytes())
                    ids.append(clip_id.replace("\n", " "))
                file.write(PLACEHOLDER.encode())
                seal_file(file)
            write_atomic(names, seal("\n".join([now, *ids]).encode()))
        return path, unsealed(names.read_bytes()).decode().split("\n")[1:]


def _is_current(path: Path, names: Path, now: str) -> bool:
    """Whether the means and their clips' ids are whole and were made from the shards as they are now."""
    try:
        verify(path, "it is made again")
        verify(names, "it is made again")
    except (OSError, UserError):
        return False
    return unsealed(names.read_bytes()).partition(b"\n")[0] == now.encode()


def _parts(path: Path, clips: int, width: int) -> Iterator[np.ndarray]:
    """The means [clips, D], some thousand clips at a time: a mapped file would count as memory once it is read."""
    with path.open("rb") as file:
        for start in range(0, clips, COMPARED):
            count = min(COMPARED, clips - start)
            yield np.fromfile(file, np.float16, count * width).reshape(count, width)


def _class_means(store: Store) -> Iterator[tuple[str, np.ndarray]]:
    """Every clip that has tokens, and the unit vector [D] of its mean class token."""
    for shard in store.shards():
        for row in store.read(shard, ["clip_id", "status", "frame", "frame_scale"]):
            if row["status"] == "failed":
                continue
            frame = row["frame"].astype(np.float32)
            if row.get("frame_scale") is not None:
                frame *= row["frame_scale"][:, None]
            mean = frame.mean(0)
            yield row["clip_id"], (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float16)
