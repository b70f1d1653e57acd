"""All files of a data set, checked against the checksums in them and against what they say they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.store.chain import Chain
from grace.pipeline.store.clips import FILE
from grace.pipeline.store.formats import check
from grace.pipeline.store.schemas import CLIPS, STORES, TEMPLATES, TEMPLATES_FILE
from grace.pipeline.store.store import Store
from grace.pipeline.store.virtual import FILE as JOINED


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
    if path.name not in (FILE, TEMPLATES_FILE, JOINED):
        yield from Chain(folder).problems(path.parent.name, int(path.stem))
