"""Trials by random inputs: what a parser takes it gives back, and no input makes it fail otherwise than it says.

Hypothesis draws the examples, by the campaign's seed; one that fails is made smaller before it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unicodedata import category

from benchmarks.fault_trial import Outcome, Trial, crashed

KIND = "random"
EXAMPLES = 150
Property = Callable[[Any, Path], Any]
"""Makes a test from Hypothesis' strategies and a folder; the test gets one drawn value."""


def check(make: Property, seed: int, folder: Path) -> Outcome:
    """Draw examples for a property."""
    from hypothesis import HealthCheck, Phase, given, settings, strategies
    from hypothesis import seed as seeded

    strategy, test = make(strategies, folder)
    limits = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    try:
        seeded(seed)(limits(given(strategy)(test)))()
    except AssertionError as error:
        notes = " ".join(getattr(error, "__notes__", []))
        return Outcome("silent", f"{error} {notes}")
    except Exception as error:
        found = crashed(error)
        return Outcome("traceback", f"{found.detail} {' '.join(getattr(error, '__notes__', []))}")
    return Outcome("held", f"{EXAMPLES} examples")


def texts(st: Any, longest: int = 40) -> Any:
    """Texts that hold what breaks tables and terminals more often than chance."""
    odd = ["=", "+", "-", "@", "'", '"', ",", "\\", "\\x41", "\n", "\r", "\t", "\0", "\x1b[2J", "\u2028", "\u202e", "\ufeff", " ",
           "\u00a0", "\uff1d", "1e5", "<|endoftext|>", "</think>", "{", "}", "[", "grace-xxh3-128:" + "0" * 32, '{"checksum":"']  # fmt: skip
    letters = st.characters(exclude_categories=("Cs",))
    return st.lists(st.one_of(letters, st.sampled_from(odd)), max_size=longest).map("".join)


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
        assert not {category(sign) for sign in found["a"]} & {"Cc", "Cs", "Zl", "Zp"}, found
        assert "".join(found["a"].split())[:1] in "".join(text.split()), (text, found)

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


def parquet_rows(st: Any, folder: Path) -> Any:
    """Rows of texts come back from Parquet as they were given."""
    from grace.pipeline.store import read_table, write_table
    from grace.pipeline.store.schemas import DESCRIPTIONS

    def test(drawn: list[tuple[str, str]]) -> None:
        rows = [
            {"clip_id": f"{n}{a}", "status": "ok", "error": b, "description": a, "caption": b}
            for n, (a, b) in enumerate(drawn)
        ]
        write_table(folder / "d.parquet", DESCRIPTIONS, rows, {"fingerprint": "f"})
        found = read_table(folder / "d.parquet", DESCRIPTIONS)
        assert [{name: row[name] for name in rows[0]} for row in found] == rows, rows

    return st.lists(st.tuples(texts(st), texts(st)), min_size=1, max_size=5), test


def hdf5_rows(st: Any, folder: Path) -> Any:
    """Rows of numbers and texts come back from HDF5 as they were given."""
    import numpy as np

    from grace.pipeline.store import Store
    from grace.pipeline.store.schemas import MOTION

    store = Store(folder / "motion", MOTION)
    numbers = st.lists(st.floats(0, 1, width=16), min_size=8, max_size=8)
    without_nul = texts(st).map(lambda text: text.replace("\0", ""))  # HDF5's texts end with one

    def test(drawn: list[tuple[str, str, list[float]]]) -> None:
        rows = [
            {"clip_id": f"{n}{a}", "status": "ok", "error": b, "motion": np.array(values, np.float16).reshape(2, 2, 2)}
            for n, (a, b, values) in enumerate(drawn)
        ]
        store.write(0, rows, {"fingerprint": "f"})
        for row, found in zip(rows, store.read(0), strict=True):
            assert (found["clip_id"], found["error"]) == (row["clip_id"], row["error"]), row
            assert found["motion"].tobytes() == row["motion"].tobytes()

    return st.lists(st.tuples(without_nul, without_nul, numbers), min_size=1, max_size=4), test


