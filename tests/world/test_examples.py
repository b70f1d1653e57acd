"""The examples in the docstrings of the world's modules run."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["actions", "render", "sampling", "scenario", "sentences", "world"])
def test_docstring_examples_run(name: str) -> None:
    found = doctest.testmod(import_module(f"grace.pipeline.world.{name}"))
    assert found.attempted > 0 and found.failed == 0
