"""CREMA-D (Cao et al. 2014, *CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset*): 6 classes, 91 actors, ODbL.

The tree, as its owner ships it::

    <root>/
      VideoFlash/1001_DFA_ANG_XX.flv                  <actor>_<sentence>_<emotion>_<level>
      SentenceFilenames.csv                           Stimulus_Number,Filename: every clip there should be
      processedResults/tabulatedVotes.csv             how many raters chose which emotion, a row per clip and modality

A clip's label is the emotion that the actor was asked for, its subject the actor, its id the file's name. ``votes`` are
those of raters who saw the face without the voice (rows 2…). The set has no folds of its own; here it has 5, in which
actors, in order of their numbers, are tested in turn, so that nobody is on both sides. ``index.split`` makes others.
1076_MTI_SAD_XX is known to hold no picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from grace.pipeline.datasets.base import Adapter, Entry, Listing, merge, test_in_turn
from grace.pipeline.datasets.file_tree import Tree, without_suffix
from grace.pipeline.datasets.list_files import decimal
from grace.pipeline.errors import UserError
from grace.pipeline.strict_csv import read_rows

MARKER = "VideoFlash"
LIST = "SentenceFilenames.csv"
VOTES = "processedResults/tabulatedVotes.csv"
FACE_ONLY = "2"
FOLDS = 5
EMOTIONS = {
    "HAP": "happiness",
    "SAD": "sadness",
    "NEU": "neutral",
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
}
"""Parts of file names to classes, in canonical order."""


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip that ``SentenceFilenames.csv`` names.

    Raises :class:`UserError` when the list is missing or a name in it is not one of CREMA-D's.
    """
    names = [(line, row["Filename"]) for line, row in read_rows(root / LIST, ("Filename",))]
    actors = test_in_turn({name.split("_")[0] for _, name in names}, FOLDS)
    tree = Tree(root)
    clips = tree.clips_folder((MARKER,), folder)
    return merge(_entries(names, actors, tree, clips, root / LIST), tuple(EMOTIONS.values()))


def _entries(
    names: list[tuple[int, str]], tested: Mapping[str, int], tree: Tree, clips: str, file: Path
) -> Iterator[Entry]:
    for line, name in names:
        parts = name.split("_")
        if len(parts) != 4 or parts[2] not in EMOTIONS:
            raise UserError(f"{file}, line {line}: expected a name such as 1001_DFA_ANG_XX, got '{name}'.")
        for fold in sorted(set(tested.values())):
            yield Entry(
                name,
                tree.find(clips, name),
                EMOTIONS[parts[2]],
                fold,
                "test" if tested[parts[0]] == fold else "train",
                subject=parts[0],
                list_file=f"{file}:{fold}",
                columns={"sentence": parts[1], "level": parts[3]},
            )


def votes(root: Path) -> dict[str, dict[str, float]]:
    """Clip to how many raters of the face alone chose each emotion; none where the table is not there.

    Raises :class:`UserError` when a count is not a number from 0 up.
    """
    file = root / VOTES
    if not file.is_file():
        return {}
    letters = {label[0].upper(): label for label in EMOTIONS.values()}  # A, D, F, H, N, S
    found: dict[str, dict[str, float]] = {}
    for line, row in read_rows(file, ("", "fileName", *letters)):
        if row[""].startswith(FACE_ONLY):
            counts = {label: decimal(row[letter]) for letter, label in letters.items()}
            if None in counts.values():
                raise UserError(f"{file}, line {line}: a count of votes is not a number from 0 up.")
            name = without_suffix(row["fileName"])
            before = found.get(name, {})
            found[name] = {label: (count or 0) + before.get(label, 0) for label, count in counts.items()}
    return found


ADAPTER = Adapter("cremad", read, classes=tuple(EMOTIONS.values()), marker=MARKER, votes=votes, folds=FOLDS)
