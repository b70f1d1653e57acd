"""Whether the shards of a store are one whole: made alike, with each listed clip in one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from grace.pipeline.store.fingerprint import fingerprint
from grace.pipeline.store.store import Store


def made_by(meta: Mapping[str, Any]) -> str:
    """The parameters, models and code that a shard's metadata name, and its size, as a hash."""
    return fingerprint([meta.get("cache_key"), meta.get("version"), (meta.get("clips") or {}).get("size")])


def mixture(store: Store, makers: Mapping[int, str]) -> str:
    """A sentence when shards of a store were made by different parameters, models or code; empty when all are alike.

    So they are while a stage that was started with other settings has not ended: it goes on where it stopped.

    Args:
        store: The store.
        makers: What :func:`made_by` says of each of its shards.

    Example:
        >>> from pathlib import Path
        >>> from grace.pipeline.store.schemas import FACES
        >>> makers = {shard: made_by({"cache_key": {"margin": 0.3 if shard < 2 else 0.06}}) for shard in range(4)}
        >>> mixture(Store(Path("faces"), FACES), makers).partition(":")[0]
        'faces mixes shards of different parameters or models (00002.h5 and 1 more differ from 00000.h5)'
    """
    first = next(iter(makers), 0)
    different = [shard for shard, maker in makers.items() if maker != makers[first]]
    if not different:
        return ""
    more = f" and {len(different) - 1} more differ" if len(different) > 1 else " differs"
    return (
        f"{store.folder} mixes shards of different parameters or models ({store.path(different[0]).name}{more} from "
        f"{store.path(first).name}): run `grace {store.schema.stage}` again, with the settings that all shall have."
    )


def incompleteness(store: Store, found: Sequence[str], listed: Collection[str]) -> str:
    """A sentence when a store does not hold each listed clip once; empty when it does.

    Args:
        store: The store.
        found: The clip of each of its rows.
        listed: The clips of ``clips.parquet``.

    Example:
        >>> from pathlib import Path
        >>> from grace.pipeline.store.schemas import FACES
        >>> incompleteness(Store(Path("faces"), FACES), ["a"], ["a", "b"])
        'faces lacks 1 of 2 clips (b among them): run `grace faces` to make the missing shards.'
    """
    stage, listed = store.schema.stage, frozenset(listed)
    if missing := sorted(listed.difference(found)):
        return (
            f"{store.folder} lacks {len(missing)} of {len(listed)} clips ({missing[0]} among them): "
            f"run `grace {stage}` to make the missing shards."
        )
    if surplus := sorted(clip for clip, count in Counter(found).items() if count > 1 or clip not in listed):
        return (
            f"{store.folder} holds {len(surplus)} clips twice, or that clips.parquet does not list ({surplus[0]} among "
            f"them): run `grace {stage}` again, which removes shards beyond the list."
        )
    return ""
