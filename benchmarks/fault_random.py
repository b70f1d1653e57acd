"""Trials by random inputs: what a parser takes it gives back, and no input makes it fail otherwise than it says.

Hypothesis draws the examples, by the campaign's seed; one that fails is made smaller before it is shown.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import category

from benchmarks import fault_random_stores
from benchmarks.fault_random_stores import Property, check, texts
from benchmarks.fault_trial import Trial

KIND = "random"


def escaping(st: Any, folder: Path) -> Any:
    """A cell is printable, no formula, and gives back the text."""
    from grace.pipeline.strict_csv import _NUMBER, FORMULA, escape, unescape

    def test(text: str) -> None:
        cell = escape(text)
        assert unescape(cell) == text, (text, cell)
        assert cell.isprintable()
        assert not cell.lstrip().startswith(FORMULA) or _NUMBER.fullmatch(cell), cell

    return texts(st), test


def csv_round_trip(st: Any, folder: Path) -> Any:
    """A table that was written is read as it was given."""
    from grace.pipeline.strict_csv import decode_rows, encode_rows

    def test(rows: list[list[str]]) -> None:
        (folder / "t.csv").write_bytes(encode_rows(["a", "b"], rows))
        found = [[row["a"], row["b"]] for row in decode_rows(folder / "t.csv")]
        assert found == [row for row in rows if any(row)], rows

    return st.lists(st.tuples(texts(st), texts(st)).map(list), max_size=6), test


def csv_reader(st: Any, folder: Path) -> Any:
    """Any bytes are rows or one sentence."""
    from grace.pipeline.errors import UserError
    from grace.pipeline.strict_csv import read_rows

    def test(content: bytes) -> None:
        (folder / "t.csv").write_bytes(content)
        try:
            rows = list(read_rows(folder / "t.csv", ["path"]))
        except UserError as error:
            assert "\n" not in str(error) or "\n" in content.decode("utf-8", "replace")
        else:
            assert all(set(row) >= {"path"} for _, row in rows)

    return st.one_of(st.binary(max_size=200), texts(st).map(lambda text: f"path,label\n{text}".encode())), test


def yaml_values(st: Any, folder: Path) -> Any:
    """What JSON writes, YAML 1.2 reads."""
    from grace.pipeline.strict_yaml import parse_value

    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False)
    )
    plain = st.characters(
        exclude_categories=("Cs", "Cc", "Zl", "Zp", "Cn", "Co"), exclude_characters="\ufeff\ufffe\uffff"
    )
    words = st.text(plain, max_size=8)
    values = st.recursive(
        st.one_of(leaves, words),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
        max_leaves=12,
    )

    def test(value: Any) -> None:
        assert parse_value(json.dumps(value), "x") == value

    return values, test


def yaml_reader(st: Any, folder: Path) -> Any:
    """Any text is a value or one sentence."""
    from grace.pipeline.errors import UserError
    from grace.pipeline.strict_yaml import parse_value, read_yaml

    signs = st.text(st.sampled_from("ab: -[]{}&*!|>'\"%@`#,?\n\t0.~<"), max_size=40)

    def test(text: str) -> None:
        (folder / "t.yaml").write_text(text, newline="")
        for read in (partial(parse_value, text, "x"), partial(read_yaml, folder / "t.yaml")):
            try:
                read()
            except UserError as error:
                assert str(error)

    return st.one_of(signs, texts(st)), test


def json_objects(st: Any, folder: Path) -> Any:
    """An object among other words is found, whatever is before it and around it."""
    from grace.pipeline.text.json_objects import last_object

    noise = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="{}[]\"'"), max_size=30)

    def test(drawn: tuple[str, str, str]) -> None:
        before, text, after = drawn
        found, repaired = last_object(f"{before}{json.dumps({'description': text, 'cues': []})}{after}", "description")
        assert found == {"description": text, "cues": []}, drawn
        assert not repaired

    return st.tuples(noise, texts(st), noise), test


def answers(st: Any, folder: Path) -> Any:
    """Any answer is a description or a :class:`ValueError`; thoughts and special tokens never stay."""
    from grace.pipeline.engines.base import Response
    from grace.pipeline.text.answers import clean_response
    from grace.pipeline.text.cues import read_answer

    parts = st.sampled_from(
        [
            '{"description": "',
            '"}',
            '", "cues": [',
            "]}",
            '{"region": "brows"',
            "<think>",
            "</think>",
            "<unused94>thought",
            "<|END_THINKING|>",
            "Thinking: ",
            "Final answer: ",
            "```json\n",
            "The brows rise. ",
            "\\ud800",
            "\\u0000",
            "<|im_end|>",
            "[[[[",
            "}}",
        ]
    )

    def test(pieces: list[str]) -> None:
        text = "".join(pieces)
        try:
            found = read_answer(clean_response(Response(text)).text)
        except ValueError:
            return
        assert not {category(sign) for sign in found.description} & {"Cc", "Cs", "Zl", "Zp"}, found
        assert "<|" not in found.description
        assert "<think>" not in found.description

    return st.lists(st.one_of(parts, texts(st, 5)), max_size=14), test


def cues(st: Any, folder: Path) -> Any:
    """Whatever a cue's fields hold: it is dropped or it is one of the vocabulary."""
    from grace.pipeline.text.cues import read_answer
    from grace.pipeline.vocabulary import REGIONS

    words = st.sampled_from(
        ["brows", "mouth", "slightly", "very strongly", "onset", "fading", "apex", "none", "lips part", ""]
    )
    values = st.one_of(words, texts(st, 6), st.none(), st.integers(), st.lists(words, max_size=2), st.booleans())
    one = st.fixed_dictionaries({}, optional=dict.fromkeys(("region", "action", "intensity", "phase", "other"), values))

    def test(listed: list[Any]) -> None:
        found = read_answer(json.dumps({"description": "The brows rise.", "cues": listed}))
        assert len(found.cues) <= len(listed)
        for cue in found.cues:
            assert cue.region in REGIONS
            assert not {category(sign) for sign in cue.action} & {"Cc", "Cs", "Zl", "Zp"}, found

    return st.lists(st.one_of(one, values), max_size=5), test


