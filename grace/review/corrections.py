"""Corrections that people make on the page, written to ``overrides/`` with history and undo.

A change is written only when its clip still is as the person saw it: each clip's corrections have a version, which
comes back with the change. Two browsers that correct different clips never meet; of two that correct the same one,
the second is told, and shown what the first wrote.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.index.marks import KINDS, Mark, read_marks, write_marks
from grace.pipeline.sentences import collapse_whitespace
from grace.pipeline.store import fingerprint, folder_lock, write_atomic
from grace.pipeline.text.cues import Cue
from grace.pipeline.text.overrides import Override, read_override_rows, write_overrides

MAX_TEXT, MAX_REASON, MAX_CUES, MAX_NAME = 4000, 500, 30, 60


class ConflictError(GraceError):
    """Somebody else corrected the clip meanwhile."""


@dataclass(frozen=True)
class Said:
    """What people said about one clip; empty where nothing."""

    description: str = ""
    cues: tuple[dict[str, str], ...] | None = None
    mark: str = ""
    reason: str = ""

    @property
    def version(self) -> str:
        """Changes with every change."""
        return fingerprint(asdict(self))[:16]


class Corrections:
    """The corrections of one data set: ``<set>.csv``, ``<set>.clips.csv`` and ``<set>.history.jsonl`` in one folder.

    Args:
        folder: ``overrides/``.
        dataset: Name of the data set.
    """

    def __init__(self, folder: Path, dataset: str) -> None:
        self.folder = folder
        self.texts, self.marks = folder / f"{dataset}.csv", folder / f"{dataset}.clips.csv"
        self.history = folder / f"{dataset}.history.jsonl"

    def all(self) -> dict[str, Said]:
        """What was said about every clip that somebody said something about.

        Raises:
            UserError: A file was edited into something that is no such table.
        """
        texts, marks = read_override_rows(self.texts), read_marks(self.marks)
        said = {}
        for clip_id in {*texts, *marks}:
            text, mark = texts.get(clip_id), marks.get(clip_id)
            said[clip_id] = Said(
                text.description if text else "",
                tuple(cue.model_dump() for cue in text.cues) if text and text.cues is not None else None,
                mark.kind if mark else "",
                mark.reason if mark else "",
            )
        return said

    def get(self, clip_id: str) -> Said:
        """What was said about a clip."""
        return self.all().get(clip_id, Said())

    def change(self, clip_id: str, version: str, changes: Mapping[str, Any], by: str) -> Said:
        """Change what is said about a clip, if it still is what the person saw.

        Args:
            clip_id: The clip.
            version: :attr:`Said.version` of what the person saw.
            changes: ``description`` and ``cues``, or ``mark`` and ``reason``; empty ones withdraw.
            by: Who says so.

        Returns:
            What is said about the clip now.

        Raises:
            ConflictError: It is not what the person saw.
            UserError: A change is none, or cannot be written.
        """
        by = person_name(by)
        with folder_lock(self.folder):
            before = self._expected(clip_id, version)
            after = _checked(before, changes)
            if after != before:
                self._write(clip_id, before, after, by, "change")
            return after

    def undo(self, clip_id: str, version: str, by: str) -> Said:
        """Take back the last change of a clip that is not taken back yet.

        Raises:
            ConflictError: The clip is not what the person saw.
            UserError: There is nothing to take back.
        """
        by = person_name(by)
        with folder_lock(self.folder):
            now = self._expected(clip_id, version)
            undone = {entry["undoes"] for entry in self.entries(clip_id) if entry.get("undoes")}
            for entry in reversed(self.entries(clip_id)):
                if entry["what"] == "change" and entry["id"] not in undone and _said(entry["after"]) == now:
                    before = _said(entry["before"])
                    self._write(clip_id, now, before, by, "undo", entry["id"])
                    return before
            raise UserError("There is nothing to undo for this clip.")

    def entries(self, clip_id: str = "") -> list[dict[str, Any]]:
        """The history, of one clip or of all, the oldest first. A line that a crash cut short is left out."""
        try:
            lines = self.history.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            try:
                entry = json.loads(line)
                if isinstance(entry, dict) and clip_id in ("", entry["clip_id"]):
                    entries.append(entry)
            except (ValueError, KeyError):
                continue
        return entries

    def _expected(self, clip_id: str, version: str) -> Said:
        now = self.get(clip_id)
        if now.version != version:
            raise ConflictError("This clip was corrected in another window meanwhile. Nothing of yours was written.")
        return now

    def _write(self, clip_id: str, before: Said, after: Said, by: str, what: str, undoes: str = "") -> None:
        """All that can be refused is made first; then the history: a crash after it leaves a line too many there, and
        loses nothing."""
        texts, marks = self._with(clip_id, after)
        entry = {
            "id": uuid.uuid4().hex,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "by": by,
            "what": what,
            "clip_id": clip_id,
            "before": asdict(before),
            "after": asdict(after),
            **({"undoes": undoes} if undoes else {}),
        }
        append_line(self.history, entry)
        if (before.description, before.cues) != (after.description, after.cues):
            write_overrides(self.texts, texts)
        if (before.mark, before.reason) != (after.mark, after.reason):
            write_marks(self.marks, marks)

    def _with(self, clip_id: str, said: Said) -> tuple[dict[str, Override], dict[str, Mark]]:
        """Both tables with what is said about a clip."""
        texts, marks = read_override_rows(self.texts), read_marks(self.marks)
        texts.pop(clip_id, None)
        marks.pop(clip_id, None)
        if said.description:
            cues = None if said.cues is None else tuple(Cue.model_validate(cue) for cue in said.cues)
            texts[clip_id] = Override(said.description, cues)
        if said.mark:
            marks[clip_id] = Mark(said.mark, said.reason)
        return texts, marks


def person_name(given: str) -> str:
    """The name of a person, as it is kept and compared: phones add blanks to names.

    Raises :class:`UserError` when it holds what cannot be written.

    Example:
        >>> person_name(" ann ")
        'ann'
    """
    return _text(given[:MAX_NAME], "name", MAX_NAME)


def append_line(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one line of JSON to a file, on the disk when this returns; the caller holds the folder's lock."""
    before = path.read_bytes() if path.exists() else b""
    if before and not before.endswith(b"\n"):  # a crash cut the last line short
        before += b"\n"
    write_atomic(path, before + json.dumps(entry, ensure_ascii=False).encode() + b"\n")


