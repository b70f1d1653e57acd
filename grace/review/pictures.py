"""Pictures of one clip: a filmstrip (kept on disk), its crops, whole frames at its instants, and the video's path."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash

from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.media.files import link_out
from grace.pipeline.media.images import decode_crop, encode_jpeg
from grace.pipeline.store import Row, Store, write_atomic
from grace.pipeline.store.schemas import FACES
from grace.review.catalogue import Catalogue

STRIP, SIDE = 6, 96
"""Crops of a filmstrip, and the side of each in pixels."""
QUALITY = 82
MAX_STRIPS = 20_000
"""Filmstrips that are kept on disk, about 15 kB each; beyond, the oldest tenth is removed."""
PLAYABLE = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm", ".mov": "video/mp4", ".ogv": "video/ogg"}
"""Suffixes of files that a browser may be able to play, and what they are served as."""

_written = itertools.count(1)


def faces_row(catalogue: Catalogue, clip: int, columns: Sequence[str]) -> Row | None:
    """Columns of a clip's row of ``faces``; None where it has none or failed."""
    stage = catalogue.stages["faces"]
    if stage.status[clip] not in (0, 1):
        return None
    shard, row = stage.value(clip, "shard"), stage.value(clip, "row")
    rows = Store(catalogue.folder / "faces", FACES).read(shard, ["clip_id", *columns])
    found = rows[row] if row < len(rows) else None
    return found if found is not None and found["clip_id"] == catalogue.clip_id(clip) else None


def filmstrip(catalogue: Catalogue, clip: int) -> bytes | None:
    """A few of the clip's crops side by side as a JPEG, made once per shard's version; None where it has none."""
    stage = catalogue.stages["faces"]
    if stage.status[clip] not in (0, 1):
        return None
    shard = stage.value(clip, "shard")
    state = (catalogue.folder / "faces" / f"{shard:05d}.h5").stat()
    key = xxhash.xxh3_128_hexdigest(f"{catalogue.clip_id(clip)}\0{state.st_mtime_ns}\0{state.st_size}".encode())
    folder = catalogue.folder / "review" / "strips"
    path = folder / key[:2] / f"{key}.jpg"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    row = faces_row(catalogue, clip, ["frames"])
    if row is None:
        return None
    content = _strip(row["frames"])
    write_atomic(path, content)
    if next(_written) % 500 == 0:
        _trim(folder)
    return content


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


def _trim(folder: Path) -> None:
    """Remove the oldest filmstrips where there are more than :data:`MAX_STRIPS`."""
    kept = sorted(folder.glob("*/*.jpg"), key=lambda path: path.stat().st_mtime_ns)
    for path in kept[: max(0, len(kept) - MAX_STRIPS + MAX_STRIPS // 10)] if len(kept) > MAX_STRIPS else ():
        path.unlink(missing_ok=True)


def crops(catalogue: Catalogue, clip: int) -> bytes | None:
    """All crops of a clip side by side at their own size, as one JPEG; None where it has none."""
    row = faces_row(catalogue, clip, ["frames"])
    if row is None:
        return None
    pictures = []
    for encoded in row["frames"]:
        try:
            pictures.append(decode_crop(encoded, "bgr"))
        except ClipError:
            pictures.append(None)
    side = next((picture.shape[0] for picture in pictures if picture is not None), SIDE)
    blank = np.full((side, side, 3), 128, np.uint8)
    return encode_jpeg(np.concatenate([blank if each is None else each for each in pictures], axis=1), 90)


def clip_path(catalogue: Catalogue, clip: int, root: Path | None) -> Path:
    """Where the clip's video or folder of frames lies.

    Raises:
        UserError: There is no root, or a link takes the clip out of it.
    """
    if root is None:
        raise UserError("The set's root is not known: set roots.<dataset> in params.yaml, or give --root.")
    path = str(catalogue.cell(clip, "path"))
    whole = root / path
    if not path or ".." in Path(path).parts or Path(path).is_absolute() or link_out(root, path):
        raise UserError("The clip's file lies outside the set's root.")
    return whole


def playable(catalogue: Catalogue, clip: int, root: Path | None) -> str:
    """The media type of a clip that a browser may play; empty for folders of frames, other videos and missing files."""
    if catalogue.cell(clip, "source") != "video":
        return ""
    try:
        path = clip_path(catalogue, clip, root)
    except UserError:
        return ""
    return PLAYABLE.get(path.suffix.lower(), "") if path.is_file() else ""


def whole_frames(catalogue: Catalogue, clip: int, root: Path | None, instants: int) -> bytes:
    """The whole frames at the clip's instants, one above the other, as one JPEG at most 480 pixels wide.

    Raises:
        ClipError: The clip cannot be read.
        UserError: There is no root.
    """
    import cv2

    from grace.pipeline.media.video import sample_frames

    path = clip_path(catalogue, clip, root)
    source, n_frames = str(catalogue.cell(clip, "source")), int(catalogue.cell(clip, "n_frames"))
    sample = sample_frames(path, source, instants, n_frames)
    height, width = sample.frames[0].shape[:2]
    scale = min(1.0, 480 / width, 3000 / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in sample.frames]
    return encode_jpeg(np.concatenate(frames, axis=0), QUALITY)
