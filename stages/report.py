"""``grace report``: a data set and its scores on one page, to append to a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stages._options import Dataset, Params, Runs, Set, command_settings, picture_file
from stages._output import console, note, note_outdated, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    out: Annotated[
        Path | None, typer.Option("--out", help="The HTML file; data/<dataset>/report.html if not given.")
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf/--no-pdf", help="Print a PDF beside it where there is a Chromium.")
    ] = True,
    runs: Runs = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Write one self-contained page, and a PDF: data, texts, scores, failures, settings, versions, digests."""
    settings = command_settings(params, override)
    file = picture_file(out, str(settings.folder(dataset) / "report.html"))
    from grace.report import find_browser, print_pdf, write_report

    if not write_report(dataset, settings, file, runs):
        note(f"{settings.train.method} is not trained on {dataset}: the report has no scores.")
    note_outdated(settings.folder(dataset), "captions", "descriptions")
    console().print(f"Written to {file}.", markup=False)
    if pdf and (browser := find_browser()):
        print_pdf(file, file.with_suffix(".pdf"), browser)
        console().print(f"Written to {file.with_suffix('.pdf')}.", markup=False)
    elif pdf:
        note("No PDF: there is no Chromium or Chrome on this machine. A browser prints the page as well.")