def any_byte(st: Any, folder: Path) -> Any:
    """Any byte of a sealed file that changes is noticed."""
    from grace.pipeline.store.checksum import is_intact, seal

    def test(drawn: tuple[bytes, int, int]) -> None:
        content, place, change = drawn
        sealed = bytearray(seal(content))
        assert is_intact(bytes(sealed))
        sealed[place % len(sealed)] ^= change
        assert not is_intact(bytes(sealed)), drawn

    return st.tuples(st.binary(max_size=300), st.integers(0, 10**6), st.integers(1, 255)), test


def any_byte_of_a_store(kind: str, st: Any, folder: Path) -> Any:
    """The same of whole files, read as the stages read them."""
    from grace.pipeline.errors import UserError
    from grace.pipeline.store import read_table
    from grace.pipeline.store.formats import encode
    from grace.pipeline.store.schemas import CLIPS, MOTION

    schema = {"parquet": CLIPS, "h5": MOTION}[kind]
    content = encode(
        schema,
        [{"clip_id": "a", "status": "ok", "error": ""}, {"clip_id": "b", "status": "ok", "error": ""}],
        {"fingerprint": "f"},
    )
    path = folder / f"f.{kind}"

    def test(drawn: tuple[int, int]) -> None:
        place, change = drawn
        damaged = bytearray(content)
        damaged[place % len(damaged)] ^= change
        path.write_bytes(bytes(damaged))
        try:
            read_table(path, schema)
        except UserError:
            return
        raise AssertionError(f"byte {place % len(damaged)} changed by {change}, and nothing said")

    return st.tuples(st.integers(0, 10**6), st.integers(1, 255)), test


def response_lines(st: Any, folder: Path) -> Any:
    """Answers come back as they were kept; a damaged line is no answer."""
    from grace.pipeline.engines.base import Response
    from grace.pipeline.engines.responses import ResponseStore

    def test(drawn: tuple[str, bytes, int]) -> None:
        text, garbage, place = drawn
        where = folder / "responses"
        store = ResponseStore(where)
        store.add("key", Response(text))
        store.close()
        assert ResponseStore(where).get("key").text == text  # type: ignore[union-attr]
        (file,) = where.glob("*.jsonl")
        content = file.read_bytes()
        place %= len(content)
        file.write_bytes(content[:place] + garbage + content[place:])
        found = ResponseStore(where).get("key")
        assert found is None or found.text == text, (found, drawn)
        file.unlink()

    return st.tuples(texts(st), st.binary(max_size=20), st.integers(0, 10**6)), test


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


def journals(st: Any, folder: Path) -> Any:
    """A damaged journal of an index gives what was counted, or nothing."""
    from grace.pipeline.index.journal import FILE, Journal

    (folder / "a.mp4").write_bytes(b"one")

    def test(drawn: tuple[bytes, int]) -> None:
        garbage, place = drawn
        (folder / FILE).unlink(missing_ok=True)
        Journal(folder, folder).add("a.mp4", {"n_frames": 7})
        content = (folder / FILE).read_bytes()
        place %= len(content)
        (folder / FILE).write_bytes(content[:place] + garbage + content[place + 1 :])
        assert Journal(folder, folder).get("a.mp4") in (None, {"n_frames": 7})

    return st.tuples(st.binary(max_size=20), st.integers(0, 10**6)), test


PROPERTIES: dict[str, Property] = {
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
    "texts in Parquet": parquet_rows,
    "numbers in HDF5": hdf5_rows,
    "any byte of a sealed content": any_byte,
    "any byte of Parquet": partial(any_byte_of_a_store, "parquet"),
    "any byte of HDF5": partial(any_byte_of_a_store, "h5"),
    "kept answers": response_lines,
    "settings overridden": overrides_of_settings,
    "a damaged journal": journals,
}


def trials(seed: int) -> list[Trial]:
    """Every property, and each once more with other examples."""
    return [
        Trial(KIND, name if not again else f"{name}, again", partial(check, make, seed + 1000 * again), ("held",))
        for again in (0, 1)
        for name, make in PROPERTIES.items()
    ]
