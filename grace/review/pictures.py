"""Pictures of one clip: a filmstrip, which is kept on disk, and its crops."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash

from grace.pipeline.errors import ClipError
from grace.pipeline.media.images import BGRImage, decode_crop, encode_jpeg
from grace.pipeline.store import Row, Store, write_atomic
from grace.pipeline.store.schemas import FACES
from grace.review.catalogue import Catalogue

STRIP, SIDE = 6, 96
"""Crops of a filmstrip, and the side of each in pixels."""
QUALITY = 82
MAX_STRIPS = 20_000
"""Filmstrips that are kept on disk, about 15 kB each; beyond, the oldest tenth is removed."""

_written = itertools.count(1)
_one_writer = threading.Lock()


def faces_row(catalogue: Catalogue, clip: int, columns: Sequence[str]) -> Row | None:
    """Columns of a clip's row of ``faces``; None where it has none or failed."""
    stage = catalogue.stages["faces"]
    if stage.status[clip] not in (0, 1):
        return None
    shard = stage.value(clip, "shard")
    return Store(catalogue.folder / "faces", FACES).read_row(shard, catalogue.clip_id(clip), columns)


def filmstrip(catalogue: Catalogue, clip: int) -> bytes | None:
    """A few of the clip's crops side by side as a JPEG, made once per shard's version; None where it has none."""
    stage = catalogue.stages["faces"]
    if stage.status[clip] not in (0, 1):
        return None
    shard = stage.value(clip, "shard")
    path = kept_path(catalogue, clip, catalogue.folder / "faces" / f"{shard:05d}.h5", "strips", ".jpg")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        row = faces_row(catalogue, clip, ["frames"])
    if row is None:
        return None
    content = _strip(row["frames"])
    keep(path, content, MAX_STRIPS)
    return content


def kept_path(catalogue: Catalogue, clip: int, source: Path, kind: str, suffix: str) -> Path:
    """Where something made from a clip is kept; another place once the file that it is made from has changed."""
    state = source.stat()
    key = xxhash.xxh3_128_hexdigest(f"{catalogue.clip_id(clip)}\0{state.st_mtime_ns}\0{state.st_size}".encode())
    return catalogue.folder / "review" / kind / key[:2] / f"{key}{suffix}"


def keep(path: Path, content: bytes, most: int) -> None:
    """Keep something made from a clip; now and then the oldest are removed where there are more than ``most``."""
    with _one_writer:
        write_atomic(path, content)
        if next(_written) % 200 == 0:
            _trim(path.parent.parent, most)


def _strip(frames: Sequence[bytes]) -> bytes:
    import cv2

    chosen = np.linspace(0, len(frames) - 1, STRIP).round().astype(int)
    tiles = []
    for at in chosen:
        try:
            crop = decode_crop(frames[at], "bgr")
            tiles.append(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        except ClipError:
            tiles.append(np.full((SIDE, SIDE, 3), 128, np.uint8))
    return encode_jpeg(np.concatenate(tiles, axis=1), QUALITY)


def _trim(folder: Path, most: int) -> None:
    kept = sorted(folder.glob("*/*"), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[: len(kept) - most + most // 10] if len(kept) > most else ():
        path.unlink(missing_ok=True)


def crops(catalogue: Catalogue, clip: int) -> bytes | None:
    """All crops of a clip side by side at their own size, as one JPEG; None where it has none."""
    row = faces_row(catalogue, clip, ["frames"])
    if row is None:
        return None
    pictures: list[BGRImage | None] = []
    for encoded in row["frames"]:
        try:
            pictures.append(decode_crop(encoded, "bgr"))
        except ClipError:
            pictures.append(None)
    side = next((picture.shape[0] for picture in pictures if picture is not None), SIDE)
    blank = np.full((side, side, 3), 128, np.uint8)
    return encode_jpeg(np.concatenate([blank if each is None else each for each in pictures], axis=1), 90)
