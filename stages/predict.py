"""``grace predict``: any clips through the whole pipeline with a trained run."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grace.pipeline.arguments import SHORTEST_STRIDE, SHORTEST_WINDOW
from grace.pipeline.messages import percent
from stages._options import Dataset, Params, Set, command_settings, picture_file, run_folder
from stages._output import console, note, print_table, user_errors
from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from grace import GraceClassifier, Prediction
    from grace.pipeline.store.journal import Journal

PICTURES = (".png", ".jpg", ".jpeg")
JOURNAL_VERSION = 2
"""Rises when a clip's rows hold something else."""
NAMED = 3
"""Clips that a note names; the column ``remarks`` or ``limits`` of a table has all of them."""


class Faces(StrEnum):
    """Whose face is asked about."""

    main = "main"
    all = "all"


@user_errors
def command(
    clips: Annotated[
        list[str], typer.Argument(metavar="CLIP...", help="Videos, folders of frames, folders of those, or patterns.")
    ],
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder; the first fold of train.method if not given.")
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Whether a text is written and read; without one it is faster.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A picture (.png) of one clip, or a table (.csv, .json, .jsonl, .parquet)."),
    ] = None,
    faces: Annotated[
        Faces, typer.Option("--faces", help="The main face of a clip, or a row for each tracked person.")
    ] = Faces.main,
    over_time: Annotated[
        bool, typer.Option("--over-time", help="Probabilities of the windows of one clip, and their plot.")
    ] = False,
    window: Annotated[float, typer.Option("--window", min=SHORTEST_WINDOW, help="Seconds of a window.")] = 2.0,
    stride: Annotated[
        float, typer.Option("--stride", min=SHORTEST_STRIDE, help="Seconds from window to window.")
    ] = 1.0,
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Print the emotion of one clip and where its words' mass goes, or write a table for many clips.

    The steps have the settings that made the run's tokens, whatever params.yaml says now.
    """
    from grace import GraceClassifier

    found = named_clips(clips)
    many = len(found) > 1 or faces == Faces.all or (out is not None and out.suffix.lower() not in PICTURES)
    _check(found, out, many, over_time, faces)
    folder = run_folder(run, command_settings(params, override), dataset)
    classifier = GraceClassifier.from_pretrained(folder, overrides=override)
    if over_time:
        _over_time(classifier, found[0], out, text, window, stride)
    elif many:
        _many(classifier, found, out or Path("predictions.csv"), text, faces)
    else:
        _one(classifier, found[0], out, text)


def named_clips(named: Sequence[str]) -> list[Path]:
    """The clips that arguments name: videos, folders of frames, all clips below other folders, or patterns.

    Raises :class:`UserError` when an argument names nothing.
    """
    from glob import glob

    from grace.pipeline.datasets.videos import find_clips
    from grace.pipeline.errors import UserError

    found: dict[Path, None] = {}
    for name in named:
        paths = [Path(name)] if Path(name).exists() else [Path(match) for match in sorted(glob(name, recursive=True))]  # noqa: PTH207 - absolute ones too
        inside = []
        for path in paths:
            here = [path / clip.relative for clip in find_clips(path)] if path.is_dir() else []
            inside += here or [path]
        if not inside:
            raise UserError(f"There is no clip {name}: name a video, a folder of frames, or a folder that holds some.")
        found |= dict.fromkeys(inside)
    return list(found)


def _check(found: Sequence[Path], out: Path | None, many: bool, over_time: bool, faces: Faces) -> None:
    """Refuse what cannot be written, before the work."""
    from grace.pipeline.errors import UserError
    from grace.pipeline.table_files import check_table

    if over_time and faces == Faces.all:
        raise UserError("--over-time follows the main face: leave out --faces all.")
    if over_time and len(found) > 1:
        raise UserError(f"--over-time takes one clip, and {len(found)} are named.")
    if out is not None and out.suffix.lower() in PICTURES:
        if many:
            raise UserError(f"{out} is a picture, of one clip and face: name a table, such as predictions.csv.")
        picture_file(out, "")
    elif out is not None or many:
        check_table(out or Path("predictions.csv"))


def _one(classifier: GraceClassifier, clip: Path, out: Path | None, text: bool) -> None:
    from grace.pipeline.media.images import write_image

    prediction = classifier.predict(clip, text=text)
    _print(clip.name, prediction)
    _remark([prediction.row(classifier.labels)])
    sheet = prediction.alignment_sheet()
    if sheet is None:
        method = classifier.method
        why = f"Method {method} has no transport plan to draw." if text else "Without a text there is no plan to draw."
        console().print(why, markup=False)
        return
    file = out or Path(f"{clip.stem}-prediction.png")
    write_image(file, sheet)
    console().print(f"Where the words' mass goes on the face: {file}", markup=False)


def _many(classifier: GraceClassifier, clips: Sequence[Path], out: Path, text: bool, faces: Faces) -> None:
    from collections import Counter

    from grace.pipeline.errors import GraceError
    from grace.pipeline.table_files import write_rows

    made = _predicted(classifier, clips, out, text, faces)
    rows = [row for clip in made for row in clip["rows"]]
    write_rows(out, list(rows[0]), rows)
    _journal(classifier, out, text, faces).remove()
    failed = [row for row in rows if row["error"]]
    counts = Counter(row["label"] for row in rows if not row["error"])
    shown = [(label, str(count)) for label, count in counts.most_common()]
    what = (
        f"{len(rows) - len(failed):,} faces in {len(clips):,} clips" if faces == Faces.all else f"{len(rows):,} clips"
    )
    print_table(what, [*shown, ("could not be used", str(len(failed)))])
    _remark(rows)
    _print_place("Every clip", text, out)
    if len(failed) == len(rows):
        raise GraceError(f"No clip could be used ({clips[0]}: {failed[0]['error']}).")


def _predicted(
    classifier: GraceClassifier, clips: Sequence[Path], out: Path, text: bool, faces: Faces
) -> list[dict[str, Any]]:
    """The rows of each clip; what a command that was killed has predicted is taken over.

    Only these are held: crops, maps and tokens of 40,000 clips would fill any memory.
    """
    journal = _journal(classifier, out, text, faces)
    paths = [str(clip.absolute()) for clip in clips]
    made = {path: kept for path in paths if (kept := journal.get(path)) is not None}
    left = [Path(path) for path in paths if path not in made]
    if made:
        note(f"{len(made):,} of {len(paths):,} clips were predicted before; {len(left):,} are left.")
    predict = classifier.predict_people if faces == Faces.all else classifier.predict_many
    of_clip: dict[str, Any]
    for path, found in groupby(predict(left, text=text, progress=True), key=lambda each: str(each.clip.row["path"])):
        of_clip = {"rows": [prediction.row(classifier.labels) for prediction in found]}  # one, or one per person
        made[path] = of_clip
        journal.add(path, of_clip)
    return [made[path] for path in paths]


def _journal(classifier: GraceClassifier, out: Path, text: bool, faces: Faces) -> Journal:
    from grace.pipeline.store import fingerprint
    from grace.pipeline.store.journal import Journal

    run, settings = classifier.classifier.run.model_dump(mode="json"), classifier.settings.model_dump(mode="json")
    asked = fingerprint([JOURNAL_VERSION, run, settings, text, faces.value])
    return Journal(out.with_name(f"{out.name}.partial.jsonl"), Path("/"), {"asked": asked})


def _over_time(
    classifier: GraceClassifier, clip: Path, out: Path | None, text: bool, window: float, stride: float
) -> None:
    from grace.pipeline.table_files import write_rows

    found = classifier.predict_over_time(clip, window, stride, text=text)
    rows = [
        (f"{row['start']:5.1f} to {row['end']:5.1f} s", f"{row['label']:<14} {percent(row['p_' + row['label']]):>7}")
        for row in found.rows
        if row["label"]
    ]
    print_table(clip.name, rows)
    _remark(found.rows)
    picture = out if out is not None and out.suffix.lower() in PICTURES else Path(f"{clip.stem}-over-time.png")
    found.plot().savefig(picture, dpi=110)
    console().print(f"Probabilities over time: {picture}", markup=False, soft_wrap=True)
    if out is not None and out != picture:
        write_rows(out, list(found.rows[0]), found.rows)
        _print_place("Every window", text, out)


def _print(name: str, prediction: Prediction) -> None:
    table = prediction.to_pandas()
    ranked = zip(table["label"], table["probability"], strict=True)
    print_table(name, [(label, f"{'█' * round(24 * share):<24} {percent(share):>7}") for label, share in ranked])
    if prediction.clip.description:
        texts = f"caption: {prediction.clip.caption}\n\ndescription: {prediction.clip.description}"
        console().print(strip_control(texts), markup=False)


def _remark(rows: Sequence[dict[str, Any]]) -> None:
    """Say where the results must not be trusted, each cause once, and of which clips."""
    for column in ("remarks", "limits"):
        clips: dict[str, dict[str, None]] = {}
        for row in rows:
            if row[column]:
                clips.setdefault(row[column], {})[Path(row["path"]).name] = None
        for said, names in clips.items():
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            note(f"{', '.join([*names][:NAMED])}{more}: {said.rstrip('.')}.")


def _print_place(what: str, text: bool, out: Path) -> None:
    with_ = "its probabilities and texts" if text else "its probabilities"
    console().print(f"{what} with {with_}: {out}", markup=False, soft_wrap=True)
