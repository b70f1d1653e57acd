"""Trials of odd tables and settings: clips.csv, list files, corrections, params.yaml, ``-S``, tables for the audit.

An odd cell costs its row or is a finding; an odd file is one sentence; what is merely unusual means what it says.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_corruptions import indexed
from benchmarks.fault_trial import Outcome, Trial, grace, held_if

KIND = "tables"
HEAD = "path,label,subject,fold"
ROWS = [
    f"clips/{number:02d}.mp4,{('happiness', 'sadness')[number % 2]},p{number // 2},{number // 2 % 2 + 1}"
    for number in range(4)
]
SENTENCE, ROW, HELD = ("sentence",), ("row",), ("held",)
SAID = ("row", "sentence")
Content = str | bytes


def written(content: Content, folder: Path) -> Outcome:
    """An index of a ``clips.csv``."""
    (folder / "raw/clips.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return indexed(folder)


def table(*changes: tuple[int, str], head: str = HEAD, end: str = "\n") -> str:
    """``clips.csv`` with some rows changed; row 0 is the first after the heading, and -1 adds one."""
    rows = list(ROWS)
    for number, row in changes:
        rows[number : number + 1] = [row] if number >= 0 else [rows[-1], row]
    return end.join([head, *rows]) + end


BOM16 = table().encode("utf-16")
CLIPS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "a byte-order mark": (b"\xef\xbb\xbf" + table().encode(), HELD),
    "UTF-16": (BOM16, HELD),
    "UTF-16 without its mark": (BOM16[2:], SENTENCE),
    "UTF-32": (table().encode("utf-32"), SENTENCE),
    "no UTF-8": (table((0, "clips/00.mp4,happiness,\xff,1")).encode("latin-1"), SENTENCE),
    "line ends of Windows": (table(end="\r\n"), HELD),
    "line ends of old Macs": (table(end="\r"), HELD),
    "no last line end": (table().rstrip("\n"), HELD),
    "blank lines": (table().replace("\n", "\n\n"), HELD),
    "blanks around cells": (table().replace(",", " , "), HELD),
    "columns in another order": (
        "label,fold,path,subject\n" + "".join("{1},{3},{0},{2}\n".format(*row.split(",")) for row in ROWS),
        HELD,
    ),
    "a column nobody knows": ("\n".join([f"{HEAD},mood", *(f"{row},x" for row in ROWS)]), HELD),
    "a column twice": (table(head=f"{HEAD},label"), SENTENCE),
    "a heading in capitals": (table(head=HEAD.upper()), SENTENCE),
    "no heading": ("\n".join(ROWS), SENTENCE),
    "only a heading": (HEAD + "\n", SENTENCE),
    "empty": ("", SENTENCE),
    "NUL bytes": (table((0, "clips/00.mp4,happi\0ness,p0,1")), SAID),
    "nothing but NUL": (bytes(1000), SENTENCE),
    "a cell too many": (table((1, f"{ROWS[1]},x")), SENTENCE),
    "cells too few": (table((1, "clips/01.mp4")), ROW),
    "semicolons": (table().replace(",", ";"), SENTENCE),
    "tabs": (table().replace(",", "\t"), SENTENCE),
    "an open quote": (table((1, f'"{ROWS[1]}')), SENTENCE),
    "a quote within a cell": (table((1, 'clips/01.mp4,"sadness"x,p0,1')), SENTENCE),
    "a fold of 5,000 digits": (table((1, f"clips/01.mp4,sadness,p0,{'9' * 5000}")), SENTENCE),
    "fold 0": (table((1, "clips/01.mp4,sadness,p0,0")), SENTENCE),
    "fold -1": (table((1, "clips/01.mp4,sadness,p0,-1")), SENTENCE),
    "fold 1.5": (table((1, "clips/01.mp4,sadness,p0,1.5")), SENTENCE),
    "fold 1.0": (table((0, "clips/00.mp4,happiness,p0,1.0")), HELD),
    "fold NaN": (table((1, "clips/01.mp4,sadness,p0,nan")), SENTENCE),
    "a fold of Arabic digits": (table((0, "clips/00.mp4,happiness,p0,\u0661")), ("held", "sentence")),
    "a row twice": (table((-1, ROWS[0])), ROW),
    "a row twice, other label": (table((-1, ROWS[0].replace("happiness", "fear"))), ROW),
    "a person on both sides": (table((0, "clips/00.mp4,happiness,p1,1")), ROW),
    "a label with a slip": (table((0, "clips/00.mp4,hapiness,p0,1")), ROW),
    "a label of capitals": (table((0, "clips/00.mp4, HAPPY ,p0,1")), HELD),
    "a path out of the root": (table((0, "../../etc/passwd,happiness,p0,1")), ROW),
    "an absolute path": (table((0, "/etc/passwd,happiness,p0,1")), ROW),
    "a path of Windows": (table((0, "clips\\00.mp4,happiness,p0,1")), HELD),
    "a path with dots": (table((0, "clips/./../clips/00.mp4,happiness,p0,1")), ("held", "row")),
    "a path that is a folder": (table((0, "clips,happiness,p0,1")), ROW),
    "no path": (table((0, ",happiness,p0,1")), ROW),
    "ESC in a path": (table((0, "clips/\x1b[2J.mp4,happiness,p0,1")), ROW),
    "a cell of 200,000 characters": (table((0, f"clips/00.mp4,{'x' * 200_000},p0,1")), SAID),
}


def configured(text: Content, words: tuple[str, ...], folder: Path) -> Outcome:
    """Settings that are read by a command: it refuses them, or does what it did before."""
    if text:
        (folder / "params.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return indexed(folder, *words)


def _bomb(levels: int) -> str:
    return "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, levels))


ROOT = "roots: {mine: raw}\n"
SETTINGS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "a key twice": (f"{ROOT}workers: 0\nworkers: 1\n", SENTENCE),
    "a section twice": (f"faces: {{size: 64}}\n{ROOT}faces: {{size: 96}}\n", SENTENCE),
    "a key twice in a section": (f"{ROOT}faces:\n  size: 64\n  size: 96\n", SENTENCE),
    "an unknown key": (f"{ROOT}wrokers: 1\n", SENTENCE),
    "an unknown key in a section": (f"{ROOT}faces: {{sise: 64}}\n", SENTENCE),
    "a section that is a value": (f"{ROOT}faces: 64\n", SENTENCE),
    "a section that is nothing": (f"{ROOT}faces:\n", ("sentence", "held")),
    "a list": ("- roots\n- faces\n", SENTENCE),
    "a number": ("7\n", SENTENCE),
    "two documents": (f"{ROOT}---\nworkers: 0\n", SENTENCE),
    "tabs": ("roots:\n\tmine: raw\n", SENTENCE),
    "a byte-order mark": (b"\xef\xbb\xbf" + ROOT.encode(), HELD),
    "UTF-16": (ROOT.encode("utf-16"), SENTENCE),
    "Latin-1": (f"{ROOT}data: \xe9\n".encode("latin-1"), SENTENCE),
    "NUL": (f"{ROOT}\0".encode(), SENTENCE),
    "line ends of Windows": (ROOT.replace("\n", "\r\n"), HELD),
    "a YAML bomb": (ROOT + _bomb(12), SENTENCE),
    "aliases that hold themselves": (f"{ROOT}faces: &a {{size: *a}}\n", SENTENCE),
    "merged bombs": (f"{ROOT}a: &a {{x: 1}}\nb: &b {{<<: [{', '.join(['*a'] * 500)}]}}\n", SENTENCE),
    "10,000 levels": (ROOT + "a: " + "[" * 10_000 + "]" * 10_000, SENTENCE),
    "1,000 levels of blanks": (ROOT + "".join(" " * n + "a:\n" for n in range(1000)), SENTENCE),
    "a megabyte": (ROOT + "# x\n" * 300_000, SENTENCE),
    "an object of Python": (f"{ROOT}workers: !!python/object/apply:os.system ['touch owned']\n", SENTENCE),
    "a tag nobody knows": (f"{ROOT}workers: !x 1\n", SENTENCE),
    "a share above 1": (f"{ROOT}max_failed: 1.5\n", SENTENCE),
    "NaN": (f"{ROOT}max_failed: .nan\n", SENTENCE),
    "infinite time": (f"{ROOT}clip_timeout: .inf\n", HELD),
    "a number of 5,000 digits": (f"{ROOT}workers: {'9' * 5000}\n", SENTENCE),
    "a huge number of workers": (f"{ROOT}workers: 1000000000000\n", ("held", "sentence")),
    "a fraction of a worker": (f"{ROOT}workers: 1.5\n", SENTENCE),
    "yes for a switch": (f"{ROOT}index: {{strict: yes}}\n", ("held", "sentence")),
    "a date for a name": (f"{ROOT}datasets: [2024-01-01]\n", SENTENCE),
    "an old name": (f"{ROOT}clip_seconds: 3\n", SENTENCE),
    "no root": ("roots: {}\n", SENTENCE),
    "a root that is a file": ("roots: {mine: params.yaml}\n", SENTENCE),
    "a root with NUL": ('roots: {mine: "a\\0b"}\n', SENTENCE),
    "a root of 100,000 characters": (f"roots: {{mine: {'x' * 90_000}}}\n", SENTENCE),
    "data that is a file": (f"{ROOT}data: params.yaml\n", SENTENCE),
    "a split by nothing known": (f"{ROOT}index: {{split: {{mine: {{by: mood, folds: 2}}}}}}\n", SENTENCE),
    "a split of 100 folds": (f"{ROOT}index: {{split: {{mine: {{by: subject, folds: 100}}}}}}\n", SENTENCE),
    "classes twice": (f"{ROOT}index: {{labels: {{mine: [happiness, happiness]}}}}\n", SAID),
    "a finding nobody knows": (f"{ROOT}index: {{accept: {{mine: [nonsense]}}}}\n", SENTENCE),
}
OVERRIDES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "-S without a value": (("-S", "workers"), SENTENCE),
    "-S of nothing": (("-S", ""), SENTENCE),
    "-S of =": (("-S", "="), SENTENCE),
    "-S of dots": (("-S", "...=1"), SENTENCE),
    "-S %": (("-S", "roots.mine=%DATA%/x"), SENTENCE),
    "-S @": (("-S", "caption.model=@org/m"), SENTENCE),
    "-S [1": (("-S", "folds=[1"), SENTENCE),
    "-S 010": (("-S", "workers=010"), HELD),
    "-S ! tag": (("-S", "workers=!!python/name:os.system"), SENTENCE),
    "-S a key of a value": (("-S", "workers.x=1"), SENTENCE),
    "-S a bomb": (("-S", f"roots={'[' * 5000}"), SENTENCE),
    "-S a backtick": (("-S", "data=`id`"), SENTENCE),
    "-S a newline": (("-S", "workers=1\nworkers=2"), SENTENCE),
    "-S a surrogate": (("-S", "data=\udcff"), SENTENCE),
    "-S NUL": (("-S", "data=a\0b"), SENTENCE),
    "a data set's name that leads out": (("-d", "../../x"), SENTENCE),
    "a data set's name with NUL": (("-d", "a\0b"), SENTENCE),
    "no settings file": (("--params", "nothing.yaml"), SENTENCE),
    "a folder for settings": (("--params", "raw"), SENTENCE),
    "a pipe for settings": (("--params", "pipe"), SENTENCE),
}


def overridden(words: tuple[str, ...], folder: Path) -> Outcome:
    """Odd words on the command line."""
    import os

    os.mkfifo(folder / "pipe")
    return configured("", words, folder)


LISTS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "a list": ("clips/00.mp4 8 0\nclips/01.mp4 8 1\n", HELD),
    "a list with a byte-order mark": (b"\xef\xbb\xbfclips/00.mp4 8 0\nclips/01.mp4 8 1\n", HELD),
    "numbers from 1": ("clips/00.mp4 8 1\nclips/01.mp4 8 2\n", SENTENCE),
    "a number that is none": ("clips/00.mp4 8 0\nclips/01.mp4 8 9\n", ROW),
    "frames that are none": ("clips/00.mp4 many 0\n", SENTENCE),
    "two cells": ("clips/00.mp4 8\n", SENTENCE),
    "a list of NUL": (bytes(100), SENTENCE),
    "a list of another encoding": ("clips/\xff.mp4 8 0\n".encode("latin-1"), SENTENCE),
    "a path out of a list": ("../x.mp4 8 0\nclips/01.mp4 8 1\n", ROW),
    "other frames": ("clips/00.mp4 9 0\nclips/01.mp4 8 1\n", ROW),
    "an empty list": ("", SENTENCE),
}


def listed(content: Content, folder: Path) -> Outcome:
    """A data set that comes as list files."""
    (folder / "raw/a.txt").write_bytes(content.encode() if isinstance(content, str) else content)
    lists = {"mine": {"folds": {1: {"train": "a.txt"}}, "labels": ["happiness", "sadness"]}}
    settings = {**json.loads((folder / "params.yaml").read_text()), "lists": lists}
    (folder / "params.yaml").write_text(json.dumps(settings))
    ran = grace("index", "-d", "mine")
    if ran.failure:
        return ran.failure
    from benchmarks.fault_bases import index_rows

    rows = index_rows(folder)
    found = (folder / "data/mine/reconciliation.csv").read_text().splitlines()[1:]
    odd = [line for line in found if not line.startswith("files that no list names")]
    if odd:
        return Outcome("row", odd[0])
    labels = {clip: (row["label"], row["fold_1"], row["status"]) for clip, row in rows.items()}
    right = {"clips/00": ("happiness", "train", "ok"), "clips/01": ("sadness", "train", "ok")}
    return held_if(labels == right, str(labels))


LINES = {
    "a comma in a text": ("clips/00,The brows rise, then the mouth opens.", SENTENCE),
    "a comma without a blank": ("clips/00,The brows rise,then the mouth opens.", SENTENCE),
    "a clip nobody knows": ("clips/99,The brows rise.", SENTENCE),
    "a clip twice": ("clips/00,The brows rise.\nclips/00,The lips part.", SENTENCE),
    "no text": ("clips/00,", SENTENCE),
    "blanks for a text": ('clips/00,"  \t "', SENTENCE),
    "an open quote": ('clips/00,"The brows rise.', SENTENCE),
    "nothing printable": ("clips/00,\u200b\u200b", SENTENCE),
    "U+2028": ("clips/00,The brows\u2028clips/01", HELD),
    "a control token": ("clips/00,The brows rise.<|endoftext|>", HELD),
}


def corrected(lines: str, folder: Path) -> Outcome:
    """Corrections as refine reads them: refused, or the text of the clip that is named and of no other."""
    from grace.pipeline.text.overrides import read_overrides

    (folder / "overrides.csv").write_text(f"clip_id,description\n{lines}\n")
    found = read_overrides(folder / "overrides.csv", folder / "data/mine")
    right = set(found) == {"clips/00"} and "<|" not in found["clips/00"] and "\u2028" not in found["clips/00"]
    return held_if(right, str(found))


AUDITED: dict[str, tuple[str, Content]] = {
    "an empty table": ("t.csv", ""),
    "a table of NUL": ("t.csv", bytes(100)),
    "a ragged table": ("t.csv", "text,a\nx,1\ny,2,3\n"),
    "no such column": ("t.csv", "words\nx\n"),
    "broken Parquet": ("t.parquet", b"PAR1" + bytes(50) + b"PAR1"),
    "broken JSON lines": ("t.jsonl", '{"text": "x"}\n{"text": '),
    "deep JSON lines": ("t.jsonl", '{"text": ' + "[" * 100_000),
    "no table at all": ("t.png", b"\x89PNG"),
    "another encoding": ("t.csv", "text\n\xff\xfe\n".encode("latin-1")),
    "a quote without an end": ("t.csv", 'text\n"x\n'),
}


def audited(name: str, content: Content, folder: Path) -> Outcome:
    """A stranger's table for the audit."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    ran = grace("audit", "--table", name, "--text", "text", "--tokenizer", "pocket/clip")
    return ran.failure or Outcome("silent", f"taken: {ran.output[-100:]}")


def trials(seed: int) -> list[Trial]:
    """Every table and setting."""
    groups: list[tuple[dict[str, tuple[Any, tuple[str, ...]]], Callable[..., Callable[[Path], Outcome]], str]] = [
        (CLIPS, lambda content: partial(written, content), "clips.csv"),
        (SETTINGS, lambda text: partial(configured, text, ()), "params.yaml"),
        (OVERRIDES, lambda words: partial(overridden, words), "the command line"),
        (LISTS, lambda content: partial(listed, content), "list files"),
        (LINES, lambda lines: partial(corrected, lines), "corrections"),
    ]
    found = [
        Trial(KIND, f"{where}: {name}", make(content), expected, "clips")
        for cases, make, where in groups
        for name, (content, expected) in cases.items()
    ]
    return found + [
        Trial(KIND, f"audit: {name}", partial(audited, *case), SENTENCE, "") for name, case in AUDITED.items()
    ]
