"""Settings files are read as DVC reads them, and nothing in them is taken twice or silently."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from grace.pipeline.errors import UserError
from grace.pipeline.strict_yaml import parse_value, read_yaml
from grace.settings import load_settings

BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
"""Aliases of aliases: a few lines that stand for half a million values."""


MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
"""The same by merging, which copies the keys of each alias: hours, where it is not refused before."""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train: {seed: 1}\nfaces: {}\n\ntrain: {epochs: 3}\n", "key 'train' stands twice, in line 1 and in line 4"),
        ("faces:\n  size: 96\n  size: 128\n", "key 'size' stands twice, in line 2 and in line 3"),
        ("a: [1\n", "line 2"),
        ("a: b: c\n", "line 1"),
        ("a: !!python/object:os.system x\n", "tag"),
        ("[" * 10_000, "nested too deeply"),
        ("- " * 10_000, "nested too deeply"),
        (BOMB, "10,000 values"),
        ("a: &a [*a]\n", "10,000 values"),
        (MERGES, "10,000 values"),
        ("a: &a {x: *a}\n", "10,000 values"),
        ("? " * 10_000, "nested too deeply"),
        ("a: " + "[" * 40_000 + "]" * 40_000, "nested too deeply"),
        ("data: x\nworkers: " + "1" * 50_000, "line 2: more than 100 digits are no number"),
        ("x" * 200_000, "larger than 100 kB"),
        ("a: [" + "1, " * 20_000 + "1]\n", "10,000 values"),
        ("a: 1\nb: \x00\n", "line 2: the character U+0000 is not allowed"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert str(error.value).startswith(str(path))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_and_words_are_those_of_yaml_1_2() -> None:
    values = [parse_value(text, "--set x") for text in ("010", "0o10", "no", "on", "1e-3", "null", ".inf", "'010'")]
    assert values == [10, 8, "no", "on", 0.001, None, float("inf"), "010"]


@pytest.mark.parametrize("written", ["%DATA%/x", "@org/model", "[1", "'open", "a: b: c"])
def test_a_value_with_signs_is_to_be_quoted(written: str) -> None:
    with pytest.raises(UserError, match="put text with signs in quotes"):
        parse_value(written, "--set roots.x")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=0x3FF), max_size=60))
def test_any_text_gives_a_value_or_one_sentence(text: str) -> None:
    try:
        parse_value(text, "--set x")
    except UserError as error:
        assert "\n" not in str(error).replace(text, "")


words = st.text("abc XYZ019.-_", max_size=12)
plain = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | words


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=6), plain | st.lists(plain, max_size=4), max_size=6))
def test_what_a_writer_wrote_is_read(content: dict[str, object]) -> None:
    from io import StringIO

    out = StringIO()
    YAML(typ="safe", pure=True).dump(content, out)
    assert parse_value(out.getvalue(), "--set x") == content


@pytest.mark.parametrize(
    "override",
    [
        "workers=0x" + "f" * 5_000 + ".",
        "faces.margin=0x" + "f" * 5_000,
        "train.seed=1e400",
        "faces.size=[" + "1, " * 3_000 + "1]",
        "datasets={" + ", ".join(f"k{number}: 1" for number in range(2_000)) + "}",
        "faces={" + ", ".join(f"k{number}: 1" for number in range(2_000)) + "}",
        "faces.size=" + "[" * 5_000,
        "x" * 5_000 + "=1",
    ],
)
def test_a_wrong_setting_of_any_size_is_a_short_sentence(override: str) -> None:
    with pytest.raises(UserError) as error:
        load_settings(None, [override])
    assert len(str(error.value)) < 12_000
    assert "\n" not in str(error.value)


def test_json_is_yaml_characters_of_two_escapes_included(tmp_path: Path) -> None:
    content = {"roots": {"\U0001f600": ["a \U00010000"]}}
    (tmp_path / "a.yaml").write_text(json.dumps(content))
    assert read_yaml(tmp_path / "a.yaml") == content


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UserError, match="half a character"):
        parse_value('"a \\ud800 b"', "--set x")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(UserError, match="is not a regular file"):
        read_yaml(tmp_path / "a.yaml")
