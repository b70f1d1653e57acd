"""``dvc.yaml`` depends on the code that each stage runs: whatever a command imports lies under one of its ``deps``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from grace.pipeline.steps import STEPS

PROJECT = Path(__file__).parent.parent
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
NOT_OF_A_STAGE = re.compile(r"stages/.*|grace/.*|.*/settings\.py|pipeline/steps\.py|.*/__init__\.py")
"""What every command shares to read options and settings and to print (``params`` covers the values)."""


def imported(path: Path) -> Iterator[Path]:
    """The files of the project that a file imports when it runs, in functions too."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.unparse(test.test)
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from _files([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
        elif isinstance(node, ast.Import):
            yield from _files([alias.name for alias in node.names])


def _files(names: list[str]) -> Iterator[Path]:
    for name in names:
        path = PROJECT / name.removeprefix("grace.").replace(".", "/")
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                yield candidate


def closure(command: str) -> set[str]:
    """The code that decides what a command writes."""
    waiting = [PROJECT / f"stages/{command}.py"]
    if command in STEPS:
        waiting.append(next(_files([STEPS[command]])))
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            relative = str(path.relative_to(PROJECT))
            if (
                (path.parent == PROJECT / "stages" and path.stem == command)
                or not NOT_OF_A_STAGE.fullmatch(relative)
                or path.name == "__init__.py"
            ):
                waiting.extend(imported(path))
    names = {str(path.relative_to(PROJECT)) for path in found}
    return {name for name in names if not NOT_OF_A_STAGE.fullmatch(name)}


def commands(stage: str) -> list[str]:
    written = STAGES[stage]["cmd"]
    return re.findall(r"grace (\w+)", " ".join(written) if isinstance(written, list) else written)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_deps_cover_what_a_stage_imports(stage: str) -> None:
    deps = [dep for dep in STAGES[stage]["deps"] if not dep.startswith("data/")]
    for dep in deps:
        if "$" not in dep:
            assert (PROJECT / dep).exists(), f"{stage} depends on {dep}, which is not there"
    for command in commands(stage):
        for name in sorted(closure(command)):
            covered = any(name == dep or name.startswith(f"{dep}/") for dep in deps)
            assert covered, f"{stage} runs {name}, which is under none of its deps"


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"index", "motion"}))
def test_what_the_table_of_clips_decides_is_made_again_with_it(stage: str) -> None:
    """Labels, folds, people and human texts are in no shard; of the table motion reads what faces do."""
    assert "data/${item.dataset}/clips.parquet" in STAGES[stage]["deps"]
    assert "train.seeds" in STAGES["evaluate"]["params"]


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_names_of_data_sets_are_quoted(stage: str) -> None:
    written = STAGES[stage]["cmd"]
    for command in written if isinstance(written, list) else [written]:
        assert re.sub(r'"\$\{item\.dataset\}"', "", command).count("${item.dataset}") == 0, command


def test_a_licensed_set_does_not_wait_for_the_rendered_world() -> None:
    for stage, content in STAGES.items():
        if "matrix" in content:
            assert not any(dep == "raw" or dep.startswith("raw/") for dep in content["deps"]), stage
