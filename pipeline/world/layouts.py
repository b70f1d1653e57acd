"""Where a world's files go: the official folder layouts of the data sets it stands in for."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from grace.pipeline.store import write_atomic
from grace.pipeline.world.emotions import LABELS

if TYPE_CHECKING:
    from grace.pipeline.world.sampling import Part

_SHORT = dict(zip(LABELS, ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear"), strict=True))
"""Labels as FERV39k writes them; their order is DFEW's numbering from 1."""


class Layout:
    """A data set's tree of files: how clips are called, where they lie, and which lists name them."""

    tops: ClassVar[tuple[str, ...]]
    """Everything that the layout has at the root."""
    close = False
    """Whether the set ships face crops as JPEG frames, rather than videos."""

    def clip_id(self, number: int, label: str) -> str:
        """The clip's id, as the index of this project will call it."""
        return f"{number + 1:05d}"

    def path(self, clip_id: str) -> str:
        """The clip's video file, or folder of frames, relative to the root."""
        raise NotImplementedError

    def lists(self, parts: Sequence[Part]) -> dict[str, str]:
        """Contents of the list files by path relative to the root."""
        raise NotImplementedError

    def write_lists(self, root: Path, parts: Sequence[Part]) -> None:
        """Write every list file."""
        for path, content in self.lists(parts).items():
            write_atomic(root / path, content.encode())


class Folder(Layout):
    """``clips/00001.mp4`` and a ``clips.csv``."""

    tops = ("clips", "clips.csv")

    def path(self, clip_id: str) -> str:
        return f"clips/{clip_id}.mp4"

    def lists(self, parts: Sequence[Part]) -> dict[str, str]:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["clip_id", "path", "label", "subject", "fold"])
        for part in parts:
            table.writerow(
                [part.clip_id, self.path(part.clip_id), part.label, f"person-{part.identity:03d}", part.fold]
            )
        return {"clips.csv": text.getvalue()}


class Mafw(Layout):
    """MAFW: ``data/clips/00001.mp4`` and lists without captions."""

    tops = ("data", "Train & Test Set")

    def path(self, clip_id: str) -> str:
        return f"data/clips/{clip_id}.mp4"

    def lists(self, parts: Sequence[Part]) -> dict[str, str]:
        folder = "Train & Test Set/single/no_caption"
        return {
            f"{folder}/set_{fold}/{split}.txt": "".join(f"{part.clip_id}.mp4 {part.label}\n" for part in chosen)
            for fold, split, chosen in _splits(parts)
        }


class Dfew(Layout):
    """DFEW: face crops as frames, labels 1 to 7."""

    tops = ("Clip", "EmoLabel_DataSplit")
    close = True

    def path(self, clip_id: str) -> str:
        return f"Clip/clip_224x224/{clip_id}"

    def lists(self, parts: Sequence[Part]) -> dict[str, str]:
        return {
            f"EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv": "video_name,label\n"
            + "".join(f"{int(part.clip_id)},{LABELS.index(part.label) + 1}\n" for part in chosen)
            for fold, split, chosen in _splits(parts)
        }


class Ferv39k(Layout):
    """FERV39k: face crops as frames, one split (the first fold is its test part)."""

    tops = ("2_ClipsforFaceCrop", "4_setups")
    close = True

    def clip_id(self, number: int, label: str) -> str:
        return f"Action/{_SHORT[label]}/{number + 1:04d}"

    def path(self, clip_id: str) -> str:
        return f"2_ClipsforFaceCrop/{clip_id}"

    def lists(self, parts: Sequence[Part]) -> dict[str, str]:
        return {
            f"4_setups/All_scenes/{split}_All.csv": "".join(f"{part.clip_id} {_SHORT[part.label]}\n" for part in chosen)
            for fold, split, chosen in _splits(parts)
            if fold == 1
        }


LAYOUTS: dict[str, Layout] = {"folder": Folder(), "mafw": Mafw(), "dfew": Dfew(), "ferv39k": Ferv39k()}


def _splits(parts: Sequence[Part]) -> list[tuple[int, str, list[Part]]]:
    """Fold, ``train`` or ``test``, and its clips."""
    return [
        (fold, split, [part for part in parts if (part.fold == fold) == (split == "test")])
        for fold in sorted({part.fold for part in parts})
        for split in ("train", "test")
    ]
