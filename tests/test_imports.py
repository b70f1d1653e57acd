"""The arrows between the rooms run one way, as ``ARCHITECTURE.md`` draws them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ALLOWED = {
    "pipeline": {"pipeline"},
    "trainer": {"trainer", "grace.pipeline.store"},
    "stages": {"stages", "trainer", "pipeline"},
    "pocket": {"pocket", "pipeline"},
}
ROOMS = set(ALLOWED)
HEAVY = {"torch", "transformers", "vllm", "ray", "cv2", "sklearn", "matplotlib", "pandas", "pyarrow", "h5py", "ot"}


def imports(tree: ast.AST, top_level_only: bool = False) -> Iterator[str]:
    nodes = ast.iter_child_nodes(tree) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(project: Path, room: str) -> list[Path]:
    found = sorted((project / room).rglob("*.py"))
    assert found, f"the room {room} is empty"
    return found


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_arrows_run_one_way(project: Path, room: str) -> None:
    for path in modules(project, room):
        for name in imports(ast.parse(path.read_text())):
            if name.partition(".")[0] in ROOMS:
                allowed = any(name == target or name.startswith(f"{target}.") for target in ALLOWED[room])
                # `from grace.pipeline.store import …` is the arrow; naming the package alone imports nothing of it
                package = name == "pipeline" and room == "trainer"
                assert allowed or package, f"{path.relative_to(project)} imports {name}"


def test_stages_import_nothing_heavy_before_they_run(project: Path) -> None:
    for path in modules(project, "stages"):
        heavy = {name.partition(".")[0] for name in imports(ast.parse(path.read_text()), top_level_only=True)} & HEAVY
        assert not heavy, f"{path.name} imports {heavy} before its command runs; --help would wait for it"


def test_files_stay_short_and_are_named_for_what_they_hold(project: Path) -> None:
    for room in (*sorted(ROOMS), "tests", "benchmarks"):
        for path in (project / room).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, f"{path.relative_to(project)} is too long to read at once"
            assert path.stem not in {"utils", "helpers", "misc", "common"}, path
