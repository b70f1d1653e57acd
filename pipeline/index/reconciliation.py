"""A data set's lists against its files: every finding, by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from grace.pipeline.datasets.base import CONTRADICTORY, UNKNOWN_LABEL
from grace.pipeline.datasets.file_tree import AMBIGUOUS_ID, UNFOLLOWED
from grace.pipeline.index.marks import DOUBTFUL, UNUSABLE
from grace.pipeline.store import write_atomic
from grace.pipeline.strict_csv import encode_rows

MISSING = "missing"
UNREADABLE = "unreadable"
NO_FRAMES = "zero frames"
ENDS_EARLY = "ends early"
DAMAGED = "decoding errors"
DIFFERS = "frame count differs"
REPEATED = "listed twice"
LEAKED = "in train and test of one fold"
SHARED_SUBJECT = "person in train and test"
SHARED_CONTENT = "same content in train and test"
MISSPELT = "class looks misspelt"
UNLABELLED = "no label"
PARTLESS = "fold without a train or test part"
VOTED_NO_CLASS = "votes for no class"
VOTED_NO_CLIP = "votes that name no clip"
UNLISTED = "files that no list names"
MARKED = {UNUSABLE: "marked unusable", DOUBTFUL: "label marked doubtful"}
"""What a person said about clips in ``overrides/<dataset>.clips.csv``: known, and so never a fault."""

FINDINGS = (
    MISSING,
    UNREADABLE,
    NO_FRAMES,
    ENDS_EARLY,
    DAMAGED,
    DIFFERS,
    REPEATED,
    LEAKED,
    SHARED_SUBJECT,
    SHARED_CONTENT,
    UNKNOWN_LABEL,
    MISSPELT,
    UNLABELLED,
    PARTLESS,
    VOTED_NO_CLASS,
    VOTED_NO_CLIP,
    AMBIGUOUS_ID,
    CONTRADICTORY,
    UNFOLLOWED,
    UNLISTED,
)
"""Every kind of finding that is a fault, in the order of the table; what a person marked comes after them."""

FILE = "reconciliation.csv"
COLUMNS = ("finding", "clip", "detail")

BINS = ((None, -10), (-9, -4), (-3, -3), (-2, -2), (-1, -1), (1, 1), (2, 2), (3, 3), (4, 9), (10, None))
"""Ranges of frames counted minus frames annotated; published counts are mostly off by one or two."""


@dataclass
class Reconciliation:
    """What the index found, in numbers of clips. A clip may show several findings.

    Example:
        >>> found = Reconciliation(annotated=2, usable=1)
        >>> found.note(MISSING, "a", "there is no file a.mp4")
        >>> found.count(MISSING), found.faults(), found.faults(accept=[MISSING])
        (1, {'missing': 1}, {})
    """

    annotated: int = 0
    """Clips that the lists name."""
    usable: int = 0
    """Clips with frames."""
    videos: int = 0
    """Listed videos that are there."""
    folders: int = 0
    """Listed folders of frames that are there."""
    classes: dict[str, int] = field(default_factory=dict)
    """Class to the number of its clips."""
    folds: dict[int, Counter[str]] = field(default_factory=dict)
    """Fold to the number of clips in ``train``, ``val`` and ``test``."""
    findings: dict[str, list[tuple[str, str]]] = field(
        default_factory=lambda: {name: [] for name in (*FINDINGS, *MARKED.values())}
    )
    """Finding to the clips, or files, that show it, each with a detail."""
    differences: Counter[int] = field(default_factory=Counter)
    """Frames counted minus frames annotated, to the number of clips; 0 is left out."""
    judged_more: bool = False
    """Whether the owner's annotators judged clips that the lists leave out."""
    notes: list[str] = field(default_factory=list)
    """What of the set is not used, or not as its name says, in sentences."""

    @property
    def found(self) -> int:
        """Clips whose file or folder is there."""
        return self.videos + self.folders

    def note(self, finding: str, clip: str, detail: str = "") -> None:
        """Record a finding about a clip (its id), the path of a file that no list names, or a fold.

        Args:
            finding: One of the keys of :attr:`findings`.
            clip: What it is about.
            detail: What is wrong with it, or empty.
        """
        self.findings[finding].append((clip, detail))

    def count(self, finding: str) -> int:
        """How many clips, or files, have a finding."""
        return len(self.findings[finding])

    def faults(self, accept: Collection[str] = ()) -> dict[str, int]:
        """Finding to the number of clips, for findings that any clip shows and ``accept`` does not name.

        Clips without a label are no fault where there are no classes, nor are votes on clips that the owner's lists
        leave out on purpose.
        """
        known = {*accept, *MARKED.values()}
        known |= set() if self.classes else {UNLABELLED}
        known |= {VOTED_NO_CLIP} if self.judged_more else set()
        return {finding: len(clips) for finding, clips in self.findings.items() if clips and finding not in known}

    def distribution(self) -> list[tuple[str, int]]:
        """Ranges of :attr:`differences`, such as ``+4 … +9``, and the number of clips in each that has any."""
        rows = []
        for low, high in BINS:
            clips = sum(
                count
                for difference, count in self.differences.items()
                if (low is None or difference >= low) and (high is None or difference <= high)
            )
            if clips:
                rows.append((_range(low, high), clips))
        return rows

    def write(self, folder: Path) -> Path:
        """Commit every finding, one per line, as ``reconciliation.csv``; returns its path."""
        rows = ((finding, clip, detail) for finding, clips in self.findings.items() for clip, detail in clips)
        write_atomic(folder / FILE, encode_rows(COLUMNS, rows))
        return folder / FILE


def _range(low: int | None, high: int | None) -> str:
    if low is None:
        return f"{high:+d} or less"
    if high is None:
        return f"{low:+d} or more"
    return f"{low:+d}" if low == high else f"{low:+d} … {high:+d}"
