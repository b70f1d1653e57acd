"""Shapes in the annotations of the packages that compute on arrays are checked while the tests run."""

from __future__ import annotations

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook(
    [
        "grace.trainer",
        *(f"grace.pipeline.{package}" for package in ("faces", "media", "motion", "tokens", "visualize", "world")),
    ],
    "beartype.beartype",
)

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's folder."""
    return PROJECT


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with ``raw/demo``, ``data/demo`` and a run; tests read it and leave it as it is."""
    from tests.support.small_demo import make_small_demo

    return make_small_demo(tmp_path_factory.mktemp("small_demo"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real footage and annotations beside the project; its tests are skipped where it is absent."""
    folder = PROJECT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder ../shared with real data beside the project")
    return folder
