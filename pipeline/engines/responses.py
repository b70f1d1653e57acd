"""Answers of models, kept by what was asked: no question is paid for twice.

Shards come and go with the order of the clips, their number and the settings; answers stay. They lie beside the shards
as JSON lines, one file per writer, which pandas reads (``pd.read_json(path, lines=True)``). A file is only ever
appended to by the process that made it, so several writers, on a network disk too, do not interfere; a torn or damaged
line is skipped, and its question asked again.
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
from typing import Any

import xxhash

from grace.pipeline.engines.base import Engine, Request, Response
from grace.pipeline.errors import GraceError, os_error_sentence
from grace.pipeline.store import fingerprint

Place = tuple[Path, int, int]
"""File, offset and length of a line."""


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
        >>> store.add("a key", Response("The brows rise."))
        >>> ResponseStore(store.folder).get("a key").text
        'The brows rise.'
    """

    folder: Path
    _places: dict[str, Place] | None = field(default=None, init=False, repr=False)
    _file: int | None = field(default=None, init=False, repr=False)
    _path: Path | None = field(default=None, init=False, repr=False)
    _lock: Any = field(default=None, init=False, repr=False)

    def open(self) -> None:
        """Find what earlier runs have left."""
        if self._places is None:
            self._lock = Lock()
            self._places = {}
            for path in sorted(Path(self.folder).glob("*.jsonl")):
                self._scan(path, self._places)

    def get(self, key: str) -> Response | None:
        """The answer to a question, or None when it was never answered."""
        self.open()
        assert self._places is not None
        place = self._places.get(key)
        if place is None:
            return None
        path, offset, length = place
        with path.open("rb") as file:
            file.seek(offset)
            found = _parse(file.read(length))
        return None if found is None or found[1].error else found[1]

    def forget(self, key: str) -> None:
        """Have a question asked again next time: its answer was of no use."""
        if self.get(key) is not None:
            self.add(key, Response(error="of no use"))

    def add(self, key: str, response: Response) -> None:
        """Keep an answer. It is on the disk's way when this returns; :meth:`close` waits until it is there."""
        self.open()
        assert self._places is not None
        line = _line(key, response)
        with self._lock:
            try:
                self._places[key] = self._append(line)
            except OSError as error:
                raise GraceError(os_error_sentence(error, self.folder, len(line))) from error

    def _append(self, line: bytes) -> Place:
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
        return self._path, offset, len(line)

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

    @staticmethod
    def _scan(path: Path, places: dict[str, Place]) -> None:
        offset = 0
        with path.open("rb") as file:
            for line in file:
                found = _parse(line)
                if found is not None:
                    places[found[0]] = (path, offset, len(line))
                offset += len(line)


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
            if not response.error:
                self.store.add(key, response)
            yield response

    def forget(self, requests: Sequence[Request]) -> None:
        """Have questions asked again next time."""
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


def _line(key: str, response: Response) -> bytes:
    content = {"key": key, **asdict(response)}
    return json.dumps({**content, "checksum": _checksum(content)}, sort_keys=True).encode() + b"\n"


def _checksum(content: dict[str, Any]) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(content, sort_keys=True).encode())


def damaged_lines(path: Path) -> int:
    """How many lines of a file of answers are torn or damaged; one that was not finished by a killed writer is one."""
    with path.open("rb") as file:
        return sum(_parse(line) is None for line in file)


def _parse(line: bytes) -> tuple[str, Response] | None:
    """Key and answer of a line; None where it is torn or damaged."""
    try:
        content = json.loads(line)
        checksum = content.pop("checksum")
        if not line.endswith(b"\n") or _checksum(content) != checksum:
            return None
        return content.pop("key"), Response(**content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]
