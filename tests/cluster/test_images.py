"""The images of cluster/ take what the package is built from, all of it and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

NEEDED = {
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "params.yaml",
    "dvc.yaml",
    "grace",
    "pipeline",
    "trainer",
    "pocket",
    "stages",
}
"""What `pip wheel .` reads: the package's folders, the files behind its links, and those that pyproject.toml names."""


def test_both_images_copy_the_package(project: Path) -> None:
    docker = re.findall(r"^COPY (.+) \S+$", (project / "cluster/Dockerfile").read_text(), re.MULTILINE)
    apptainer = re.findall(r"^    (\S+) /src/\1$", (project / "cluster/grace.def").read_text(), re.MULTILINE)
    assert {name for line in docker for name in line.split()} == set(apptainer) == NEEDED
    assert all((project / name).exists() for name in NEEDED)


def test_both_images_install_the_same(project: Path) -> None:
    pattern = r"apt-get install -y --no-install-recommends ([\w\- ]+)"
    docker, apptainer = (
        set(re.findall(pattern, (project / "cluster" / name).read_text())[0].split())
        for name in ("Dockerfile", "grace.def")
    )
    assert docker == apptainer
    assert docker >= {"gcc", "python3-dev"}, "Triton compiles when vLLM starts"
