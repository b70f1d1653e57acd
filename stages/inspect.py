"""``grace inspect``: read a description table, or everything known about one clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stages._output import Dataset, Params, Set, console, load_settings, print_table, strip_control, user_errors

if TYPE_CHECKING:
    from grace.pipeline.store import Row


@user_errors
def command(
    dataset: Dataset = "demo",
    clip: Annotated[str | None, typer.Option("--clip", help="Show everything known about this clip.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Only clips of this emotion.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only rows that are ok, fallback or failed.")] = None,
    match: Annotated[str | None, typer.Option("--match", help="Only rows whose texts hold these words.")] = None,
    sample: Annotated[int, typer.Option("--sample", "-n", min=0, help="Rows drawn at random; 0 shows all.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Which rows are drawn.")] = 0,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Print descriptions, filtered and sampled, wrapped for reading."""
    folder = load_settings(params, override).folder(dataset)
    if clip is not None:
        _show_clip(folder, clip)
        return
    _show_rows(_matching(folder, label, status, match), sample, seed)


def _matching(folder: Path, label: str | None, status: str | None, match: str | None) -> list[Row]:
    from grace.pipeline.store import Clips, Store, UserError
    from grace.pipeline.store.schemas import DESCRIPTIONS

    clips = Clips(folder, ["label"])
    if label is not None and label not in clips.labels:
        raise UserError(f"There is no emotion '{label}' in {clips.path}; it has {', '.join(clips.labels)}.")
    labels = {row["clip_id"]: row["label"] for row in clips.rows}
    rows = [
        {**row, "label": labels.get(row["clip_id"], "")}
        for row in Store(folder / "descriptions", DESCRIPTIONS).rows()
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

    from rich.table import Table
    from rich.text import Text

    settings = rows if sample == 0 or sample >= len(rows) else random.Random(seed).sample(rows, sample)
    table = Table(show_lines=True, title=f"{len(settings)} of {len(rows)} rows", title_justify="left")
    table.add_column("clip", no_wrap=True)
    for name, ratio in (("coarse caption", 4), ("description", 5), ("cues", 5)):
        table.add_column(name, ratio=ratio)
    for row in sorted(settings, key=lambda row: row["clip_id"]):
        head = f"{row['clip_id']}\n{row['label']}" + ("" if row["status"] == "ok" else f"\n{row['status']}")
        description = row["description"] or row["error"]
        table.add_row(*(Text(strip_control(text)) for text in (head, row["caption"], description, _cues(row["cues"]))))
    console().print(table)


def _cues(cues: list[dict[str, str]]) -> str:
    return "\n".join(f"{cue['region']}: {cue['action']}, {cue['intensity']}, {cue['phase']}" for cue in cues or [])


def _show_clip(folder: Path, clip: str) -> None:
    from grace.pipeline.store import Clips, Store, UserError
    from grace.pipeline.store.schemas import STORES

    clips = Clips(folder)
    row = next((row for row in clips.rows if row["clip_id"] == clip), None)
    if row is None:
        near = ", ".join(r["clip_id"] for r in clips.rows[:3])
        raise UserError(f"There is no clip '{clip}' in {clips.path}; its ids look like {near}.")
    print_table("index", _fields(row))
    for name, schema in STORES.items():
        found = Store(folder / name, schema).find(clip)
        if found is not None:
            print_table(name, _fields({key: value for key, value in found.items() if key != "clip_id"}))
    for path in sorted(folder.glob("runs/*/*/predictions.parquet")):
        _show_prediction(path, clip, clips.labels)


def _show_prediction(path: Path, clip: str, labels: list[str]) -> None:
    from grace.pipeline.store import read_table
    from grace.pipeline.store.schemas import PREDICTIONS

    for row in read_table(path, PREDICTIONS):
        if row["clip_id"] == clip:
            chances = sorted(zip(row["probabilities"], labels, strict=False), reverse=True)
            likely = ", ".join(f"{label} {share:.0%}" for share, label in chances[:3])
            fields = {"label": row["label"], "predicted": row["predicted"], "likely": likely, "status": row["status"]}
            print_table(f"{path.parent.parent.name}, {path.parent.name} (test)", _fields(fields))


def _fields(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _value(name, value)) for name, value in row.items() if not (isinstance(value, str) and value == "")]


def _value(name: str, value: Any) -> str:
    """A value in a line or two: arrays by shape and range, images by number and size."""
    import numpy as np

    if name == "cues":
        return _cues(value)
    if isinstance(value, np.ndarray):
        if value.dtype == bool:
            return f"{int(value.sum())} of {value.size} true"
        if value.size <= 4:
            return " ".join(f"{x:g}" for x in value.ravel())
        return f"{' × '.join(map(str, value.shape))}, {value.min():.3g} to {value.max():.3g}"
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return f"{len(value)} JPEG images, {sum(map(len, value)) / 1e3:.0f} kB"
    return str(value)
