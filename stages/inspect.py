"""``grace inspect``: read a description table, or everything known about one clip."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._options import Dataset, Params, Set, command_settings
from stages._output import console, note_outdated, print_table, user_errors

if TYPE_CHECKING:
    from grace.pipeline.store import Clips, Row


class Status(StrEnum):
    """What became of a row."""

    ok = "ok"
    fallback = "fallback"
    failed = "failed"


@user_errors
def command(
    dataset: Dataset = "demo",
    clip: Annotated[str | None, typer.Option("--clip", help="Show everything known about this clip.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Only clips of this emotion.")] = None,
    status: Annotated[Status | None, typer.Option("--status", help="Only rows that came about so.")] = None,
    match: Annotated[str | None, typer.Option("--match", help="Only rows whose texts hold these words.")] = None,
    sample: Annotated[int, typer.Option("--sample", "-n", min=0, help="Rows drawn at random; 0 shows all.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Which rows are drawn.")] = 0,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Print descriptions, or captions where there are no descriptions yet, filtered, sampled, wrapped for reading."""
    folder = command_settings(params, override).folder(dataset)
    if clip is not None:
        _show_clip(folder, clip)
        return
    _show_rows(_matching(folder, label, status, match), sample, seed)


def _matching(folder: Path, label: str | None, status: Status | None, match: str | None) -> list[Row]:
    from grace.pipeline.store import Clips, Store, UserError
    from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS

    clips = Clips(folder, ["label"])
    if label is not None and label not in clips.labels:
        raise UserError(f"There is no emotion '{label}' in {clips.path}; it has {', '.join(clips.labels)}.")
    labels = {row["clip_id"]: row["label"] for row in clips.rows}
    described = Store(folder / "descriptions", DESCRIPTIONS).shards()
    texts = Store(folder / "descriptions", DESCRIPTIONS) if described else Store(folder / "captions", CAPTIONS)
    note_outdated(folder, texts.folder.name)
    rows = [
        {"description": "", "cues": [], **row, "label": labels.get(row["clip_id"], "")}
        for row in texts.rows()
        if status is None or row["status"] == status
    ]
    words = (match or "").casefold()
    return [
        row
        for row in rows
        if (label is None or row["label"] == label) and words in f"{row['caption']}\n{row['description']}".casefold()
    ]


def _show_rows(rows: list[Row], sample: int, seed: int) -> None:
    import random

    from stages.tables.clips import descriptions_table

    drawn = rows if sample == 0 or sample >= len(rows) else random.Random(seed).sample(rows, sample)
    console().print(descriptions_table(drawn, len(rows)))


def _show_clip(folder: Path, clip: str) -> None:
    from grace.pipeline.store import Clips, Store, UserError, find_paths
    from grace.pipeline.store.schemas import STORES
    from stages.tables.clips import fields

    clips = Clips(folder)
    row = clips.find(clip)
    if row is None:
        near = ", ".join(r["clip_id"] for r in clips.shard(0, 3))
        raise UserError(f"There is no clip '{clip}' in {clips.path}; its ids look like {near}.")
    note_outdated(folder, *STORES, clip=clip)
    print_table("index", fields(row))
    for name, schema in STORES.items():
        found = Store(folder / name, schema).find(clip)
        if found is not None:
            print_table(name, fields({key: value for key, value in found.items() if key != "clip_id"}))
    for path in find_paths(folder, "runs/*/*/config.yaml"):
        _show_prediction(path.parent, clip, clips)


def _show_prediction(run: Path, clip: str, clips: Clips) -> None:
    from grace.pipeline.store import UserError, find_row
    from grace.pipeline.store.schemas import PREDICTIONS
    from grace.trainer.provenance import check_place
    from grace.trainer.runs import check_file, read_config
    from stages.tables.clips import fields

    config = read_config(run)
    check_place(run, config)
    path, labels = check_file(run, config, "predictions.parquet"), config.labels
    if labels != clips.labels:
        raise UserError(f"{run} was trained on other classes than {clips.path} lists: run `grace train` again.")
    row = find_row(path, PREDICTIONS, clip)
    if row is not None:
        chances = sorted(zip(row["probabilities"], labels, strict=False), reverse=True)
        likely = ", ".join(f"{label} {share:.0%}" for share, label in chances[:3])
        shown = {"label": row["label"], "predicted": row["predicted"], "likely": likely, "status": row["status"]}
        print_table(f"{path.parent.parent.name}, {path.parent.name} (test)", fields(shown))
