"""Trials by random inputs of what is stored: what was written is read as it was, and any byte that changes is noticed.

It also holds how all random trials draw their examples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_trial import Outcome, crashed

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
    odd = [
        "=",
        "+",
        "-",
        "@",
        "'",
        '"',
        ",",
        "\\",
        "\\x41",
        "\n",
        "\r",
        "\t",
        "\0",
        "\x1b[2J",
        "\u2028",
        "\u202e",
        "\ufeff",
        " ",
        "\u00a0",
        "\uff1d",
        "1e5",
        "<|endoftext|>",
        "</think>",
        "{",
        "}",
        "[",
        "grace-xxh3-128:" + "0" * 32,
        '{"checksum":"',
    ]
    letters = st.characters(exclude_categories=("Cs",))
    return st.lists(st.one_of(letters, st.sampled_from(odd)), max_size=longest).map("".join)


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
            assert np.asarray(found["motion"]).tobytes() == np.asarray(row["motion"]).tobytes()

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


def journals(st: Any, folder: Path) -> Any:
    """A damaged journal of an index gives what was counted, or nothing."""
    from grace.pipeline.index.counting import PARTIAL
    from grace.pipeline.store.journal import Journal

    (folder / "a.mp4").write_bytes(b"one")

    def test(drawn: tuple[bytes, int]) -> None:
        garbage, place = drawn
        (folder / PARTIAL).unlink(missing_ok=True)
        Journal(folder / PARTIAL, folder).add("a.mp4", {"n_frames": 7})
        content = (folder / PARTIAL).read_bytes()
        place %= len(content)
        (folder / PARTIAL).write_bytes(content[:place] + garbage + content[place + 1 :])
        assert Journal(folder / PARTIAL, folder).get("a.mp4") in (None, {"n_frames": 7})

    return st.tuples(st.binary(max_size=20), st.integers(0, 10**6)), test


PROPERTIES: dict[str, Property] = {
    "texts in Parquet": parquet_rows,
    "numbers in HDF5": hdf5_rows,
    "any byte of a sealed content": any_byte,
    "any byte of Parquet": partial(any_byte_of_a_store, "parquet"),
    "any byte of HDF5": partial(any_byte_of_a_store, "h5"),
    "kept answers": response_lines,
    "a damaged journal": journals,
}
