"""What the report says of how everything was made: settings, versions, and digests that prove it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grace.pipeline.store import Clips, Store, fingerprint
from grace.pipeline.store.schemas import STORES
from grace.trainer.evaluate import Joined
from grace.trainer.provenance import cache_inputs, read_clips

PACKAGES = (
    "grace-dfer",
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "scikit-learn",
    "POT",
)


def settings_section(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Settings by section, each key with its value as it is written in YAML."""
    return [(name, list(_flat(section))) for name, section in settings.items() if isinstance(section, Mapping)]


def _flat(section: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", _written(value)


def _written(value: Any) -> str:
    if value is None or value == {} or value == []:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return str(value)


def versions() -> list[tuple[str, str]]:
    """What the report was made with: Python, the packages that decide results, the kind of machine."""
    found = [("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return [*found, ("machine", f"{platform.system()} {platform.machine()}")]


def digests(folder: Path, joined: Joined | None) -> list[tuple[str, str, str]]:
    """What was made from what: each file or store, its digest, and what else tells how it was made."""
    clips = read_clips(folder)
    rows = [("clips.parquet", cache_inputs(folder, clips)["clips"], f"{len(clips):,} clips")]
    for name, schema in STORES.items():
        store = Store(folder / name, schema)
        if shards := store.shards():
            meta = store.meta(shards[0])
            content = fingerprint([store.fingerprint(shard) for shard in shards])
            rows.append((name, content, ", ".join([f"version {meta.get('version')}", f"{len(shards)} shards"])))
            rows += [(f"{name}: {model}", digest, "model") for model, digest in _models(meta.get("cache_key", {}))]
    for fold, run in (joined.runs if joined else {}).items():
        rows.append((f"run of fold {fold}", run.config.fingerprint, f"version {run.config.version}"))
        rows += [
            (f"run of fold {fold}: {name}", run.config.files[name], "file")
            for name in ("model.safetensors", "predictions.parquet")
            if name in run.config.files
        ]
    return rows


def _models(cache_key: Any) -> Iterator[tuple[str, str]]:
    """Every model that a store was made with, and the digest of its weights."""
    if isinstance(cache_key, Mapping):
        if "name" in cache_key and "sha256" in cache_key:
            yield str(cache_key["name"]), str(cache_key["sha256"])
        else:
            for value in cache_key.values():
                yield from _models(value)


def limits(folder: Path) -> list[str]:
    """Sentences about what models that made the stores know, such as the rendered world alone."""
    found: dict[str, None] = {}
    for name, schema in STORES.items():
        store = Store(folder / name, schema)
        for shard in store.shards()[:1]:
            found |= dict.fromkeys(str(limit) for limit in store.meta(shard).get("limits", ()))
    if footage := Clips(folder, ()).footage:
        found[f"The clips are {footage}"] = None
    return list(found)