def corrections(st: Any, folder: Path) -> Any:
    """A correction that is read is the text that was written, on one line."""
    from grace.pipeline.errors import UserError
    from grace.pipeline.store import write_clips
    from grace.pipeline.text.overrides import read_overrides

    write_clips(folder, [{"clip_id": "a", "status": "ok", "error": "", "label": "fear"}], ["fear"])

    def test(text: str) -> None:
        cell = '"' + text.replace('"', '""') + '"'
        (folder / "o.csv").write_text(f"clip_id,description\na,{cell}\n", newline="")
        try:
            found = read_overrides(folder / "o.csv", folder)
        except UserError:
            return
        written = found["a"].description
        assert not {category(sign) for sign in written} & {"Cc", "Cs", "Zl", "Zp"}, found
        assert "".join(written.split())[:1] in "".join(text.split()), (text, found)

    return texts(st), test


def list_lines(st: Any, folder: Path) -> Any:
    """Every line of a list file is an entry, or the file is one sentence."""
    from grace.pipeline.datasets.list_files import read_lines, whole_number
    from grace.pipeline.errors import UserError

    def test(content: bytes) -> None:
        (folder / "l.txt").write_bytes(content)
        try:
            lines = read_lines(folder / "l.txt")
        except UserError:
            return
        assert all(line.strip() and "\n" not in line and "\r" not in line for _, line in lines)
        for _, line in lines:
            assert (number := whole_number(line)) is None or 0 <= number < 2**31

    return st.one_of(
        st.binary(max_size=100), st.text("0123456789 .-\n\r\u0661\u00b2e", max_size=30).map(str.encode)
    ), test


def overrides_of_settings(st: Any, folder: Path) -> Any:
    """Any ``section.key=value`` gives settings or one sentence; values that fit are what was written."""
    from grace.pipeline.errors import UserError
    from grace.settings import load_settings

    known = st.sampled_from(
        [
            "faces.size",
            "workers",
            "train",
            "roots.x",
            "folds",
            "caption.server.url",
            "a.b",
            "",
            "max_failed",
            "train.seed",
        ]
    )

    def test(drawn: tuple[str, str, int]) -> None:
        key, value, number = drawn
        try:
            load_settings(None, [f"{key}={value}"])
        except UserError as error:
            str(error).encode()
        assert load_settings(None, [f"train.seed={number}"]).train.seed == number
        assert load_settings(None, [f"roots.x={json.dumps(f'a{number}')}"]).roots["x"] == f"a{number}"

    return st.tuples(known, texts(st, 10), st.integers(-(10**9), 10**9)), test


PROPERTIES: dict[str, Property] = {
    **fault_random_stores.PROPERTIES,
    "escaped cells": escaping,
    "tables written and read": csv_round_trip,
    "any bytes as CSV": csv_reader,
    "values of YAML": yaml_values,
    "any text as YAML": yaml_reader,
    "objects in an answer": json_objects,
    "any answer": answers,
    "any cue": cues,
    "corrections": corrections,
    "lines of lists": list_lines,
    "settings overridden": overrides_of_settings,
}


def trials(seed: int) -> list[Trial]:
    """Every property, and each once more with other examples."""
    return [
        Trial(KIND, name if not again else f"{name}, again", partial(check, make, seed + 1000 * again), ("held",))
        for again in (0, 1)
        for name, make in PROPERTIES.items()
    ]
