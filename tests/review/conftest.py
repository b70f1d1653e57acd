"""A small data set under review: real shards, a finished run, corrections in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.review_set import make_set
from grace.review.state import Review
from tests.support.review_server import ReviewServer

CLIPS = 70


@pytest.fixture(scope="session")
def made_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data/many``, made once and copied by those who change it."""
    folder = tmp_path_factory.mktemp("review") / "many"
    make_set(folder, CLIPS)
    return folder


@pytest.fixture
def data(made_set: Path, tmp_path: Path) -> Path:
    """A copy of the set for one test."""
    return Path(shutil.copytree(made_set, tmp_path / "data" / "many"))


@pytest.fixture
def review(data: Path, tmp_path: Path) -> Review:
    """It, opened."""
    (tmp_path / "raw").mkdir()
    return Review("many", data, tmp_path / "raw", tmp_path / "overrides")


@pytest.fixture
def server(review: Review) -> Iterator[ReviewServer]:
    """Its pages, served."""
    with ReviewServer(review) as running:
        yield running
