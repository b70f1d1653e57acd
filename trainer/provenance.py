"""What a run was made from, checked before it is scored: nothing is scored that cannot be proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grace.pipeline.store import Clips, GraceError, Row, Store, UserError, fingerprint
from grace.pipeline.store.chain import refuse_outdated
from grace.pipeline.store.schemas import MOTION, STORES, TOKENS, fold_column
from grace.trainer.runs import Run, RunConfig, is_seed_folder
from grace.trainer.settings import METHODS, TrainSettings


def cache_inputs(folder: Path, clips: Clips) -> dict[str, str]:
    """What a run on a data set is made from: the table of clips and the shards of tokens and motion, each as a hash.

    Args:
        folder: ``data/<dataset>``.
        clips: Its table, as :func:`read_clips` reads it.

    Returns:
        ``clips``, ``votes`` where a clip has some, and ``tokens`` and ``motion`` where these folders hold shards.
    """
    stores = {name: Store(Path(folder) / name, schema) for name, schema in (("tokens", TOKENS), ("motion", MOTION))}
    return hashed_inputs(
        clips, {name: [store.fingerprint(shard) for shard in store.shards()] for name, store in stores.items()}
    )


def hashed_inputs(clips: Clips, shards: Mapping[str, Sequence[str | None]]) -> dict[str, str]:
    """What :func:`cache_inputs` returns, of a table and the fingerprints of shards by store."""
    table = sorted(clips.rows, key=lambda row: str(row["clip_id"]))
    found = {"clips": fingerprint([clips.labels, [{**row, "votes": None} for row in table]])}
    if votes := {row["clip_id"]: list(map(float, row["votes"])) for row in table if len(row["votes"])}:
        found["votes"] = fingerprint(votes)
    return found | {name: fingerprint(list(each)) for name, each in shards.items() if each}


def inputs_of(settings: TrainSettings, found: Mapping[str, str]) -> dict[str, str]:
    """Of what :func:`cache_inputs` found, that on which a run with these settings depends."""
    return {name: value for name, value in found.items() if name != "votes" or settings.targets == "votes"}


def steps_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Version and cache key of the step that made each store of a data set, by stage; of the stores that are there.

    All shards of a store are made alike, or those made from them are out of date, which opening the cache refuses.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, schema in STORES.items():
        store = Store(Path(folder) / name, schema)
        shards = store.shards()
        if shards and "cache_key" in (meta := store.meta(shards[0])):
            found[schema.stage] = {key: meta[key] for key in ("version", "cache_key") if key in meta}
    return found


def read_clips(folder: Path) -> Clips:
    """The table of clips as runs read it."""
    return Clips(folder, ["label", "subject", "votes"], folds=True)


def person_of(clip_id: str, subject: str | None) -> str:
    """Who is seen in a clip; one that names nobody is a person of its own.

    Example:
        >>> person_of("00003", "p7"), person_of("00004", "")
        ('p7', 'clip 00004')
    """
    return subject or f"clip {clip_id}"  # no name of a person begins so


def people_of(folder: Path, clip_ids: Sequence[str]) -> list[str] | None:
    """Who is seen in each of these clips, for intervals over people; None where the table names nobody in them."""
    subject = {str(row["clip_id"]): str(row["subject"] or "") for row in read_clips(folder).rows}
    if not any(subject.get(clip_id) for clip_id in clip_ids):
        return None
    return [person_of(clip_id, subject.get(clip_id)) for clip_id in clip_ids]


def check_runs(runs: Mapping[Path, Run], dataset_folder: Path, *others: Mapping[Path, Run]) -> None:
    """Refuse runs that are not what they say, or no longer fit the data set.

    Args:
        runs: The folds and seeds of one method, by folder.
        dataset_folder: ``data/<dataset>``.
        others: Those of each method that it is compared with.

    Raises:
        UserError: Shards of the data set do not follow from its clips and from each other. A folder holds another fold
            or seed than it is named for, its predictions are another run's or of other clips than the fold's test part,
            labels or inputs changed since, or folds or seeds of a method were trained with differing settings.
        GraceError: The label was in the prompt of a test clip's text.
    """
    refuse_outdated(dataset_folder)  # first: what a run was made from may be as it was, and no longer be true
    clips = read_clips(dataset_folder)
    now = cache_inputs(dataset_folder, clips)
    for of_method in (runs, *others):
        for folder, run in of_method.items():
            _check_fold(folder, run)
            _check_clips(folder, run, clips)
            check_inputs(folder, run.config, now)
        check_alike({folder: run.config for folder, run in of_method.items()})
        refuse_label_informed([row for run in of_method.values() for row in run.predictions])


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

    Args:
        folder: The run's folder, for the message.
        config: Its configuration.
        now: Name to hash of what there is.
    """
    for name, value in inputs_of(config.settings, now).items():
        if config.inputs.get(name) != value:
            made = "clips.parquet changed" if name in ("clips", "votes") else f"{name} were made again"
            raise UserError(f"{made} after {folder} was trained: run `grace train` for it again.")


def check_place(folder: Path, config: RunConfig) -> None:
    """Raise :class:`UserError` when a run's folder is named for another seed, fold or method than it holds."""
    if is_seed_folder(folder) and folder.name != f"seed-{config.settings.seed}":
        raise UserError(
            f"{folder} holds seed {config.settings.seed}: it was copied or renamed; remove it and run `grace train` "
            "again."
        )
    of_fold = folder.parent if is_seed_folder(folder) else folder
    if of_fold.name.startswith("fold-") and of_fold.name != f"fold-{config.fold}":
        raise UserError(
            f"{folder} holds fold {config.fold}: it was copied or renamed; train the fold that it is named for."
        )
    named, method = of_fold.parent.name, config.settings.method
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


def check_alike(configs: Mapping[Path, RunConfig]) -> None:
    """Raise :class:`UserError` when folds or seeds of a method were not trained alike: their mean is of nothing."""
    (first, reference), *others = configs.items()
    for folder, config in others:
        here, there = _settings(reference), _settings(config)
        if is_seed_folder(folder):  # a further seed, the one that its folder is named for
            there["seed"] = here["seed"]
        if different := sorted(key for key in here if here[key] != there[key]):
            key = different[0]
            raise UserError(
                f"{first} and {folder} were trained with different settings ({key}: {here[key]!r} and {there[key]!r}): "
                "train them alike."
            )


def _settings(config: RunConfig) -> dict[str, Any]:
    return {
        **config.settings.model_dump(exclude={"device", "loggers"}),
        "cache": config.cache,
        "trainer": config.version,
    }
