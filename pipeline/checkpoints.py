"""Which model a name means, whether it is there, and what exactly it is.

A name is a folder, a model that is installed with this package (``pocket/clip``), or an id of the Hugging Face hub.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from grace.pipeline.errors import UserError
from grace.pipeline.messages import one_line
from grace.pipeline.store.listing import find_paths

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*|[\w-][\w.-]*")
CONTENT = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.txt", "*.model", "*.py")
"""Files of a checkpoint that change what it computes: weights, configuration, tokenizer, chat template, own code."""

WEIGHTS = ("*.safetensors", "*.bin")
"""Files of weights, of which the first kind is opened where both are there."""

MAX_CARD = 100_000
"""Characters of a model card that are read: it may be a stranger's."""

POCKET = "grace.pocket"
"""The package whose folders are the models ``pocket/…`` where the working directory has none of that name."""


def require_model(name: str, revision: str | None = None) -> str:
    """The folder to open with ``from_pretrained``. Nothing is fetched, and nothing asks the hub.

    Args:
        name: A folder, one of the installed models (``pocket/clip``, ``pocket/vlm``, ``pocket/llm``), or a hub id.
        revision: Branch, tag or commit of a hub model.

    Returns:
        The path of a folder with a ``config.json``; of a hub model the one in the Hugging Face cache.

    Raises:
        UserError: When ``name`` is neither a folder with a ``config.json`` nor a model of the hub that is whole in the
            cache.

    Example:
        >>> Path(require_model("pocket/clip")).name
        'clip'
    """
    if not name:
        raise UserError("No model is named: set it in params.yaml.")
    folder = _find_folder(name)
    if folder is not None:
        if not (folder / "config.json").is_file():
            raise UserError(f"The model folder {name} has no config.json: name the folder that holds the checkpoint.")
        return str(folder)
    # The first part of a path being a folder here means that a folder was meant, not a repository of the hub.
    if not HUB_ID.fullmatch(name) or ("/" in name and PurePath(name).parts[0] in _local_folders()):
        raise UserError(f"There is no model folder '{name}': make it, or name another model in params.yaml.")
    return str(_hub_snapshot(name, revision))


def is_local(name: str, revision: str | None = None) -> bool:
    """Whether a model is a folder with a checkpoint, or whole in the local cache; the hub is not asked.

    Example:
        >>> is_local("pocket/clip"), is_local("nobody/no-such-model")
        (True, False)
    """
    folder = _find_folder(name)
    if folder is not None:
        return (folder / "config.json").is_file()
    snapshot = _find_snapshot(name, revision)
    return snapshot is not None and not missing_weights(snapshot)


def is_installed(name: str) -> bool:
    """Whether a name means one of the models that come with the package, and no other folder of that name here.

    Example:
        >>> is_installed("pocket/clip"), is_installed("/models/clip")
        (True, False)
    """
    installed = _installed_folder(name)
    return installed is not None and (not Path(name).is_dir() or Path(name).samefile(installed))


def missing_weights(folder: Path) -> str:
    """The first file of weights that a checkpoint lacks, as where a download was interrupted; empty when it is whole.

    Example:
        >>> missing_weights(Path(require_model("pocket/clip")))
        ''
    """
    for pattern in WEIGHTS:
        for index in find_paths(folder, f"{pattern}.index.json"):  # of weights in several files
            try:
                named = {str(name) for name in json.loads(index.read_bytes())["weight_map"].values()}
            except (ValueError, KeyError, TypeError, AttributeError):  # transformers says what is wrong with it
                continue
            if lacking := sorted(name for name in named if not (folder / name).is_file()):
                return lacking[0]
        if find_paths(folder, pattern):
            return ""
    return WEIGHTS[0]


def weights_bytes(name: str, revision: str | None = None) -> int:
    """Bytes of a model's weights on this disk; 0 where none are seen. The hub is not asked.

    Example:
        >>> weights_bytes("pocket/clip") > 10**6, weights_bytes("nobody/no-such-model")
        (True, 0)
    """
    folder = _find_folder(name) or _find_snapshot(name, revision)
    if folder is None:
        return 0
    sizes = [sum(file.stat().st_size for file in find_paths(folder, pattern)) for pattern in WEIGHTS]
    return next(filter(None, sizes), 0)


def model_cache_key(name: str, revision: str | None = None) -> dict[str, Any]:
    """Name and content of a model, the same on every machine: no absolute path, no time stamp.

    Args:
        name: A model as :func:`require_model` takes it.
        revision: Branch, tag or commit of a hub model.

    Returns:
        ``name`` and ``sha256`` of a folder's weights, configuration, tokenizer and template; ``name`` and ``revision``
        (the commit) of a hub model.

    Raises:
        UserError: As :func:`require_model` does.

    Example:
        >>> sorted(model_cache_key("pocket/clip"))
        ['name', 'sha256']
    """
    folder = Path(require_model(name, revision))
    if _find_folder(name) is None:
        return {"name": name, "revision": folder.name}
    content = sorted({file for pattern in CONTENT for file in find_paths(folder, pattern)})
    stats = tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in content)
    return {"name": model_name(name), "sha256": _hash_files(stats)}


