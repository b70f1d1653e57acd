"""All files of a data set, checked against the checksums in them and against what they say they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.store.chain import Chain
from grace.pipeline.store.clips import FILE, Clips
from grace.pipeline.store.formats import check
from grace.pipeline.store.schemas import CLIPS, STORES, TEMPLATES, TEMPLATES_FILE
from grace.pipeline.store.store import Store
from grace.pipeline.store.virtual import FILE as JOINED
from grace.pipeline.store.virtual import is_current
from grace.pipeline.store.whole import incompleteness, made_by, mixture


def files_of(folder: Path) -> list[Path]:
    """The table of clips and every shard of a data set, in the order of the stages; those that exist.

    Args:
        folder: ``data/<dataset>``.
    """
    paths = [folder / FILE]
    for name, schema in STORES.items():
        store = Store(folder / name, schema)
        paths += [store.path(shard) for shard in store.shards()]
    paths += [folder / "tokens" / TEMPLATES_FILE, folder / "tokens" / JOINED]
    return [path for path in paths if path.exists()]


def problems(folder: Path, path: Path) -> Iterator[str]:
    """What is wrong with one of :func:`files_of`, a sentence each; nothing when it is as it was written.

    A shard is also held against the shards it says it was made from: one that was made from others is out of date.
    """
    schema = {FILE: CLIPS, TEMPLATES_FILE: TEMPLATES}.get(path.name) or STORES[path.parent.name]
    try:
        check(schema, path)
    except UserError as error:
        yield str(error)
        return
    if path.name == JOINED and not is_current(Store(path.parent, schema)):
        yield f"{path} was made from other shards than there are now: run `grace {schema.stage}`."
    if path.name not in (FILE, TEMPLATES_FILE, JOINED):
        yield from Chain(folder).problems(path.parent.name, int(path.stem))


def store_problems(folder: Path, *names: str) -> Iterator[str]:
    """What is wrong with a store as a whole, a sentence each: shards of two settings, clips missing or too many.

    A store without any shard is one that is not made yet, or was removed for the room it takes.

    Args:
        folder: ``data/<dataset>``.
        names: The stores; all of them when not given.
    """
    try:
        listed = [row["clip_id"] for row in Clips(folder, ()).rows]
    except UserError as error:
        if not (folder / FILE).exists():  # a damaged one is among :func:`files_of`
            yield str(error)
        return
    for name in names or STORES:
        store = Store(folder / name, STORES[name])
        if not (shards := store.shards()):
            continue
        try:
            mixed = mixture(store, {shard: made_by(store.meta(shard)) for shard in shards})
            held = [row["clip_id"] for row in store.rows(["clip_id"])]
        except UserError:  # a damaged shard, which :func:`problems` names
            continue
        yield from filter(None, (mixed, incompleteness(store, held, listed)))


def first_problem(folder: Path, *names: str) -> str:
    """Why some stores are not whole, or not of what there is now, in a sentence; empty when they are.

    Args:
        folder: ``data/<dataset>``.
        names: The stores; those that they were made from are looked at, too.
    """
    return Chain(folder).first_problem(*names) or next(store_problems(folder, *names), "")


def clip_problem(folder: Path, clip_id: str, *names: str) -> str:
    """Why what some stores hold of a clip is not of what there is now, in a sentence; empty when it is.

    Args:
        folder: ``data/<dataset>``.
        clip_id: The clip; one that is not listed has no problem of this kind.
        names: The stores; one without any shard is not made yet.
    """
    if Clips(folder, ()).find(clip_id) is None:
        return ""
    chain = Chain(folder)
    for name in names:
        store = Store(folder / name, STORES[name])
        if not store.shards():
            continue
        if (shard := store.shard_of(clip_id)) is None:
            return f"{store.folder} lacks clip {clip_id}: run `grace {store.schema.stage}` to make the missing shards."
        if sentence := chain.outdated(name, shard):
            return sentence
    return ""
