"""Answers are kept by what was asked, whoever writes, whatever is damaged."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grace.pipeline.engines.base import Request, Response
from grace.pipeline.engines.responses import CachedEngine, ResponseStore, _checksum, damaged_lines, request_key


def request(text: str, **changed: Any) -> Request:
    return Request(({"role": "user", "content": [{"type": "text", "text": text}]},), **changed)


class CountingEngine:
    """Answers with the question's text, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.opened = 0

    def cache_key(self) -> dict[str, Any]:
        return {"engine": "counting"}

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        pass

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        for each in requests:
            text = each.messages[0]["content"][0]["text"]
            self.asked.append(text)
            yield Response(error="it broke") if text == "broken" else Response(f"answer to {text}", 3, 5)


def ask(folder: Path, *texts: str) -> tuple[list[str], CountingEngine]:
    engine = CountingEngine()
    cached = CachedEngine(engine, ResponseStore(folder))
    cached.open()
    answers = [response.text for response in cached.generate([request(text) for text in texts])]
    cached.close()
    return answers, engine


def test_only_new_questions_are_asked_and_order_is_kept(tmp_path: Path) -> None:
    assert ask(tmp_path, "a", "b")[1].asked == ["a", "b"]
    answers, engine = ask(tmp_path, "c", "b", "d", "a")
    assert answers == ["answer to c", "answer to b", "answer to d", "answer to a"]
    assert engine.asked == ["c", "d"]


def test_a_model_is_not_loaded_where_every_answer_is_known(tmp_path: Path) -> None:
    ask(tmp_path, "a")
    assert ask(tmp_path, "a")[1].opened == 0


def test_errors_are_not_kept(tmp_path: Path) -> None:
    ask(tmp_path, "broken")
    assert ask(tmp_path, "broken")[1].asked == ["broken"]


def test_a_torn_and_a_damaged_line_cost_their_question_only(tmp_path: Path) -> None:
    ask(tmp_path, "a", "b", "c")
    (path,) = tmp_path.glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0].replace(b"answer to a", b"answer to x") + lines[1] + lines[2][:-20])
    answers, engine = ask(tmp_path, "a", "b", "c")
    assert answers == ["answer to a", "answer to b", "answer to c"]
    assert engine.asked == ["a", "c"]


def write_many(folder: Path, name: str) -> None:
    ask(folder, *(f"{name}-{number}" for number in range(50)))


def test_several_writers_do_not_meet(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_many, args=(tmp_path, name)) for name in ("a", "b", "c")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    asked = [f"{name}-{number}" for name in ("c", "a", "b") for number in range(50)]
    assert ask(tmp_path, *asked)[1].asked == []