def _said(stored: Mapping[str, Any]) -> Said:
    cues = stored.get("cues")
    return Said(
        stored.get("description", ""),
        None if cues is None else tuple(cues),
        stored.get("mark", ""),
        stored.get("reason", ""),
    )


def _checked(before: Said, changes: Mapping[str, Any]) -> Said:
    """``before`` with the changes in it. Raises :class:`UserError` when a change is none."""
    made = asdict(before) | {"cues": before.cues}
    if "description" in changes or "cues" in changes:
        made["description"] = _text(changes.get("description", before.description), "description", MAX_TEXT)
        made["cues"] = _cues(changes.get("cues", before.cues))
        if not made["description"]:
            made["cues"] = None  # withdrawn: the generated text counts again
    if "mark" in changes:
        made["mark"] = _text(changes["mark"], "mark", 20)
        made["reason"] = _text(changes.get("reason", ""), "reason", MAX_REASON)
        if made["mark"] and made["mark"] not in KINDS:
            raise UserError(f"A clip is marked {' or '.join(KINDS)}, not '{made['mark']}'.")
        if made["mark"] and not made["reason"]:
            raise UserError("A mark needs a reason: say in a few words why.")
        if not made["mark"]:
            made["reason"] = ""
    return Said(**made)


def _text(value: Any, name: str, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise UserError(f"The {name} is no text of at most {most} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"The {name} holds characters that cannot be written as UTF-8.") from None
    return collapse_whitespace("".join(each if each.isprintable() else " " for each in value))


def _cues(value: Any) -> tuple[dict[str, str], ...] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_CUES:
        raise UserError(f"The cues are no list of at most {MAX_CUES}.")
    try:
        checked = [Cue.model_validate(cue) for cue in value]
    except ValueError:
        raise UserError(
            "A cue needs a region, an action, an intensity (slightly, clearly, strongly) and a phase "
            "(onset, apex, offset)."
        ) from None
    return tuple(cue.model_dump() | {"action": _text(cue.action, "action", 200)} for cue in checked)
