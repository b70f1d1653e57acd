"""Where the raw files of a data set lie: named in a command, remembered from an earlier one, or in ``params.yaml``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.messages import one_line
from grace.pipeline.store import write_atomic

NAME = re.compile(r"\w[\w.-]*")
"""What a data set may be called: it is a folder's name."""
FILE = "root.txt"
"""Beside ``clips.parquet``: the folder that ``grace index FOLDER`` was given. No result depends on it."""


def root_of(roots: Mapping[str, str], dataset: str, root: str | Path | None = None, folder: Path | None = None) -> Path:
    """The folder of a data set's raw files.

    Args:
        roots: Data set to folder, as ``roots`` in ``params.yaml``.
        dataset: The data set.
        root: A folder that takes the place of the one in ``roots``.
        folder: ``data/<dataset>``, which remembers the folder that an earlier command was given.

    Raises:
        UserError: When none names a folder that exists; it says which key to set.

    Example:
        >>> root_of({"mine": "."}, "mine")
        PosixPath('.')
    """
    named = root or roots.get(dataset) or (folder and remembered_root(folder))
    if named is None:
        known = ", ".join(sorted(roots)) or "none"
        raise UserError(
            f"There is no root for data set '{dataset}' (known: {known}): set roots.{dataset} in params.yaml to the "
            "folder of its files, or give --root."
        )
    path = Path(named)
    if not os.path.isdir(path):  # noqa: PTH112 - a name that no path can be is none
        raise UserError(
            f"The root of data set '{dataset}', {one_line(path, 300)}, is not a folder: set roots.{dataset} in "
            "params.yaml, or give --root."
        )
    return path


def remembered_root(folder: Path) -> Path | None:
    """The folder of clips that ``data/<dataset>`` was made from, if a command named it.

    Raises :class:`UserError` when the file that says so is damaged.
    """
    try:
        written = (folder / FILE).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    if not written.startswith("/") or not written.endswith("\n"):  # empty would mean the working folder, half another
        raise UserError(f"{folder / FILE} is damaged: remove it and run `grace index FOLDER --dataset {folder.name}`.")
    return Path(written.removesuffix("\n"))


def remember_root(folder: Path, root: Path) -> None:
    """Keep ``root`` for later stages.

    Raises :class:`UserError` when ``data/<dataset>`` was made from another folder of clips.
    """
    before, now = remembered_root(folder), root.resolve()
    if before is not None and before != now:
        raise UserError(
            f"{folder} holds what was made from {before}, not from {root}: give the new one a name of its own with "
            "--dataset."
        )
    if before is None:
        write_atomic(folder / FILE, f"{now}\n".encode("utf-8", errors="surrogateescape"))


def check_name(name: str) -> str:
    """``name``, which can be that of a data set. Raises :class:`UserError` when it cannot.

    Example:
        >>> check_name("mafw")
        'mafw'
    """
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}' cannot be the name of a data set: use letters, digits, '.', '-' and '_'.")
    return name


def name_of(root: Path) -> str:
    """The name of a data set that is a folder of clips.

    Example:
        >>> name_of(Path("/footage/My clips (2024)"))
        'My-clips-2024'
    """
    return re.sub(r"[^\w.-]+", "-", root.resolve().name).strip("-.") or "clips"