def download_line(name: str, revision: str | None = None) -> str:
    """The sentence that says how to fetch a model of the hub; empty for a folder.

    Example:
        >>> download_line("openai/clip-vit-base-patch32", "main")
        'Fetch it where there is a network: hf download openai/clip-vit-base-patch32 --revision main'
    """
    if _find_folder(name) is not None:
        return ""
    return f"Fetch it where there is a network: hf download {name}{f' --revision {revision}' if revision else ''}"


def model_name(name: str) -> str:
    """``name`` as it may be written into rows: a path outside the working folder is cut to its last part."""
    path = PurePath(name)
    return path.name if path.is_absolute() or ".." in path.parts or name.startswith("~") else path.as_posix()


def load_tokenizer(name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model.

    Args:
        name: A model as :func:`require_model` takes it.
        revision: Branch, tag or commit of a hub model.

    Raises:
        UserError: When there is no such model, or it has no tokenizer that can be opened.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    source = require_model(name, revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        hint = download_line(name, revision)
        raise UserError(f"The tokenizer of {name} cannot be opened: {one_line(error, 160)}. {hint}".strip()) from None
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def load_vocabulary(name: str, revision: str | None = None) -> Tokenizer:
    """The tokenizer of a model without transformers around it, which takes seconds and much memory to import.

    Args:
        name: A model as :func:`require_model` takes it.
        revision: Branch, tag or commit of a hub model.

    Raises:
        UserError: When there is no such model, or it has no fast tokenizer.

    Example:
        >>> load_vocabulary("pocket/clip").id_to_token(300)
        'in'
    """
    from tokenizers import Tokenizer

    file = Path(require_model(name, revision)) / "tokenizer.json"
    if file.is_file():
        try:
            return Tokenizer.from_file(str(file))
        except Exception:  # a file of another version: transformers says what is wrong with it
            logger.debug("%s is opened by transformers", file, exc_info=True)
    backend = getattr(load_tokenizer(name, revision), "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise UserError(f"The tokenizer of {name} has no fast version: name a text encoder that has one.")
    return backend


def _find_folder(name: str) -> Path | None:
    """The folder of a model: the one of that path, else an installed one; None for a model of the hub."""
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else _installed_folder(name)


def _installed_folder(name: str) -> Path | None:
    """The folder of a model that comes with the package; None for every other name."""
    package, *model = PurePath(name).parts or ("",)
    if package != POCKET.rpartition(".")[2] or len(model) != 1 or ".." in model:
        return None
    installed = Path(str(files(POCKET))) / model[0]
    return installed if (installed / "config.json").is_file() else None


def _local_folders() -> set[str]:
    return {entry.name for entry in Path.cwd().iterdir() if entry.is_dir()} | {".", ".."}


def _hub_snapshot(name: str, revision: str | None) -> Path:
    """The folder of a hub model in the cache. Raises :class:`UserError` where it is not there, or only in part."""
    folder = _find_snapshot(name, revision)
    at = f" at revision {revision}" if revision else ""
    if folder is None:
        raise UserError(
            f"There is no model '{name}'{at}: it is no folder with a config.json, and not in the Hugging Face cache. "
            f"{download_line(name, revision)}"
        )
    if lacking := missing_weights(folder):
        raise UserError(
            f"The model '{name}'{at} is in the Hugging Face cache only in part, without {lacking}. "
            f"{download_line(name, revision)}"
        )
    return folder


def _find_snapshot(name: str, revision: str | None) -> Path | None:
    """The folder in the Hugging Face cache, named by its commit, that ``revision`` (default: main) of a model means."""
    from huggingface_hub import try_to_load_from_cache

    if not HUB_ID.fullmatch(name):
        return None
    config = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(config).parent if isinstance(config, str) else None


@lru_cache(maxsize=32)
def _hash_files(stats: tuple[tuple[str, int, int], ...]) -> str:
    """SHA-256 over names and contents; size and time of change are there so that an edit is hashed again."""
    whole = hashlib.sha256()
    for path, _, _ in stats:
        with Path(path).open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{Path(path).name}:{part}\n".encode())
    return whole.hexdigest()


def knows_only(name: str) -> str:
    """What a model's card says it is limited to (``knows_only`` in the front matter of its README.md), or nothing."""
    from grace.pipeline.strict_yaml import parse_value

    folder = _find_folder(name) if name else None
    if folder is None or not (card := folder / "README.md").is_file():
        return ""
    with card.open(encoding="utf-8", errors="replace") as file:
        parts = file.read(MAX_CARD).split("---\n", 2)
    try:
        front = parse_value(parts[1], str(card)) if len(parts) == 3 and not parts[0].strip() else None
    except UserError:
        return ""
    limits = front.get("knows_only") if isinstance(front, dict) else None
    return limits if isinstance(limits, str) else ""
