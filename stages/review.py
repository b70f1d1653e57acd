"""``grace review``: see, judge and correct what the stages made, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stages._options import Dataset, Params, Root, Set, command_settings
from stages._output import console, note, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    run: Annotated[
        Path | None, typer.Option("--run", help="A run's folder, or a method's; shown first. data/<dataset>/runs else.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write the pages as plain files into this folder instead.")
    ] = None,
    where: Annotated[
        str, typer.Option("--where", help="--export: which clips, as in a gallery's address: 'label=fear&status=ok'.")
    ] = "",
    sample: Annotated[int, typer.Option("--sample", "-n", min=1, help="--export: how many of them.")] = 48,
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Print how far the raters agree instead, and exit.")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on this machine; 0: any free one.")] = 0,
    root: Root = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Look through clips, texts, motion and predictions, and correct them, on a page that only this machine reaches."""
    from grace.pipeline.datasets.roots import remembered_root
    from grace.review.serve import hold_little_memory
    from grace.review.state import Review

    settings = command_settings(params, override)
    named = root or settings.roots.get(dataset) or remembered_root(settings.folder(dataset))
    folder = Path(named) if named else None
    if folder is None or not folder.is_dir():
        note(f"The root of {dataset} is not there: videos are not shown, crops are. Name it with --root.")
        folder = None
    hold_little_memory()
    review = Review(
        dataset,
        settings.folder(dataset),
        folder,
        Path(settings.refine.overrides),
        run,
        settings.tokens,
        settings.evaluate,
    )
    if agreement:
        from grace.review.pages import agreement_page
        from stages.tables.agreement import agreement_tables

        for table in agreement_tables(agreement_page(review)["found"]):
            console().print(table)
    elif export is not None:
        from grace.review.export import export as write

        pages = write(review, export, where, sample)
        console().print(f"{pages} clips written to {export}: open {export / 'index.html'}.", markup=False)
    else:
        from grace.review.serve import serve

        serve(review, port, lambda address: console().print(f"Open {address} (Ctrl-C ends it).", soft_wrap=True))