def test_what_is_asked_is_what_counts(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    base = request("a", images=(picture,))
    others = [
        request("b", images=(picture,)),
        request("a", images=(picture + 1,)),
        request("a", images=(picture.reshape(2, 8, 3),)),
        request("a", images=(picture,), schema={"type": "object"}),
        request("a", images=(picture,), max_tokens=3),
        request("a", images=(picture,), temperature=0.5),
        request("a", images=(picture,), temperature=0.5, seed=1),
    ]
    keys = {request_key({"model": "m"}, each) for each in (base, *others)}
    assert len(keys) == len(others) + 1
    assert request_key({"model": "m"}, request("a", images=(picture.copy(),))) in keys


def test_pandas_reads_it_and_a_store_travels_to_other_processes(tmp_path: Path) -> None:
    ask(tmp_path, "a", "b")
    (path,) = tmp_path.glob("*.jsonl")
    assert sorted(pd.read_json(path, lines=True)["text"]) == ["answer to a", "answer to b"]
    assert all("checksum" in json.loads(line) for line in path.read_text().splitlines())
    store = ResponseStore(tmp_path)
    store.open()
    key = request_key({"engine": "counting"}, request("a"))
    found = pickle.loads(pickle.dumps(store)).get(key)
    assert found is not None
    assert found.text == "answer to a"


def test_a_line_nested_beyond_reading_is_skipped(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    store.add("key", Response("The brows rise."))
    store.close()
    (tmp_path / "a.jsonl").write_bytes(b"[" * 100_000 + b"\n[]\n7\n")
    assert ResponseStore(tmp_path).get("key") == Response("The brows rise.")
    assert damaged_lines(tmp_path / "a.jsonl") == 3


def written(folder: Path, name: str, *steps: str) -> None:
    """A store's file of that name: ``add``s a text, or ``-`` forgets what the store gives."""
    store = ResponseStore(folder)
    for step in steps:
        if step == "-":
            store.forget("key")
        else:
            store.add("key", Response(step))
    store.close()
    (made,) = (path for path in folder.glob("*.jsonl") if len(path.stem) == 32)
    made.rename(folder / f"{name}.jsonl")


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_what_is_forgotten_is_one_answer_whatever_the_order_of_files(names: tuple[str, str], tmp_path: Path) -> None:
    written(tmp_path / "within", names[0], "bad", "-")
    written(tmp_path / "within", names[1], "good")
    assert ResponseStore(tmp_path / "within").get("key") == Response("good")
    written(tmp_path / "across", names[0], "bad")
    written(tmp_path / "across", names[1], "-")
    assert ResponseStore(tmp_path / "across").get("key") is None


def test_the_same_words_given_again_are_another_answer(tmp_path: Path) -> None:
    written(tmp_path, "a", "same", "-", "same", "-", "same")
    assert ResponseStore(tmp_path).get("key") == Response("same")
    written(tmp_path, "b", "-")
    assert ResponseStore(tmp_path).get("key") is None


def old_file(path: Path, seconds: int, *texts: str | None) -> None:
    """A file as earlier versions wrote it; None forgets without saying what."""
    path.parent.mkdir(exist_ok=True)
    lines = []
    for text in texts:
        says = (
            {"text": text, "error": "", "tokens_in": 3} if text else {"text": "", "error": "of no use", "tokens_in": 0}
        )
        content = {"key": "key", "tokens_out": 0, "finish_reason": "stop", **says}
        lines.append(json.dumps({**content, "checksum": _checksum(content)}, sort_keys=True))
    path.write_text("\n".join(lines) + "\n")
    os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("names", [("a", "b", "c"), ("b", "c", "a"), ("c", "b", "a")])
@pytest.mark.parametrize(
    "files",
    [
        (["bad", None], ["good"]),
        (["bad", None, "worse", None], ["good"]),
        (["bad"], [None], ["good"]),
        (["bad"], [None, "good"]),
        (["good"], ["bad", None]),
        (["good"],),
        (["good", None],),
        (["good"], [None]),
        (["bad", None, "good"],),
    ],
)
def test_no_answer_is_lost_to_a_line_of_an_earlier_version(
    files: Sequence[list[str | None]], names: Sequence[str], tmp_path: Path
) -> None:
    for seconds, (name, texts) in enumerate(zip(names, files, strict=False), 1000):
        old_file(tmp_path / f"{name}.jsonl", seconds, *texts)
    store = ResponseStore(tmp_path)
    assert store.get("key") == Response("good", 3)
    while store.get("key") is not None:
        store.forget("key")
    store.close()
    assert ResponseStore(tmp_path).get("key") is None
    assert sum(map(damaged_lines, tmp_path.glob("*.jsonl"))) == 0


def test_of_two_answers_to_one_question_the_first_counts(tmp_path: Path) -> None:
    """Threads that ask the same at once get one text: what a row holds is what the store gives next time."""
    store = ResponseStore(tmp_path)
    assert store.add("key", Response("one")) == Response("one")
    assert store.add("key", Response("two")) == Response("one")
    store.close()
    assert ResponseStore(tmp_path).get("key") == Response("one")
