"""A bare folder: every video and every folder of frames below it is a clip, without label or fold.

The tree::

    <root>/
      anything.mp4            a video, or
      any/where/clip/*.jpg    a folder of frames

A clip's id is its path, without the suffix of a video unless another clip would have the same id. Hidden files and
folders are left out, and links to folders are not followed.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import Adapter, Entry, Listing, merge
from grace.pipeline.datasets.file_tree import ClipPath, is_file, is_video_file, without_suffix
from grace.pipeline.media.frames import IMAGE_SUFFIXES


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip below ``root``, or below its folder ``folder``."""
    found = list(find_clips(root, folder or ""))
    ids = Counter(without_suffix(clip.relative) for clip in found)
    return merge(Entry(_clip_id(clip.relative, ids), clip, label="") for clip in found)


def find_clips(root: Path, folder: str = "") -> Iterator[ClipPath]:
    """Videos and folders of frames below ``root/folder``, in order of their names; each folder is listed once."""
    pending = [posixpath.normpath(folder) if folder else ""]
    while pending:
        here = pending.pop()
        try:
            with os.scandir(root / here) as scan:
                items = sorted((item for item in scan if not item.name.startswith(".")), key=lambda item: item.name)
        except OSError:
            continue
        videos = [item.name for item in items if is_file(item) and is_video_file(Path(item.path))]
        yield from (ClipPath(posixpath.join(here, name), "video") for name in videos)
        if here and not videos and any(_is_image(item) for item in items):  # beside videos, images are thumbnails
            yield ClipPath(here, "frames")
        pending += [posixpath.join(here, item.name) for item in reversed(items) if item.is_dir(follow_symlinks=False)]


def _clip_id(path: str, ids: Counter[str]) -> str:
    short = without_suffix(path)
    return short if ids[short] == 1 else path


def _is_image(item: os.DirEntry[str]) -> bool:
    return posixpath.splitext(item.name)[1].lower() in IMAGE_SUFFIXES and is_file(item)


ADAPTER = Adapter("videos", read)
