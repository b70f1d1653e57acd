"""Frames as files: an MP4, or a folder of JPEGs, each complete or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import cv2

from grace.pipeline.errors import GraceError
from grace.pipeline.world.paint import Image

_QUALITY = 95  # JPEG


def write_video(path: Path, frames: Iterable[Image], fps: float, unfinished: Path) -> None:
    """Encode frames as MPEG-4 part 2, the codec that every OpenCV wheel has; the same frames give the same bytes.

    The file is written in the folder ``unfinished`` on the same disk, then renamed. Raises :class:`GraceError` when it
    cannot be written.
    """
    temporary = unfinished / f"{os.getpid()}-{path.name}"
    writer: cv2.VideoWriter | None = None
    for frame in frames:
        if writer is None:
            height, width = frame.shape[:2]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, code, fps, (width, height))
            if not writer.isOpened():
                raise GraceError(f"{path} cannot be written as MP4: is the disk full, or OpenCV built without FFmpeg?")
        writer.write(frame)
    if writer is not None:
        writer.release()
    _finish(temporary, path)


def write_frames(folder: Path, frames: Iterable[Image], unfinished: Path) -> None:
    """Write frames as ``00001.jpg``, ``00002.jpg``, … into a folder, in the same way."""
    temporary = unfinished / f"{os.getpid()}-{folder.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for number, frame in enumerate(frames, 1):
        file = temporary / f"{number:05d}.jpg"
        if not cv2.imwrite(str(file), frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]):
            raise GraceError(f"{folder} cannot be written: is the disk full?")
    _finish(temporary, folder)


def _finish(temporary: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for file in sorted(temporary.iterdir()) if temporary.is_dir() else [temporary]:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    temporary.replace(path)
