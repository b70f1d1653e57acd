"""The compound set of MAFW (Liu et al. 2022): 11 single and 32 compound classes, 5 folds.

The tree, as its owner ships it, beside the single set's::

    <root>/
      Train & Test Set/compound/
        no_caption/set_1 … set_5/{train,test}.txt     00001.mp4 anger_disgust
        with_caption/set_1 … set_5/{train,test}.txt   00001.mp4 <tab> anger_disgust <tab> Chinese <tab> English
      data/clips/00001.mp4                            or frames, as for MAFW

The parts of a compound label are put in canonical order: ``fear_surprise`` becomes ``surprise_fear``.
"""

from __future__ import annotations

from pathlib import Path

from grace.pipeline.datasets import mafw
from grace.pipeline.datasets.base import Adapter, Listing, merge


def read(root: Path, folder: str | None = None) -> list[Listing]:
    """Every clip of the compound lists, all folds that are there; raises what :func:`mafw.read` does."""
    return merge(mafw.entries(root, "compound", folder))


# The owner publishes no list of the 32 compound classes: those that occur.
ADAPTER = Adapter("mafw-compound", read, marker=f"{mafw.MARKER}/compound", folds=len(mafw.FOLDS))
