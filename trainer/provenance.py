"""What a run was made from, checked before it is scored: nothing is scored that cannot be proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.store import Clips, GraceError, Row, Store, UserError, fingerprint
from grace.pipeline.store.schemas import MOTION, TOKENS, fold_column
from grace.trainer.runs import Run, RunConfig
from grace.trainer.settings import METHODS, TrainSettings


def cache_inputs(folder: Path, clips: Clips) -> dict[str, str]:
    """What a run on a data set is made from: the table of clips and the shards of tokens and motion, each as a hash.

    Args:
        folder: ``data/<dataset>``.
        clips: Its table, as :func:`read_clips` reads it.

    Returns:
        ``clips``, ``votes`` where a clip has some, and ``tokens`` and ``motion`` where these folders hold shards.
    """
    table = sorted(clips.rows, key=lambda row: str(row["clip_id"]))
    found = {"clips": fingerprint([clips.labels, [{**row, "votes": None} for row in table]])}
    if votes := {row["clip_id"]: list(map(float, row["votes"])) for row in table if len(row["votes"])}:
        found["votes"] = fingerprint(votes)
    for name, schema in (("tokens", TOKENS), ("motion", MOTION)):
        store = Store(Path(folder) / name, schema)
        if shards := store.shards():
            found[name] = fingerprint([store.fingerprint(shard) for shard in shards])
    return found


def inputs_of(settings: TrainSettings, found: Mapping[str, str]) -> dict[str, str]:
    """Of what :func:`cache_inputs` found, that on which a run with these settings depends."""
    return {name: value for name, value in found.items() if name != "votes" or settings.targets == "votes"}


def read_clips(folder: Path) -> Clips:
    """The table of clips as runs read it."""
    return Clips(folder, ["label", "subject", "votes"], folds=True)


def people_of(folder: Path, clip_ids: Sequence[str]) -> list[str] | None:
    """Who is seen in each of these clips, for intervals over people; None where the table does not say it of each."""
    subject = {str(row["clip_id"]): str(row["subject"] or "") for row in read_clips(folder).rows}
    people = [subject.get(clip_id, "") for clip_id in clip_ids]
    return people if all(people) else None


def check_runs(runs: Mapping[Path, Run], dataset_folder: Path) -> None:
    """Refuse runs that are not what they say, or no longer fit the data set.

    Raises:
        UserError: A fold's folder holds another fold, its predictions are another run's or of other clips than the
            fold's test part, labels or inputs changed since, or folds were trained with differing settings.
        GraceError: The label was in the prompt of a test clip's text.
    """
    clips = read_clips(dataset_folder)
    now = cache_inputs(dataset_folder, clips)
    for folder, run in runs.items():
        _check_fold(folder, run)
        _check_clips(folder, run, clips)
        check_inputs(folder, run.config, now)
    _check_alike(runs)
    refuse_label_informed([row for run in runs.values() for row in run.predictions])


def refuse_label_informed(rows: Sequence[Row]) -> None:
    """Raise :class:`GraceError` when the text of any of these test clips was written with its label in the prompt."""
    if leaked := sorted(row["clip_id"] for row in rows if row["label_visible"]):
        raise GraceError(
            f"{len(leaked)} test clips ({leaked[0]} among them) have text that was written with the label in the "
            f"prompt; such clips are never scored: set refine.use_label to false and run refine, tokens, train again."
        )


def check_inputs(folder: Path, config: RunConfig, now: Mapping[str, str]) -> None:
    """Raise :class:`UserError` when what a run was trained on is not what there is now, as :func:`cache_inputs` says.

    What is there no more, such as tokens that were removed for the room they take, is not held against the run.
    """
    for name, value in inputs_of(config.settings, now).items():
        if config.inputs.get(name) != value:
            made = "clips.parquet changed" if name in ("clips", "votes") else f"{name} were made again"
            raise UserError(f"{made} after {folder} was trained: run `grace train` for it again.")


def check_place(folder: Path, config: RunConfig) -> None:
    """Raise :class:`UserError` when a run's folder is named for another fold or method than it holds."""
    if folder.name.startswith("fold-") and folder.name != f"fold-{config.fold}":
        raise UserError(
            f"{folder} holds fold {config.fold}: it was copied or renamed; train the fold that it is named for."
        )
    named, method = folder.parent.name, config.settings.method
    if named in METHODS and named != method:
        raise UserError(f"{folder} holds a run of {method}: it was copied or renamed; train {named} for that place.")


def _check_fold(folder: Path, run: Run) -> None:
    config = run.config
    check_place(folder, config)
    if run.made_by != config.fingerprint or any(row["fold"] != config.fold for row in run.predictions):
        raise UserError(
            f"The predictions in {folder} are of another run than its config.yaml: run `grace train` again."
        )


def _check_clips(folder: Path, run: Run, clips: Clips) -> None:
    column = fold_column(run.config.fold)
    expected = {row["clip_id"]: row["label"] for row in clips.rows if row.get(column) == "test" and row["label"]}
    found = {row["clip_id"]: row["label"] for row in run.predictions}
    if run.config.labels != clips.labels:
        raise UserError(f"{folder} was trained on other classes than clips.parquet lists: run `grace train` again.")
    if odd := sorted(expected.keys() ^ found.keys()):
        raise UserError(
            f"{folder} was not tested on the test clips of fold {run.config.fold} ({odd[0]} among {len(odd)} that "
            "differ): run `grace train` again."
        )
    if changed := sorted(clip_id for clip_id, label in expected.items() if found[clip_id] != label):
        raise UserError(
            f"{folder} was scored by other labels than clips.parquet has now ({changed[0]} among {len(changed)}): run "
            "`grace train` again."
        )


def _check_alike(runs: Mapping[Path, Run]) -> None:
    """All folds of a method must be trained alike, or their mean is of nothing."""
    (first, reference), *others = runs.items()
    for folder, run in others:
        here, there = _settings(reference), _settings(run)
        if different := sorted(key for key in here if here[key] != there[key]):
            key = different[0]
            raise UserError(
                f"{first} and {folder} were trained with different settings ({key}: {here[key]!r} and {there[key]!r}): "
                "train them alike."
            )


def _settings(run: Run) -> dict[str, Any]:
    config = run.config
    return {
        **config.settings.model_dump(exclude={"device", "loggers"}),
        "cache": config.cache,
        "trainer": config.version,
    }
