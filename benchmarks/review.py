"""The review page is quick on a large data set, in a real browser, and holds little in memory.

Makes a set of 40,000 clips of drawn numbers (real shards, two finished runs), starts `grace review` on it as a person
would, and drives Debian's Chromium through the gallery, filters, clips and their neighbours, runs, audit and ratings. A
page's time is from the click to its load event, read in the browser; a clip's until its crops are drawn. The clips that
are opened lie in shards of the sizes that CLIP's ViT-B/16 makes, and so do the runs' models; all other shards have
small rows, to spare the disk.

    python -m benchmarks.review [--quick] [--set FOLDER]

Ends with one line of JSON: first_page_seconds (goal 0.5), filter_seconds (goal 0.3), clip_seconds (goal 0.5), medians
over pages; rss_mb, the peak memory of the server (goal 500): the larger one of the first start, which makes the index
of every shard, and of the second with all its pages, a run's model included; and beside them index_seconds, the first
start, and start_seconds, the second, up to the printed address.

--quick takes a tenth of the clips; playwright and a chromium have to be installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Benchmark, progress, scratch_folder, seconds
from benchmarks.review_set import make_set

KEYS = ("first_page_seconds", "filter_seconds", "clip_seconds", "rss_mb", "index_seconds", "start_seconds")
BENCHMARK = Benchmark("review", __doc__, keys=KEYS, quick="4,000 clips")
FILTERS = (
    "label=fear&predicted=surprise",
    "outcome=wrong&sort=wrong",
    "q=brows+rise",
    "says=action%3Ajaw+drop",
    "status=fallback",
    "subject=person-123",
    "low=80&high=100",
    "label=anger&q=lips&sort=unsure",
    "page=300",
)
CLIPS = 6
REAL_SHARDS = 8
"""Shards of real sizes, 0.9 GB: the clips that are opened are among their first."""
METHODS = ("grace", "vision")
OTHER_PAGES = (
    "runs", "runs?run=grace&versus=vision", "?run=grace&versus=vision&outcome=only-first",
    "audit", "rate?kind=description&rater=ann", "agreement",
)  # fmt: skip


class Server:
    """``grace review`` in a process of its own."""

    def __init__(self, scratch: Path) -> None:
        command = [sys.executable, "-m", "stages", "review", "-d", "many", "--params", "params.yaml"]
        start = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        self.process = subprocess.Popen(command, cwd=scratch, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        found = next((m for line in self.process.stdout if (m := re.search(r"http://\S+", line))), None)
        if found is None:
            sys.exit("grace review did not start")
        self.address, self.seconds = found[0], time.perf_counter() - start

    def peak_mb(self) -> float:
        """The largest memory of the process so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024 / 1e6

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()


def drive(address: str) -> dict[str, list[float]]:
    """Seconds of each kind of page in a real browser."""
    from playwright.sync_api import sync_playwright

    base = address.partition("/?")[0]
    taken: dict[str, list[float]] = {"first_page": [], "filter": [], "clip": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        page.wait_for_url(f"{base}/")
        for _ in range(5):
            taken["first_page"].append(_load(page, f"{base}/"))
        for _ in range(2):
            taken["filter"] += [_load(page, f"{base}/?{asked}") for asked in FILTERS]
        for number in range(CLIPS):
            page.goto(f"{base}/?page={1 + number}")
            page.locator(".card a").nth(5).click()
            page.locator("#crop[data-drawn]").wait_for(state="attached")
            taken["clip"].append(float(page.evaluate("document.querySelector('#crop').dataset.drawn")) / 1000)
            page.wait_for_load_state("networkidle", timeout=600_000)  # words and neighbours, which come afterwards
        for asked in OTHER_PAGES:
            _load(page, f"{base}/{asked}")
        browser.close()
    return taken


def _load(page: Any, address: str) -> float:
    page.goto(address, wait_until="load")
    return float(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")) / 1000


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument(
        "--set", type=Path, help="folder that holds the set, made there if it is not; a scratch one else"
    )
    return options


def measure(scratch: Path, clips: int) -> dict[str, Any]:
    """All figures of a set of ``clips`` clips, made in ``scratch`` if it is not there."""
    folder = scratch / "data" / "many"
    if not all((folder / "runs" / method / "fold-1/config.yaml").exists() for method in METHODS):
        progress(f"made {clips} clips in {seconds(lambda: make_set(folder, clips, 0, REAL_SHARDS, METHODS)):.0f} s")
    (scratch / "params.yaml").write_text("datasets: [many]\n")
    shutil.rmtree(folder / "review", ignore_errors=True)
    first = Server(scratch)
    first_peak = first.peak_mb()
    first.stop()
    second = Server(scratch)
    try:
        taken = drive(second.address)
        peak = second.peak_mb()
    finally:
        second.stop()
    return {
        "clips": clips,
        **{f"{name}_seconds": round(median(values), 3) for name, values in taken.items()},
        **{f"{name}_slowest": round(max(values), 3) for name, values in taken.items()},
        "rss_mb": round(max(peak, first_peak)),
        "index_seconds": round(first.seconds, 1),
        "start_seconds": round(second.seconds, 1),
    }


def main() -> None:
    """Print the figures, and keep those of a full run."""
    args = parser().parse_args()
    clips = 4_000 if args.quick else 40_000
    if args.set is not None:
        figures = measure(args.set, clips)
    else:
        with scratch_folder() as scratch:
            figures = measure(scratch, clips)
    BENCHMARK.report(figures, keep=not args.quick)


if __name__ == "__main__":
    main()
