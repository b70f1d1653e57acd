"""Where a world's files are written: the official folder layouts of the data sets that it stands in for."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from grace.pipeline.store import write_atomic
from grace.pipeline.world.clip_spec import ClipSpec
from grace.pipeline.world.emotions import WORLD_LABELS

_SHORT = dict(zip(WORLD_LABELS, ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear"), strict=True))
"""Labels as FERV39k writes them."""


class Layout:
    """A data set's tree of files: the ids of clips, their paths, and the list files that name them."""

    root_entries: ClassVar[tuple[str, ...]]
    """Files and folders that the layout has at the root."""
    cropped = False
    """Whether the set ships face crops as JPEG frames, rather than videos."""

    def clip_id(self, number: int, label: str) -> str:
        """The clip's id, as the index stage will name it."""
        return f"{number + 1:05d}"

    def path(self, clip_id: str) -> str:
        """The clip's video file, or folder of frames, relative to the root."""
        raise NotImplementedError

    def lists(self, specs: Sequence[ClipSpec]) -> dict[str, str]:
        """Contents of the list files, by path relative to the root."""
        raise NotImplementedError

    def write_lists(self, root: Path, specs: Sequence[ClipSpec]) -> None:
        """Write every list file."""
        for path, content in self.lists(specs).items():
            write_atomic(root / path, content.encode())


class Folder(Layout):
    """``clips/00001.mp4`` and a ``clips.csv``."""

    root_entries = ("clips", "clips.csv")

    def path(self, clip_id: str) -> str:
        return f"clips/{clip_id}.mp4"

    def lists(self, specs: Sequence[ClipSpec]) -> dict[str, str]:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["clip_id", "path", "label", "subject", "fold"])
        for spec in specs:
            table.writerow(
                [spec.clip_id, self.path(spec.clip_id), spec.label, f"person-{spec.identity:03d}", spec.fold]
            )
        return {"clips.csv": text.getvalue()}


class Mafw(Layout):
    """MAFW: ``data/clips/00001.mp4`` and lists without captions."""

    root_entries = ("data", "Train & Test Set")

    def path(self, clip_id: str) -> str:
        return f"data/clips/{clip_id}.mp4"

    def lists(self, specs: Sequence[ClipSpec]) -> dict[str, str]:
        folder = "Train & Test Set/single/no_caption"
        return {
            f"{folder}/set_{fold}/{split}.txt": "".join(f"{spec.clip_id}.mp4 {spec.label}\n" for spec in members)
            for fold, split, members in _splits(specs)
        }


class Dfew(Layout):
    """DFEW: face crops as frames, labels 1 to 7."""

    root_entries = ("Clip", "EmoLabel_DataSplit")
    cropped = True

    def path(self, clip_id: str) -> str:
        return f"Clip/clip_224x224/{clip_id}"

    def lists(self, specs: Sequence[ClipSpec]) -> dict[str, str]:
        return {
            f"EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv": "video_name,label\n"
            + "".join(f"{int(spec.clip_id)},{WORLD_LABELS.index(spec.label) + 1}\n" for spec in members)
            for fold, split, members in _splits(specs)
        }


class Ferv39k(Layout):
    """FERV39k: face crops as frames, and one split, whose test part is the first fold."""

    root_entries = ("2_ClipsforFaceCrop", "4_setups")
    cropped = True

    def clip_id(self, number: int, label: str) -> str:
        return f"Action/{_SHORT[label]}/{number + 1:04d}"

    def path(self, clip_id: str) -> str:
        return f"2_ClipsforFaceCrop/{clip_id}"

    def lists(self, specs: Sequence[ClipSpec]) -> dict[str, str]:
        return {
            f"4_setups/All_scenes/{split}_All.csv": "".join(
                f"{spec.clip_id} {_SHORT[spec.label]}\n" for spec in members
            )
            for fold, split, members in _splits(specs)
            if fold == 1
        }


LAYOUTS: dict[str, Layout] = {"folder": Folder(), "mafw": Mafw(), "dfew": Dfew(), "ferv39k": Ferv39k()}


def _splits(specs: Sequence[ClipSpec]) -> list[tuple[int, str, list[ClipSpec]]]:
    """Each fold's ``train`` and ``test`` part: fold, split, clips."""
    return [
        (fold, split, [spec for spec in specs if (spec.fold == fold) == (split == "test")])
        for fold in sorted({spec.fold for spec in specs})
        for split in ("train", "test")
    ]
