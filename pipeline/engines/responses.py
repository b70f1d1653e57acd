"""Answers of models, kept by what was asked: no question is paid for twice.

Shards come and go with the order of the clips, their number and the settings; answers stay. They lie beside the shards
as JSON lines, one file per writer, which pandas reads (``pd.read_json(path, lines=True)``). A file is only ever
appended to by the process that made it, so several writers, on a network disk too, do not interfere; a torn or damaged
line is skipped, and its question asked again.

An answer counts until a line names its checksum in ``forgets``; so the order of lines and files does not matter. Lines
that earlier versions wrote to forget a question (``error`` "of no use") name no answer. They forget nothing: an answer
before one counts where the question has no other, so that no accepted answer is lost to them.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import xxhash

from grace.pipeline.engines.base import Engine, Request, Response
from grace.pipeline.errors import GraceError, os_error_sentence
from grace.pipeline.store import find_paths, fingerprint

FORGOTTEN = "of no use"
"""The ``error`` of a line that forgets an answer."""


class _Place(NamedTuple):
    """Where an answer stands."""

    path: Path
    offset: int
    length: int
    checksum: str


class _Line(NamedTuple):
    """What a line says: an answer, or which one is forgotten (lines of earlier versions do not say which)."""

    key: str
    response: Response
    checksum: str
    forgets: str | None

    @property
    def is_answer(self) -> bool:
        return not self.response.error


def request_key(engine_key: dict[str, Any], request: Request) -> str:
    """What identifies a question: the model and how it runs, the chat, the pictures, the schema, the sampling.

    Example:
        >>> chat = ({"role": "user", "content": [{"type": "text", "text": "What does the face do?"}]},)
        >>> request_key({"model": "a"}, Request(chat)) == request_key({"model": "a"}, Request(chat, seed=5))
        True
        >>> request_key({"model": "a"}, Request(chat)) == request_key({"model": "b"}, Request(chat))
        False
    """
    pictures = [[list(image.shape), hashlib.sha256(image.tobytes()).hexdigest()] for image in request.images]
    asked = {
        "engine": engine_key,
        "messages": request.messages,
        "images": pictures,
        "schema": request.schema,
        "temperature": request.temperature,
        "seed": request.seed if request.temperature > 0 else None,  # the likeliest answer is not drawn
        "max_tokens": request.max_tokens,
    }
    return fingerprint(asked)


@dataclass
class ResponseStore:
    """The answers of one stage, in ``data/<dataset>/responses/<stage>/``. Picklable until it is opened.

    Example:
        >>> from tempfile import mkdtemp
        >>> store = ResponseStore(Path(mkdtemp()))
        >>> _ = store.add("a key", Response("The brows rise."))
        >>> ResponseStore(store.folder).get("a key").text
        'The brows rise.'
    """

    folder: Path
    _answers: dict[str, list[_Place]] | None = field(default=None, init=False, repr=False)
    """The answers to each question that are not forgotten; the first one counts."""
    _forgotten: dict[str, set[str]] = field(default_factory=dict, init=False, repr=False)
    """Checksums of those that are."""
    _file: int | None = field(default=None, init=False, repr=False)
    _path: Path | None = field(default=None, init=False, repr=False)
    _lock: Any = field(default=None, init=False, repr=False)

    def open(self) -> None:
        """Find what earlier runs have left."""
        if self._answers is not None:
            return
        self._lock = Lock()
        self._answers, doubted = {}, set[str]()
        for path in sorted(
            find_paths(Path(self.folder), "*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name)
        ):
            self._scan(path, self._answers, doubted)
        for key in self._forgotten:
            self._drop_forgotten(key)
        for places in self._answers.values():
            if len(places) > 1:  # writers that met at one question
                places.sort(key=lambda place: (place.checksum in doubted, place.checksum))

    def get(self, key: str) -> Response | None:
        """The answer to a question, or None when it was never answered, or its answers are forgotten."""
        self.open()
        found = self._find(key)
        return None if found is None else found[1].response

    def get_earlier(self, key: str) -> Response | None:
        """The answer to a question, where it was there before this run."""
        self.open()
        found = self._find(key)
        return None if found is None or found[0].path == self._path else found[1].response

    def forget(self, key: str) -> None:
        """Let the answer to a question count no more: it is asked again, unless there is another answer."""
        self.open()
        with self._lock:
            if (found := self._find(key)) is not None:
                checksum = found[1].checksum
                self._write({"key": key, **asdict(Response(error=FORGOTTEN)), "forgets": checksum})
                self._forgotten.setdefault(key, set()).add(checksum)
                self._drop_forgotten(key)

    def add(self, key: str, response: Response) -> Response:
        """Keep an answer. It is on the disk's way when this returns; :meth:`close` waits until it is there.

        Returns:
            The answer that counts: the first one, where the question was answered meanwhile.
        """
        self.open()
        assert self._answers is not None
        content = {"key": key, **asdict(response)}
        with self._lock:
            if (found := self._find(key)) is not None:
                return found[1].response
            if times := len(self._forgotten.get(key, ())):
                content["times_forgotten"] = times  # or the same words would have the checksum that is forgotten
            self._answers[key] = [self._write(content)]
        return response

    def _find(self, key: str) -> tuple[_Place, _Line] | None:
        """The answer that counts: the first that can still be read."""
        assert self._answers is not None
        for place in self._answers.get(key, ()):
            with place.path.open("rb") as file:
                file.seek(place.offset)
                line = _parse(file.read(place.length))
            if line is not None and line.is_answer:
                return place, line
        return None

    def _drop_forgotten(self, key: str) -> None:
        assert self._answers is not None
        kept = [place for place in self._answers.get(key, ()) if place.checksum not in self._forgotten[key]]
        if kept:
            self._answers[key] = kept
        else:
            self._answers.pop(key, None)

    def _write(self, content: dict[str, Any]) -> _Place:
        checksum = _checksum(content)
        line = json.dumps({**content, "checksum": checksum}, sort_keys=True).encode() + b"\n"
        try:
            return self._append(line, checksum)
        except OSError as error:
            raise GraceError(os_error_sentence(error, self.folder, len(line))) from error

    def _append(self, line: bytes, checksum: str) -> _Place:
        """Write a line whole or not at all: others may follow it."""
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._path = self.folder / f"{uuid.uuid4().hex}.jsonl"
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o644)
        assert self._path is not None
        offset = os.lseek(self._file, 0, os.SEEK_END)
        try:
            _write_all(self._file, line)
        except BaseException:
            os.ftruncate(self._file, offset)
            raise
        return _Place(self._path, offset, len(line), checksum)

    def close(self) -> None:
        """Have everything on the disk; the store may be used again."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _scan(self, path: Path, answers: dict[str, list[_Place]], doubted: set[str]) -> None:
        """Read a file; ``doubted`` gets the checksums of answers that a line without a name may have meant."""
        offset = 0
        with path.open("rb") as file:
            for content in file:
                line = _parse(content)
                if line is not None and line.is_answer:
                    answers.setdefault(line.key, []).append(_Place(path, offset, len(content), line.checksum))
                elif line is not None and line.forgets is not None:
                    self._forgotten.setdefault(line.key, set()).add(line.forgets)
                elif line is not None:  # it meant one of its own file; without any, one of an older file
                    known = answers.get(line.key, [])
                    meant = [place for place in known if place.path == path] or known
                    doubted.update(place.checksum for place in meant)
                offset += len(content)


