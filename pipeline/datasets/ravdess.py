"""RAVDESS (Livingstone and Russo 2018, *The Ryerson Audio-Visual Database of Emotional Speech and Song*): 8 classes,
24 actors, CC BY-NC-SA.

The tree, as its owner ships it, all of its archives unpacked into one folder::

    <root>/
      Actor_01/01-01-06-01-02-01-01.mp4     modality, channel, emotion, intensity, statement, repetition, actor

Modality 01 is a video with sound and 02 the same one without: each performance is one clip, of the first if it is
there; its id is the name without the modality. Modality 03 is sound alone. Channel 01 is speech and 02 song, the column
``channel``. The set has no folds of its own; here it has 6 of 4 actors each, tested in turn, so that nobody is on both
sides (``index.split`` makes others). The index reports silent copies as files that no list names; for ``--strict``::

    index: {accept: {ravdess: [files that no list names]}}
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.datasets.base import Adapter, Entry, Listing, merge, test_in_turn
from grace.pipeline.datasets.file_tree import ClipPath
from grace.pipeline.datasets.videos import find_clips
from grace.pipeline.errors import UserError

MARKER = "Actor_01"
FOLDS = 6
EMOTIONS = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")  # 01 to 08
CLASSES = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear", "calm")
CHANNELS = {"01": "speech", "02": "song"}
_NAME = re.compile(r"0[12]-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)")


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every performance below ``root``, or below its folder ``folder``.

    Raises :class:`UserError` when no file is named as RAVDESS names its own.
    """
    videos = {posixpath.splitext(clip.relative)[0]: clip for clip in find_clips(root, folder or "")}
    found = {path: name for path in sorted(videos) if (name := _NAME.fullmatch(posixpath.basename(path)))}
    if not found:
        raise UserError(f"{root} holds no video named as RAVDESS names its own, such as 01-01-06-01-02-01-01.mp4.")
    first: dict[str, tuple[re.Match[str], ClipPath]] = {}
    for path, name in sorted(found.items(), key=lambda item: posixpath.basename(item[0])):  # with sound before without
        first.setdefault(posixpath.basename(path)[3:], (name, videos[path]))
    return merge(_entries(first), CLASSES)


def _entries(clips: dict[str, tuple[re.Match[str], ClipPath]]) -> Iterator[Entry]:
    tested = test_in_turn({name[6] for name, _ in clips.values()}, FOLDS)
    for clip_id, (name, path) in clips.items():
        columns = {"channel": CHANNELS[name[1]], "intensity": name[3], "statement": name[4], "repetition": name[5]}
        for fold in sorted(set(tested.values())):
            yield Entry(
                clip_id,
                path,
                EMOTIONS[int(name[2]) - 1],
                fold,
                "test" if tested[name[6]] == fold else "train",
                subject=f"Actor_{name[6]}",
                list_file=str(fold),
                columns=columns,
            )


ADAPTER = Adapter("ravdess", read, classes=CLASSES, marker=MARKER, folds=FOLDS, accept=("files that no list names",))
