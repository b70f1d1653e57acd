"""The examples in docstrings run: every module of ``grace`` and ``stages`` that has some, under its installed name.

Examples of the trainer may read a data set ``data/demo`` with runs of ``grace`` and ``vision``, and another one,
``data/other``: toy sets here. Those of ``grace.classifier`` run in a project with ``raw/demo`` and ``data/demo``. All
others run in an empty folder.
"""

from __future__ import annotations

import ast
import doctest
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

import pytest

PACKAGES = ("grace", "stages")
OPTIONAL = {"av", "ray", "vllm"}
"""Packages that only some installations have; a module that needs one is skipped where it is missing."""
FOLDERS = {"grace.classifier": "small_demo"}
"""Modules to the fixture in whose folder their examples run."""
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_of(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin)


def docstrings(source: Path) -> Iterator[tuple[str, str, int]]:
    """Name, text and line of every docstring with an example.

    Read from the source: functions that the jaxtyping hook wraps are invisible to ``doctest``'s own finder.
    """
    for node in ast.walk(ast.parse(source.read_text())):
        text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        if text and ">>> " in text:
            yield getattr(node, "name", source.stem), text, node.body[0].lineno


def modules_with_examples() -> Iterator[str]:
    for package in PACKAGES:
        found = [package, *(info.name for info in walk_packages(import_module(package).__path__, f"{package}."))]
        for name in found:
            if not name.endswith(".__main__") and any(docstrings(source_of(name))):
                yield name


@pytest.fixture(scope="module")
def with_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data/demo`` and its runs."""
    from grace.trainer.settings import TrainSettings
    from grace.trainer.train import train
    from tests.support.toy_cache import TRAIN, toy_cache

    folder = tmp_path_factory.mktemp("examples")
    demo = toy_cache(folder / "data/demo")
    for method in ("grace", "vision"):
        train(demo, TrainSettings(**TRAIN, method=method), 1, quiet=True)
    toy_cache(folder / "data/other", seed=1)
    return folder


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_run(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture = FOLDERS.get(name, "with_runs" if name.startswith("grace.trainer.") else "tmp_path")
    monkeypatch.chdir(request.getfixturevalue(fixture))
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OPTIONAL:
            pytest.skip(f"{name} needs {error.name}, which is not installed")
        raise
    source = source_of(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for where, text, line in docstrings(source):
        example = doctest.DocTestParser().get_doctest(text, dict(vars(module)), where, str(source), line - 1)
        runner.run(example, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_no_source_file_is_imported_under_two_names(project: Path) -> None:
    """``grace/pipeline`` is a link to ``pipeline``: imported by its folder's name, a module would exist twice."""
    folders = [project / package for package in ("pipeline", "trainer", "pocket")]
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and any(Path(file).resolve().is_relative_to(folder) for folder in folders):
            assert name.startswith("grace."), f"{name} was imported instead of grace.{name}"
