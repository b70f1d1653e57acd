"""Imports run one way, as ``ARCHITECTURE.md`` draws them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grace.pipeline.steps import STEPS

FOLDERS = ("pipeline", "trainer", "pocket", "grace/review", "grace/export", "grace/report", "stages")
ALLOWED = {
    "pipeline": {"grace.pipeline"},
    "trainer": {
        "grace.trainer",
        "grace.pipeline.store",
        "grace.pipeline.errors",
        "grace.pipeline.devices",
        "grace.pipeline.section",
        "grace.pipeline.messages",
        "grace.pipeline.figures",
        "grace.pipeline.strict_csv",
        "grace.pipeline.strict_yaml",
    },
    "pocket": {"grace.pocket", "grace.pipeline"},
    "grace/review": {"grace.review", "grace.trainer", "grace.pipeline"},
    "grace/export": {"grace.export", "grace.trainer", "grace.pipeline"},
    "grace/report": {
        "grace.report",
        "grace.review",
        "grace.trainer",
        "grace.pipeline",
        "grace.settings",
        "grace.run_steps",
    },
    "stages": {"stages", "grace"},
}
STEP_PACKAGES = ("index", *dict.fromkeys(module.split(".")[2] for module in STEPS.values()))
"""Packages of steps: none of them uses another's inside."""
UNUSED_BY_STEPS = {*STEP_PACKAGES, "audit", "visualize", "world", "estimate", "single_clip", "steps", "settings"}
HEAVY = {"torch", "transformers", "vllm", "ray", "cv2", "sklearn", "matplotlib", "pandas", "pyarrow", "h5py", "ot"}


def imports(tree: ast.AST, top_level_only: bool = False) -> Iterator[str]:
    """Every module or name that is imported, dotted."""
    nodes = ast.iter_child_nodes(tree) if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*.py") if "build" not in path.parts)
    assert found, f"{folder} is empty"
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_every_folder_of_code_is_a_package(project: Path) -> None:
    """``find_packages`` leaves a folder without ``__init__.py`` out of the wheel."""
    for folder in FOLDERS:
        for path in modules(project / folder):
            assert (path.parent / "__init__.py").exists(), path.parent


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_run_one_way(project: Path, folder: str) -> None:
    for path in modules(project / folder):
        for name in imports(ast.parse(path.read_text())):
            if name.partition(".")[0] in ("grace", "stages"):
                allowed = any(within(name, package) for package in ALLOWED[folder])
                assert allowed, f"{path.relative_to(project)} imports {name}"


def test_the_architecture_names_what_the_trainer_uses(project: Path) -> None:
    page = (project / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"`pipeline\.\{([^}]*)\}` only", page)
    assert {f"grace.pipeline.{each.strip()}" for each in named.split(",")} == ALLOWED["trainer"] - {"grace.trainer"}


@pytest.mark.parametrize("step", STEP_PACKAGES)
def test_steps_do_not_use_each_others_inside(project: Path, step: str) -> None:
    others = UNUSED_BY_STEPS - {step}
    for path in modules(project / "pipeline" / step):
        for name in imports(ast.parse(path.read_text())):
            if name.startswith("grace.pipeline."):
                package = name.split(".")[2]
                # Settings are read by their own package; a type of all settings is named for annotations alone.
                assert package not in others or name == "grace.pipeline.settings.PipelineSettings", (
                    f"{path.relative_to(project)} imports {name}"
                )


@pytest.mark.parametrize("folder", [*FOLDERS, "grace", "tests", "benchmarks"])
def test_everything_is_imported_by_its_installed_name(project: Path, folder: str) -> None:
    """``import pipeline`` works in a clone by accident, would load a second copy, and fails where it is installed."""
    paths = modules(project / folder) if folder != "grace" else sorted((project / "grace").glob("*.py"))
    for path in paths:
        for name in imports(ast.parse(path.read_text())):
            assert name.partition(".")[0] not in ("pipeline", "trainer", "pocket"), f"{path} imports {name}"


@pytest.mark.parametrize("folder", ["stages", "grace"])
def test_nothing_heavy_is_imported_before_a_command_runs(project: Path, folder: str) -> None:
    light = modules(project / "stages") if folder == "stages" else [project / "grace/__init__.py"]
    for path in light:
        heavy = {name.partition(".")[0] for name in imports(ast.parse(path.read_text()), top_level_only=True)} & HEAVY
        assert not heavy, f"{path.name} imports {heavy} before its command runs; --help would wait for it"


def test_help_imports_nothing_heavy(project: Path) -> None:
    """Whatever is imported on the way, not only what stands at the top of ``stages``."""
    script = (
        "import sys\n"
        "from stages import app\n"
        "app(['--help'], standalone_mode=False)\n"
        f"print('heavy:', sorted(sys.modules.keys() & {sorted(HEAVY)!r}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "heavy: []"


def test_files_stay_short_and_are_named_for_what_they_hold(project: Path) -> None:
    for folder in (*FOLDERS, "tests", "benchmarks", "examples"):
        for path in (project / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, f"{path.relative_to(project)} is too long to read at once"
            assert path.stem not in {"utils", "helpers", "misc", "common"}, path


def test_functions_stay_short(project: Path) -> None:
    """At most 60 lines without the docstring."""
    for folder in (*FOLDERS, "benchmarks"):
        for path in modules(project / folder):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
                    assert lines <= 60, f"{path.relative_to(project)}: {node.name} has {lines} lines"
