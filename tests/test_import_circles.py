"""No modules import each other in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

INSTALLED = {
    "pipeline": "grace.pipeline",
    "trainer": "grace.trainer",
    "pocket": "grace.pocket",
    "grace/review": "grace.review",
    "grace/export": "grace.export",
    "grace/report": "grace.report",
}
"""Folders whose modules have another name when they are imported."""


def modules(project: Path) -> dict[str, Path]:
    """Every module of the project, by the dotted name that imports use."""
    found = {}
    for folder in (*INSTALLED, "stages", "benchmarks", "tests"):
        for path in sorted((project / folder).rglob("*.py")):
            parts = (folder, *path.relative_to(project / folder).with_suffix("").parts)
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((INSTALLED.get(folder, folder), *parts[1:]))] = path
    for path in (project / "grace").glob("*.py"):  # its folders are links to those above
        found["grace" if path.stem == "__init__" else f"grace.{path.stem}"] = path
    return found


def imported(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """The known modules that a file imports anywhere: at its top, in functions, and for type checking only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                target = submodule if submodule in known else node.module
                if target in known:
                    yield target


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that can each reach the others (strongly connected components of two modules or more)."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        queue = [start]
        while queue:
            for target in graph[queue.pop()] - seen:
                seen.add(target)
                queue.append(target)
        return seen

    reach = {name: reachable(name) for name in graph}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph}
    return [list(group) for group in sorted(groups) if group]


def test_no_modules_import_each_other_in_a_circle(project: Path) -> None:
    files = modules(project)
    graph = {name: set(imported(ast.parse(path.read_text()), set(files))) for name, path in files.items()}
    for package in ("grace.pipeline.store", *INSTALLED.values(), "stages"):
        found = any(target.startswith(package) for targets in graph.values() for target in targets)
        assert found, f"nothing imports {package}: are the names of modules right?"
    assert circles(graph) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"e"}}) == [["a", "b", "c"], ["e"]]
