"""What a shard is made from is compared when it is committed with what was read: nothing else is kept."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from grace.pipeline.errors import GraceError
from grace.pipeline.execution.runner import run
from grace.pipeline.store import Row, Store
from grace.pipeline.store.schemas import FACES, MOTION
from tests.support.fake_step import DrawStep, SizeStep, write_demo_clips


class Interrupted(SizeStep):
    """Motion during which faces are made again, with as many instants as ``changes`` says: at its start, and then while
    it works on each clip."""

    name, version, schema, folder = "motion", 1, MOTION, "motion"
    reads: ClassVar = {"faces": ("frames",)}

    def __init__(self, place: Path, *changes: int) -> None:
        self.place = place
        self.changes = list(changes)

    def change(self) -> None:
        """Make the next change, if there is one left."""
        if self.changes and (instants := self.changes.pop(0)):
            run(DrawStep(instants), self.place, size=2)

    def open(self) -> None:
        self.change()

    def clip(self, row: Row) -> Row:
        made = super().clip(row)
        self.change()
        return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips in one shard, with faces of two instants."""
    write_demo_clips(tmp_path, 2)
    run(DrawStep(2), tmp_path, size=2)
    return tmp_path


UNTOUCHED = 0
CHANGES = {
    "A, B: replaced before it was read": (3,),
    "A, B: replaced while it was worked on": (UNTOUCHED, 3),
    "A, B, A: another one was read": (3, 2),
    "A, B, A: replaced and put back while it was worked on": (UNTOUCHED, 3, 2),
}


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_what_was_made_while_its_inputs_changed_is_not_kept(
    folder: Path, changes: tuple[int, ...], workers: int
) -> None:
    sentence = r"shard 00000 of .*motion is made from changed while motion read it: it is not kept"
    with pytest.raises(GraceError, match=sentence):
        run(Interrupted(folder, *changes), folder, size=2, workers=workers)
    assert not Store(folder / "motion", MOTION).shards()
    assert run(SizeStep(), folder, size=2).done == 2
    (first, _), faces = Store(folder / "motion", MOTION).read(0), Store(folder / "faces", FACES).read(0)
    assert len(first["motion"]) == len(faces[0]["frames"])


def test_a_table_that_was_replaced_while_it_was_in_use_is_not_built_upon(folder: Path) -> None:
    class Indexed(SizeStep):
        def open(self) -> None:
            write_demo_clips(folder, 2, paths={1: "other"})

    with pytest.raises(GraceError, match="it is not kept"):
        run(Indexed(), folder, size=2)
    assert not Store(folder / "motion", MOTION).shards()


def test_inputs_made_again_before_they_are_read_and_alike_are_what_was_planned(folder: Path) -> None:
    assert run(Interrupted(folder, 2), folder, size=2).done == 2
