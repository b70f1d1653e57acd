"""Tables that we write are harmless to spreadsheets and terminals, and say what they said when they are read back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grace.pipeline.errors import UserError
from grace.pipeline.index.marks import Mark, read_marks, write_marks
from grace.pipeline.index.reconciliation import UNLISTED, Reconciliation
from grace.pipeline.strict_csv import FORMULA, decode_rows, encode_rows, escape, read_rows, unescape
from grace.pipeline.text.cues import Cue
from grace.pipeline.text.overrides import Override, read_override_rows, write_overrides
from grace.trainer.runs import csv_table

HOSTILE = [
    *('=HYPERLINK("http://a.example","b")', "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1"),
    *(
        "\x1b]0;title\x07",
        "\x1b[2J",
        "a\x00b",
        "\uff1d1",
        "\u202egpj.exe",
        "a\u2028b",
        "\udcff",
        "'=1",
        "'",
        "\\x1b",
        "\\",
    ),
    *(
        "",
        " a ",
        "a,b",
        'a"b',
        "a\r\nb",
        "\x85",
        "=",
        "-",
        "--help",
        "+49 30 1",
        "-1",
        "1e5",
        "-.5",
        "−1",
        "😀",
        "\U000e0001",
    ),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_is_harmless_and_is_read_back(text: str, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(encode_rows(["clip", "detail"], [[text, "x"]]))
    cell = next(iter(csv.reader(file.read_text(encoding="utf-8").splitlines()[1:])))[0]
    assert cell.isprintable()
    assert not cell.lstrip().startswith(FORMULA) or cell in ("-1", "-.5")
    assert decode_rows(file) == [{"clip": text, "detail": "x"}]


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters() | st.sampled_from("=+-@'\\ \t\x1b\u2028\udcff")))
def test_any_text_is_printable_and_read_back(text: str) -> None:
    cell = escape(text)
    assert cell.isprintable()
    assert cell == cell.strip()
    assert unescape(cell) == text


def test_findings_about_hostile_file_names_are_written_harmlessly(tmp_path: Path) -> None:
    found = Reconciliation()
    for name in HOSTILE:
        found.note(UNLISTED, name, name)
    rows = decode_rows(found.write(tmp_path))
    assert [row["clip"] for row in rows] == [row["detail"] for row in rows] == HOSTILE
    content = (tmp_path / "reconciliation.csv").read_text(encoding="utf-8")
    assert "\x1b" not in content
    assert "\n=" not in content
    assert ",=" not in content


def test_numbers_stay_numbers_in_tables_of_results() -> None:
    rows = [{"epoch": 1, "loss": "-0.25", "low": -0.5, "none": None, "label": "=anger"}]
    assert csv_table(rows) == b"epoch,loss,low,none,label\n1,-0.25,-0.5,,'=anger\n"


IDS = [text for text in HOSTILE if text]
TEXTS = ["=cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "'Tis a smile, held.", "\\x41", "C:\\clips", "\\\\", "a  \x1b[2J b"]


def assert_harmless(file: Path) -> None:
    content = file.read_text(encoding="utf-8")
    assert content.replace("\n", "").isprintable()
    for row in csv.reader(content.splitlines()):
        assert not any(cell.lstrip().startswith(FORMULA) and cell not in ("-1", "-.5") for cell in row)


def test_corrections_of_hostile_ids_and_texts_are_harmless_and_read_back(tmp_path: Path) -> None:
    cues = (Cue(region="mouth", action='=1 \\ "a"', intensity="slightly", phase="onset"),)
    given = {name: Override(TEXTS[n % len(TEXTS)], cues if n % 2 else None) for n, name in enumerate(IDS)}
    for file, overrides in (
        ("all.csv", given),
        ("texts.csv", {name: Override(given[name].description) for name in IDS}),
    ):
        write_overrides(tmp_path / file, overrides)
        assert_harmless(tmp_path / file)
        found = read_override_rows(tmp_path / file)
        assert {name: found[name].cues for name in found} == {name: overrides[name].cues for name in IDS}
        said = [found[name].description for name in IDS]
        assert said == [overrides[name].description.replace("  \x1b", " ") for name in IDS]


def test_marks_of_hostile_ids_and_reasons_are_harmless_and_read_back(tmp_path: Path) -> None:
    marks = {name: Mark("doubtful", TEXTS[n % (len(TEXTS) - 1)]) for n, name in enumerate(IDS)}
    write_marks(tmp_path / "marks.csv", marks)
    assert_harmless(tmp_path / "marks.csv")
    assert read_marks(tmp_path / "marks.csv") == marks


@pytest.mark.parametrize("text", ["'Tis a smile", "=1", "C:\\clips", "\\x1", "a\\q", "\\Uffffffff", "say \\"])
def test_what_a_person_wrote_by_hand_stays_as_it_is(text: str, tmp_path: Path) -> None:
    """Files of earlier versions hold cells as they are, too."""
    assert unescape(text) == text
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("clip_id", "description"), (text, text)])
    assert read_override_rows(tmp_path / "texts.csv") == {text: Override(text)}
    with (tmp_path / "marks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("clip_id", "mark", "reason"), (text, "doubtful", text)])
    assert read_marks(tmp_path / "marks.csv") == {text: Mark("doubtful", text)}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("path,label\n".encode("utf-16")[2:], "holds NUL characters and is not UTF-8 text: save it as UTF-8"),
        ("path,label\n".encode("utf-32"), "holds NUL characters and is not UTF-8 text: save it as UTF-8"),
        (bytes(100), "holds NUL characters"),
        (b"path\n\xff\n", "is not UTF-8 text: save it as UTF-8"),
        (b"path;label\nx;y\n", "it has path;label: name the columns in the first line, .* with commas between them"),
    ],
)
def test_a_table_of_another_kind_is_named_as_such(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"t\.csv .*{sentence}"):
        list(read_rows(tmp_path / "t.csv", ["path"]))
