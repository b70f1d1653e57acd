"""What all benchmarks share: command line, scratch folder, clock, printed table, results file, last line of JSON.

A script declares a :class:`Benchmark`, adds its own options to :meth:`Benchmark.parser`, measures, and hands its
figures to :meth:`Benchmark.report`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import torch

PROJECT = Path(__file__).parent.parent
RESULTS = PROJECT / "benchmarks/results"
SHARED = PROJECT.parent / "shared"
"""Real videos and detector models beside the project; what needs them is left out where they are absent."""


@dataclass(frozen=True)
class Benchmark:
    """A claim and where its figures are kept.

    ``name`` names the results file, ``description`` is the script's docstring, ``keys`` are the figures that the claim
    rests on, and ``quick`` says what ``--quick`` does.
    """

    name: str
    description: str
    keys: tuple[str, ...]
    quick: str

    @property
    def results(self) -> Path:
        """The file of the last full run."""
        return RESULTS / f"{self.name}.json"

    def parser(self) -> ArgumentParser:
        """A parser with ``--quick``; the script adds its own options."""
        parser = ArgumentParser(description=self.description, formatter_class=RawDescriptionHelpFormatter)
        parser.add_argument("--quick", action="store_true", help=f"{self.quick}; no file is written")
        return parser

    def report(
        self,
        figures: Mapping[str, Any],
        *,
        keep: bool,
        tables: Iterable[Table] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Print the tables (all figures, one per row, unless others are given) and the line of JSON.

        With ``keep`` (a full run) the figures are written to the results file, with ``details`` and the version of the
        project that was measured.
        """
        console = Console(highlight=False, width=150)
        for made in [figures_table(self.name, figures)] if tables is None else tables:
            console.print(made)
        if keep:
            from grace.pipeline.store import write_atomic

            content = json.dumps({**figures, **(details or {}), "measured": measured_version()}, indent=2) + "\n"
            write_atomic(self.results, content.encode())
        print(json.dumps(figures))


def measured_version() -> dict[str, str]:
    """The project's version, and the commit where this is a Git repository; ``+``: files were changed since."""
    found = {"version": version("grace-dfer")}
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude", "*"], cwd=PROJECT, capture_output=True, text=True
    )
    return found | ({"commit": described.stdout.strip()} if described.returncode == 0 else {})


def fold_list(text: str) -> list[int]:
    """The folds of an option such as ``--folds 1,2``."""
    return [int(fold) for fold in text.split(",")]


def add_world_options(parser: ArgumentParser, data: Path, root: Path, folds: str) -> None:
    """``--data``, ``--root`` and ``--folds``: tokens of a rendered world, its truth, and the folds to test."""
    parser.add_argument("--data", type=Path, default=data, help="folder of a rendered data set with tokens")
    parser.add_argument("--root", type=Path, default=root, help="the world's raw files and truth")
    parser.add_argument("--folds", type=fold_list, default=folds, help="such as 1,2")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str] | None], text_columns: int = 1) -> Table:
    """A table of cells as they are; the first ``text_columns`` columns are texts, the others are numbers.

    A row that is None draws a line.
    """
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < text_columns else "right", no_wrap=True)
    for row in rows:
        if row is None:
            made.add_section()
        else:
            made.add_row(*row)
    return made


def figures_table(title: str, figures: Mapping[str, Any]) -> Table:
    """All figures, one per row; the names of nested ones are joined."""
    made = Table(title=title.replace("_", " "), title_justify="left", show_header=False)
    for name, value in _flat(figures):
        made.add_row(name.replace("_", " "), str(value))
    return made


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}, ")
        else:
            yield f"{prefix}{name}", value


def progress(text: str) -> None:
    """A line on stderr, apart from the result."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that is removed at the end."""
    with TemporaryDirectory(prefix="grace-bench-") as folder:
        yield Path(folder)


def seconds(
    work: Callable[[], object],
    clock: Callable[[], float] = time.perf_counter,
    device: torch.device | None = None,
) -> float:
    """Seconds of ``work`` by ``clock``, what it queued on a CUDA device included."""
    start = clock()
    work()
    if device is not None and device.type == "cuda":
        import torch

        torch.cuda.synchronize()
    return clock() - start


def seconds_in_turns(
    sides: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """Seconds of each side in each round, the sides in turn, so that a busy machine slows them alike.

    One round more is run first and not counted: it warms up.
    """
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, work in sides.items():
            spent = seconds(work, clock, device)
            if number:
                taken[name].append(spent)
    return taken


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios of figures that were measured in turns."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))
