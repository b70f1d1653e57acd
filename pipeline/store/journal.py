"""What was computed of each clip so far, so that a command that was killed goes on where it stopped.

A line of JSON for each clip, with a checksum; a torn or damaged line is skipped. A line counts only while the clip's
files are as they were: their names, sizes and times of change. The journal is removed when the result is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import xxhash

from grace.pipeline.errors import GraceError, os_error_sentence

Kept = dict[str, Any]
"""What was computed of a clip, as JSON."""


class Journal:
    """The journal of one result.

    Args:
        file: Where it lies, ``….partial.jsonl``.
        root: The folder of the raw files.
        options: Whatever else the result depends on, the version of the code among it.

    Example:
        >>> from tempfile import mkdtemp
        >>> root = Path(mkdtemp())
        >>> file = root / "index.partial.jsonl"
        >>> _ = (root / "a.mp4").write_bytes(b"one")
        >>> Journal(file, root).add("a.mp4", {"n_frames": 1})
        >>> Journal(file, root).get("a.mp4")
        {'n_frames': 1}
        >>> _ = (root / "a.mp4").write_bytes(b"another")
        >>> Journal(file, root).get("a.mp4")
    """

    def __init__(self, file: Path, root: Path, options: Mapping[str, Any] | None = None) -> None:
        self.path = Path(file)
        self.root = Path(root)
        self._made_by = json.dumps([os.path.realpath(root), dict(options or {})], sort_keys=True)
        self._known: dict[str, tuple[str, Kept]] = {}
        self._ends_whole = True
        self._read()

    def get(self, path: str) -> Kept | None:
        """What was computed of a clip, or None where nothing was, or its files have changed since."""
        state, kept = self._known.get(path, ("", None))
        return kept if kept is not None and state == state_of(self.root / path) else None

    def add(self, path: str, kept: Kept, state: str | None = None) -> None:
        """Keep what was computed of a clip whose files were in ``state`` before that; as they are now by default.

        Args:
            path: The clip's file or folder, relative to the root.
            kept: What was computed, as JSON.
            state: As :func:`state_of` gives it; where it is empty, nothing is kept.

        Raises:
            GraceError: The journal cannot be written.
        """
        state = state_of(self.root / path) if state is None else state
        if not state:
            return
        line = _sealed({"made_by": self._made_by, "path": path, "state": state, "kept": kept})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                # A torn line before it, of one that was killed, ends here.
                file.write(line if self._ends_whole else b"\n" + line)
        except OSError as error:
            raise GraceError(os_error_sentence(error, self.path, len(line))) from error
        self._ends_whole = True

    def remove(self) -> None:
        """The result is whole."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except OSError:  # there is none
            content = b""
        self._ends_whole = not content or content.endswith(b"\n")
        for line in content.splitlines():
            entry = _unsealed(line)
            if entry is not None and entry["made_by"] == self._made_by:
                self._known[entry["path"]] = (entry["state"], entry["kept"])


def state_of(path: Path) -> str:
    """A digest of the names, sizes and times of change of a clip's files; empty where there is none.

    Args:
        path: A video, or a folder of frames.
    """
    state = xxhash.xxh3_128()
    try:
        if path.is_dir():
            with os.scandir(path) as scan:
                found = sorted((os.fsencode(item.name), item.stat()) for item in scan)
        else:
            found = [(b"", path.stat())]
    except OSError:
        return ""
    for name, status in found:
        state.update(name + f"\0{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
    return state.hexdigest()


def _sealed(entry: dict[str, Any]) -> bytes:
    text = json.dumps(entry)
    return f"{xxhash.xxh3_64_hexdigest(text.encode())} {text}\n".encode()


def _unsealed(line: bytes) -> dict[str, Any] | None:
    digest, _, text = line.partition(b" ")
    if digest.decode("ascii", "replace") != xxhash.xxh3_64_hexdigest(text):
        return None
    return dict(json.loads(text))
