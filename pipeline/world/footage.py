"""Frames as files: an MP4, or a folder of JPEGs, each complete or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from grace.pipeline.errors import GraceError, os_error_sentence
from grace.pipeline.store import temporary_name
from grace.pipeline.world.paint import Image

_QUALITY = 95  # JPEG


def write_video(path: Path, frames: Iterable[Image], fps: float, unfinished: Path) -> None:
    """Encode frames as MPEG-4 part 2, the codec that every OpenCV wheel has; the same frames give the same bytes.

    The file is written in the folder ``unfinished`` on the same disk, read once to count its frames, since the encoder
    says nothing of a full disk, then renamed.

    Args:
        path: The MP4; its folder is made if it is not there.
        frames: Pictures of one size, in order.
        fps: Frames per second.
        unfinished: The folder in which it is written first; it must be there.

    Raises:
        GraceError: The file cannot be written.
    """
    with _unfinished(path, unfinished) as temporary:
        writer: cv2.VideoWriter | None = None
        written = 0
        for written, frame in enumerate(frames, 1):  # noqa: B007
            if writer is None:
                height, width = frame.shape[:2]
                code = cv2.VideoWriter.fourcc(*"mp4v")
                writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, code, fps, (width, height))
                if not writer.isOpened():
                    raise GraceError(
                        f"{path} cannot be written as MP4: is the disk full, or OpenCV built without FFmpeg?"
                    )
            writer.write(frame)
        if writer is not None:
            writer.release()
        if (found := _count_frames(temporary)) != written:
            raise GraceError(
                f"{path} cannot be written: {found} of its {written} frames are on the disk, which seems to be full; "
                "free some space and run it again."
            )


def write_frames(folder: Path, frames: Iterable[Image], unfinished: Path) -> None:
    """Write frames as ``00001.jpg``, ``00002.jpg``, … into a folder, in the same way.

    Args:
        folder: The folder, which holds nothing yet; its parents are made if they are not there.
        frames: Pictures, in order.
        unfinished: A folder on the same disk, in which it is written before it is renamed.

    Raises:
        GraceError: The folder cannot be written.
    """
    with _unfinished(folder, unfinished) as temporary:
        temporary.mkdir()
        for number, frame in enumerate(frames, 1):
            encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
            (temporary / f"{number:05d}.jpg").write_bytes(encoded.tobytes())


@contextmanager
def _unfinished(path: Path, unfinished: Path) -> Iterator[Path]:
    """A name in ``unfinished`` to write to; then what is there is flushed to the disk and renamed to ``path``."""
    temporary = temporary_name(unfinished / path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        for file in sorted(temporary.iterdir()) if temporary.is_dir() else [temporary]:
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        temporary.replace(path)
    except OSError as error:
        raise GraceError(os_error_sentence(error, path)) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _count_frames(path: Path) -> int:
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = 0
    while video.grab():
        count += 1
    video.release()
    return count