@dataclass
class CachedEngine:
    """An engine that is asked only what the store does not know; its model is loaded for the first such question."""

    engine: Engine
    store: ResponseStore
    _opening: Any = field(default=None, init=False, repr=False)
    _key: dict[str, Any] | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opening": None}

    def cache_key(self) -> dict[str, Any]:
        """That of the engine."""
        if self._key is None:
            self._key = self.engine.cache_key()
        return self._key

    def open(self) -> None:
        """Find the answers that are there."""
        self.store.open()
        self._opening = Lock()

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Answer every request, in their order; what the engine answers is kept, errors are not."""
        keys = [request_key(self.cache_key(), request) for request in requests]
        known = [self.store.get(key) for key in keys]
        missing = [request for request, response in zip(requests, known, strict=True) if response is None]
        answers = self._ask(missing)
        for key, found in zip(keys, known, strict=True):
            if found is not None:
                yield found
                continue
            response = next(answers)
            yield response if response.error else self.store.add(key, response)

    def earlier(self, requests: Sequence[Request]) -> list[Response | None]:
        """What earlier runs were answered, None where they were not; nobody is asked."""
        return [self.store.get_earlier(request_key(self.cache_key(), request)) for request in requests]

    def forget(self, requests: Sequence[Request]) -> None:
        """Have questions asked again."""
        for request in requests:
            self.store.forget(request_key(self.cache_key(), request))

    def close(self) -> None:
        """Give the model's memory back and have every answer on the disk."""
        self.engine.close()
        self.store.close()

    def _ask(self, requests: Sequence[Request]) -> Iterator[Response]:
        if requests:
            with self._opening:  # several threads ask; one loads the model
                self.engine.open()  # does nothing where it is open
            yield from self.engine.generate(requests)


def _checksum(content: dict[str, Any]) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(content, sort_keys=True).encode())


def damaged_lines(path: Path) -> int:
    """How many lines of a file of answers are torn or damaged; one that was not finished by a killed writer is one."""
    with path.open("rb") as file:
        return sum(_parse(line) is None for line in file)


def _parse(line: bytes) -> _Line | None:
    """What a line says; None where it is torn or damaged."""
    try:
        content = json.loads(line)
        checksum = content.pop("checksum")
        if not line.endswith(b"\n") or _checksum(content) != checksum:
            return None
        key, forgets = content.pop("key"), content.pop("forgets", None)
        content.pop("times_forgotten", None)
        return _Line(key, Response(**content), checksum, forgets)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
