"""What stands in more than one place about the distribution agrees: its version, its extras, how it is installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

SOURCES = ("pipeline", "trainer", "grace/export", "grace/report", "grace/review", "stages", "benchmarks")


def test_the_citation_names_the_version(project: Path) -> None:
    stated = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((project / "CITATION.cff").read_text())["version"] == stated


def test_optional_parts_are_installed_from_a_clone_or_a_wheel(project: Path) -> None:
    """GRACE is on no package index: a name that is free there could be anybody's."""
    extras = tomllib.loads((project / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set()
    documents = [*project.glob("*.md"), *(project / "docs").rglob("*.md")]
    for path in sorted([*documents, *(path for folder in SOURCES for path in (project / folder).rglob("*.py"))]):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip install '?grace|grace-dfer\[", text), path.relative_to(project)
        named |= set(re.findall(r"install_hint\(['\"](\w+)['\"]\)", text))
    assert {"vllm", "ray", "tune"} <= named <= extras.keys()


def test_every_section_of_settings_has_its_page(project: Path) -> None:
    shown = set(re.findall(r"classes (\S+)", (project / "docs/api/settings.md").read_text()))
    held = {
        str(path.relative_to(project))
        for part in ("pipeline", "trainer")
        for path in (project / part).rglob("settings.py")
    }
    assert shown == held
