"""Which model is meant, whether it is there, and what exactly it is."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from grace.pipeline.errors import UserError

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*|[\w-][\w.-]*")
CONTENT = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.txt", "*.model", "*.py")
"""Files of a checkpoint that change what it computes: weights, configuration, tokenizer, chat template, own code."""
SHIPPED = ("pocket/clip", "pocket/llm", "pocket/vlm")
"""Models that come with GRACE: where the working folder has no such folder, the package's own is meant."""


def require_model(name: str, revision: str | None = None) -> str:
    """What ``from_pretrained`` shall open: the folder ``name``, or the hub id ``name`` when it can be had.

    Raises :class:`UserError` when ``name`` is neither a folder with a ``config.json`` nor a model of the hub that is
    in the local cache or can be fetched (``HF_HUB_OFFLINE=1`` forbids fetching).
    """
    folder = model_folder(name)
    if not name:
        raise UserError("No model is named: set it in params.yaml.")
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"The model folder {name} has no config.json: name the folder that holds the checkpoint.")
        return str(folder)
    # The first part of a path being a folder here means that a folder was meant, not somebody's repository.
    if not HUB_ID.fullmatch(name) or ("/" in name and folder.parts[0] in _folders()):
        raise UserError(f"There is no model folder '{name}': make it, or name another model in params.yaml.")
    _hub_commit(name, revision)
    return name


def model_cache_key(name: str, revision: str | None = None) -> dict[str, Any]:
    """Name and content of a model, the same on every machine: no absolute path, no time stamp.

    A folder is told by the SHA-256 over its weights, configuration, tokenizer and template; a hub model by its commit.
    Raises as :func:`require_model` does.
    """
    source = require_model(name, revision)
    folder = Path(source)
    if not folder.is_dir():
        return {"name": name, "revision": _hub_commit(name, revision)}
    files = tuple(sorted({file for pattern in CONTENT for file in folder.glob(pattern)}))
    stats = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return {"name": model_name(name), "sha256": _hash_files(stats)}


def model_folder(name: str) -> Path:
    """The folder that ``name`` means, whether it exists or not."""
    folder = Path(name).expanduser()
    return Path(__file__).parents[1] / name if name in SHIPPED and not folder.exists() else folder


def model_name(name: str) -> str:
    """``name`` as it may be written into rows: a path outside the working folder is cut to its last part."""
    path = PurePath(name)
    return path.name if path.is_absolute() or ".." in path.parts or name.startswith("~") else path.as_posix()


def _folders() -> set[str]:
    return {entry.name for entry in Path.cwd().iterdir() if entry.is_dir()} | {".", ".."}


@lru_cache(maxsize=32)
def _hub_commit(name: str, revision: str | None) -> str:
    """The commit that ``revision`` (default: main) of a hub model means: in the cache, else on the hub.

    The cache comes first, so that a run is neither slowed by the network nor changed by what was pushed overnight.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        config = try_to_load_from_cache(name, "config.json", revision=revision)
        if not isinstance(config, str):
            config = hf_hub_download(name, "config.json", revision=revision)
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        raise UserError(
            f"There is no model '{name}'{at}: it is no folder with a config.json, not in the Hugging Face cache, and "
            f"could not be fetched ({type(error).__name__})."
        ) from None
    return Path(config).parent.name


@lru_cache(maxsize=32)
def _hash_files(stats: tuple[tuple[str, int, int], ...]) -> str:
    """SHA-256 over names and contents; size and time of change are there so that an edit is hashed anew."""
    whole = hashlib.sha256()
    for path, _, _ in stats:
        with Path(path).open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{Path(path).name}:{part}\n".encode())
    return whole.hexdigest()


def knows_only(name: str) -> str:
    """What a model's card says it is limited to (``knows_only`` in the front matter of its README.md), or nothing."""
    import yaml

    card = model_folder(name) / "README.md"
    if not card.is_file():
        return ""
    parts = card.read_text(encoding="utf-8", errors="replace").split("---\n", 2)
    try:
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError:
        return ""
    return str(front.get("knows_only", "")) if isinstance(front, dict) else ""
