"""``grace audit``: what is in captions and descriptions, a data set's own or anybody's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stages._options import Dataset, Params, Root, Set, command_settings
from stages._output import console, note_outdated, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    table: Annotated[
        list[Path], typer.Option("--table", help="A CSV, TSV, Parquet or JSON-lines file instead. Repeatable.")
    ] = [],  # noqa: B006
    text: Annotated[str | None, typer.Option("--text", help="Its column of texts.")] = None,
    label: Annotated[
        list[str], typer.Option("--label", help="Its column of emotions; repeated: one column per emotion.")
    ] = [],  # noqa: B006
    clip: Annotated[
        str | None, typer.Option("--clip", help="Its column of clips, where clips have several texts.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Its column of what belongs together (person, film).")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="The model whose tokens are counted; the text encoder if not given."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the report; data/<dataset>/audit or <table>-audit.")
    ] = None,
    root: Root = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Count what texts hold: lengths, repeats, emotions, regions, identity, how much of the label, how much truth."""
    from grace.pipeline.audit import (
        audit,
        load_fast_tokenizer,
        read_dataset_texts,
        read_table_texts,
        read_truth,
        write_report,
    )
    from grace.pipeline.checkpoints import knows_only
    from grace.pipeline.errors import UserError
    from stages.tables.audit import tables

    settings = command_settings(params, override)
    model, revision = settings.tokens.text_model
    counter = tokenizer or model
    tokens = load_fast_tokenizer(counter, None if tokenizer else revision)
    if table:
        if text is None:
            raise UserError("--table needs --text: the name of the column that holds the texts.")
        texts, truth, folder = read_table_texts(table, text, label, clip, group), None, Path(f"{table[0].stem}-audit")
        title = ", ".join(file.name for file in table)
    else:
        folder = settings.folder(dataset) / "audit"
        raw = root or settings.roots.get(dataset)
        texts, title = read_dataset_texts(settings.folder(dataset)), dataset
        note_outdated(settings.folder(dataset), "captions", "descriptions")
        truth = read_truth(Path(raw)) if raw else None
    report = audit(texts, tokens, truth)
    write_report(report, out or folder)
    for each in tables(report, f"audit of {title}"):
        console().print(each)
    limits = knows_only(counter)
    spelt = f", which knows only {limits} and spells other words out: name yours with --tokenizer" if limits else ""
    console().print(f"Tokens are those of {counter}{spelt}.\nWritten to {out or folder}.", markup=False)
