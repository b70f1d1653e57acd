"""The report as a PDF, printed by a Chromium that is on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from grace.pipeline.errors import GraceError
from grace.pipeline.messages import one_line

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "chrome")
TIMEOUT = 120.0
"""Seconds that printing may take."""


def find_browser() -> str | None:
    """The path of a browser that prints, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def print_pdf(page: Path, out: Path, browser: str) -> None:
    """Print an HTML file of ours to ``out``, without a network.

    Raises:
        GraceError: The browser ended without a file.
    """
    with tempfile.TemporaryDirectory(prefix="grace-report-") as scratch:
        made = Path(scratch) / "report.pdf"
        command = [
            browser,
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={scratch}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={made}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium's sandbox refuses to run as root
            page.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
            said = one_line(done.stderr)
        except subprocess.TimeoutExpired:
            said = f"it took longer than {TIMEOUT:.0f} s"
        if not made.exists():
            raise GraceError(f"{browser} printed no PDF of {page}: {said}. The page itself is written.")
        shutil.copyfile(made, out)
