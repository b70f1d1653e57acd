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
Case = tuple[Any, ...]
"""What is tried, the verdicts that are right, and words that a sentence or row about it holds."""


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
CLIPS: dict[str, Case] = {
    "a byte-order mark": (b"\xef\xbb\xbf" + table().encode(), HELD),
    "UTF-16": (BOM16, HELD),
    "UTF-16 without its mark": (BOM16[2:], SENTENCE, "UTF-8"),
    "UTF-32": (table().encode("utf-32"), SENTENCE, "UTF-8"),
    "no UTF-8": (table((0, "clips/00.mp4,happiness,\xff,1")).encode("latin-1"), SENTENCE, "UTF-8"),
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
    "a column twice": (table(head=f"{HEAD},label"), SENTENCE, "two columns of one name"),
    "a heading in capitals": (table(head=HEAD.upper()), HELD),
    "no heading": ("\n".join(ROWS), SENTENCE, "column path"),
    "only a heading": (HEAD + "\n", SENTENCE, "no clip"),
    "empty": ("", SENTENCE, "column path"),
    "NUL bytes": (table((0, "clips/00.mp4,happi\0ness,p0,1")), SAID, "clips/00"),
    "nothing but NUL": (bytes(1000), SENTENCE, "UTF-8"),
    "a cell too many": (table((1, f"{ROWS[1]},x")), SENTENCE, "line 3: more cells"),
    "cells too few": (table((1, "clips/01.mp4")), ROW, "clips/01"),
    "semicolons": (table().replace(",", ";"), SENTENCE, "commas"),
    "tabs": (table().replace(",", "\t"), SENTENCE, "commas"),
    "an open quote": (table((1, f'"{ROWS[1]}')), SENTENCE, "quote"),
    "a quote within a cell": (table((1, 'clips/01.mp4,"sadness"x,p0,1')), SENTENCE, "line 3"),
    "a fold of 5,000 digits": (table((1, f"clips/01.mp4,sadness,p0,{'9' * 5000}")), SENTENCE, "line 3: the fold"),
    "fold 0": (table((1, "clips/01.mp4,sadness,p0,0")), SENTENCE, "the fold '0'"),
    "fold -1": (table((1, "clips/01.mp4,sadness,p0,-1")), SENTENCE, "the fold '-1'"),
    "fold 1.5": (table((1, "clips/01.mp4,sadness,p0,1.5")), SENTENCE, "the fold '1.5'"),
    "fold 1.0": (table((0, "clips/00.mp4,happiness,p0,1.0")), HELD),
    "fold NaN": (table((1, "clips/01.mp4,sadness,p0,nan")), SENTENCE, "the fold 'nan'"),
    "a fold of Arabic digits": (table((0, "clips/00.mp4,happiness,p0,\u0661")), ("held", "sentence"), "the fold"),
    "a row twice": (table((-1, ROWS[0])), ROW, "listed twice"),
    "a row twice, other label": (table((-1, ROWS[0].replace("happiness", "fear"))), ROW, "contradictory"),
    "a person on both sides": (table((0, "clips/00.mp4,happiness,p1,1")), ROW, "person in train and test"),
    "a person on both sides, in other characters": (
        table((0, "clips/00.mp4,happiness,Jos\u00e9,1"), (3, "clips/03.mp4,sadness,Jose\u0301,2")),
        ROW,
        "person in train and test",
    ),
    "a person in train and val": (
        table((0, f"{ROWS[0]},train"), (1, f"{ROWS[1]},val"), head=f"{HEAD},fold_3"),
        ROW,
        "person in train and val",
    ),
    "fold_0": (table(head="path,label,subject,fold_0"), SENTENCE, "'fold_0' names no fold"),
    "fold_01": (table((0, "clips/00.mp4,happiness,p0,1,train"), head=f"{HEAD},fold_01"), SENTENCE, "fold_1"),
    "a label that is missing": (table((0, "clips/00.mp4,nan,p0,1")), ROW, "no label"),
    "an invisible character in a label": (table((0, "clips/00.mp4,happiness\u200b,p0,1")), HELD),
    "a label with a slip": (table((0, "clips/00.mp4,hapiness,p0,1")), ROW, "happiness"),
    "a label of capitals": (table((0, "clips/00.mp4, HAPPY ,p0,1")), HELD),
    "a path out of the root": (table((0, "../../etc/passwd,happiness,p0,1")), ROW, "leads out"),
    "an absolute path": (table((0, "/etc/passwd,happiness,p0,1")), ROW, "passwd"),
    "a path of Windows": (table((0, "clips\\00.mp4,happiness,p0,1")), HELD),
    "a path with dots": (table((0, "clips/./../clips/00.mp4,happiness,p0,1")), ("held", "row"), "clips/00"),
    "a path that is a folder": (table((0, "clips,happiness,p0,1")), ROW, "clips:"),
    "no path": (table((0, ",happiness,p0,1")), ROW, "line 2"),
    "ESC in a path": (table((0, "clips/\x1b[2J.mp4,happiness,p0,1")), ROW, "\\x1b"),
    "a cell of 200,000 characters": (table((0, f"clips/00.mp4,{'x' * 200_000},p0,1")), SAID, "line 2"),
}


def configured(text: Content, words: tuple[str, ...], folder: Path) -> Outcome:
    """Settings that are read by a command: it refuses them, or does what it did before."""
    if text:
        (folder / "params.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return indexed(folder, *words)


def _bomb(levels: int) -> str:
    return "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, levels))


ROOT = "roots: {mine: raw}\n"
SETTINGS: dict[str, Case] = {
    "a key twice": (f"{ROOT}workers: 0\nworkers: 1\n", SENTENCE, "'workers' stands twice, in line 2"),
    "a section twice": (
        f"faces: {{size: 64}}\n{ROOT}faces: {{size: 96}}\n",
        SENTENCE,
        "'faces' stands twice, in line 1",
    ),
    "a key twice in a section": (f"{ROOT}faces:\n  size: 64\n  size: 96\n", SENTENCE, "'size' stands twice, in line 3"),
    "an unknown key": (f"{ROOT}wrokers: 1\n", SENTENCE, "'wrokers'"),
    "an unknown key in a section": (f"{ROOT}faces: {{sise: 64}}\n", SENTENCE, "'faces.sise'"),
    "a section that is a value": (f"{ROOT}faces: 64\n", SENTENCE, "'faces'"),
    "a section that is nothing": (f"{ROOT}faces:\n", ("sentence", "held"), "'faces'"),
    "a list": ("- roots\n- faces\n", SENTENCE, "keys and values"),
    "a number": ("7\n", SENTENCE, "keys and values"),
    "two documents": (f"{ROOT}---\nworkers: 0\n", SENTENCE, "another document"),
    "tabs": ("roots:\n\tmine: raw\n", SENTENCE, "line 2"),
    "a byte-order mark": (b"\xef\xbb\xbf" + ROOT.encode(), HELD),
    "UTF-16": (ROOT.encode("utf-16"), SENTENCE, "UTF-8"),
    "Latin-1": (f"{ROOT}data: \xe9\n".encode("latin-1"), SENTENCE, "UTF-8"),
    "NUL": (f"{ROOT}\0".encode(), SENTENCE, "U+0000"),
    "line ends of Windows": (ROOT.replace("\n", "\r\n"), HELD),
    "a YAML bomb": (ROOT + _bomb(12), SENTENCE, "10,000 values"),
    "aliases that hold themselves": (f"{ROOT}faces: &a {{size: *a}}\n", SENTENCE, "10,000 values"),
    "merged bombs": (f"{ROOT}a: &a {{x: 1}}\nb: &b {{<<: [{', '.join(['*a'] * 500)}]}}\n", SENTENCE, "'a'"),
    "10,000 levels": (ROOT + "a: " + "[" * 10_000 + "]" * 10_000, SENTENCE, "nested too deeply"),
    "1,000 levels of blanks": (ROOT + "".join(" " * n + "a:\n" for n in range(1000)), SENTENCE, "100 kB"),
    "a megabyte": (ROOT + "# x\n" * 300_000, SENTENCE, "100 kB"),
    "an object of Python": (f"{ROOT}workers: !!python/object/apply:os.system ['touch owned']\n", SENTENCE, "os.system"),
    "a tag nobody knows": (f"{ROOT}workers: !x 1\n", SENTENCE, "!x"),
    "a share above 1": (f"{ROOT}max_failed: 1.5\n", SENTENCE, "'max_failed'"),
    "NaN": (f"{ROOT}max_failed: .nan\n", SENTENCE, "'max_failed'"),
    "infinite time": (f"{ROOT}clip_timeout: .inf\n", HELD),
    "a number of 5,000 digits": (f"{ROOT}workers: {'9' * 5000}\n", SENTENCE, "digits"),
    "a huge number of workers": (f"{ROOT}workers: 1000000000000\n", ("held", "sentence"), "workers"),
    "a fraction of a worker": (f"{ROOT}workers: 1.5\n", SENTENCE, "'workers'"),
    "yes for a switch": (f"{ROOT}index: {{strict: yes}}\n", ("held", "sentence"), "'index.strict'"),
    "a date for a name": (f"{ROOT}datasets: [2024-01-01]\n", SENTENCE, "'datasets.0'"),
    "an old name": (f"{ROOT}clip_seconds: 3\n", SENTENCE, "clip_timeout"),
    "no root": ("roots: {}\n", SENTENCE, "roots.mine"),
    "a root that is a file": ("roots: {mine: params.yaml}\n", SENTENCE, "roots.mine"),
    "a root with NUL": ('roots: {mine: "a\\0b"}\n', SENTENCE, "roots.mine"),
    "a root of 100,000 characters": (f"roots: {{mine: {'x' * 90_000}}}\n", SENTENCE, "roots.mine"),
    "data that is a file": (f"{ROOT}data: params.yaml\n", SENTENCE, "params.yaml is no folder"),
    "a split by nothing known": (f"{ROOT}index: {{split: {{mine: {{by: mood, folds: 2}}}}}}\n", SENTENCE, "'mood'"),
    "a split of 100 folds": (f"{ROOT}index: {{split: {{mine: {{by: subject, folds: 100}}}}}}\n", SENTENCE, "100 folds"),
    "true for a number": (f"{ROOT}max_failed: true\n", SENTENCE, "'max_failed'"),
    "true in a list of numbers": (f"{ROOT}folds: [true]\n", SENTENCE, "'folds'"),
    "classes twice": (f"{ROOT}index: {{labels: {{mine: [happiness, happiness]}}}}\n", SENTENCE, "'happiness'"),
    "a label twice": (f"{ROOT}index: {{labels: {{mine: {{1: fear, '1': anger}}}}}}\n", SENTENCE, "'1'"),
    "one class by two names": (f"{ROOT}index: {{labels: {{mine: [happy, joy]}}}}\n", SENTENCE, "happiness"),
    "a finding nobody knows": (f"{ROOT}index: {{accept: {{mine: [nonsense]}}}}\n", SENTENCE, "'nonsense'"),
}
OVERRIDES: dict[str, Case] = {
    "-S without a value": (("-S", "workers"), SENTENCE, "section.key=value"),
    "-S of nothing": (("-S", ""), SENTENCE, "section.key=value"),
    "-S of =": (("-S", "="), SENTENCE, "section.key=value"),
    "-S of dots": (("-S", "...=1"), SENTENCE, "section.key=value"),
    "-S %": (("-S", "roots.mine=%DATA%/x"), SENTENCE, "roots.mine"),
    "-S @": (("-S", "caption.model=@org/m"), SENTENCE, "caption.model"),
    "-S [1": (("-S", "folds=[1"), SENTENCE, "folds"),
    "-S 010": (("-S", "workers=010"), HELD),
    "-S ! tag": (("-S", "workers=!!python/name:os.system"), SENTENCE, "workers"),
    "-S a key of a value": (("-S", "workers.x=1"), SENTENCE, "workers.x"),
    "-S a bomb": (("-S", f"roots={'[' * 5000}"), SENTENCE, "--set roots"),
    "-S a backtick": (("-S", "data=`id`"), SENTENCE, "--set data"),
    "-S a newline": (("-S", "workers=1\nworkers=2"), SENTENCE, "'workers'"),
    "-S twice": (("-S", "workers=1", "-S", "workers=2"), SENTENCE, "twice"),
    "-S a section over a key": (("-S", "workers=0", "-S", "roots={other: x}"), HELD),
    "-S a surrogate": (("-S", "data=\udcff"), SENTENCE, "--set data"),
    "-S NUL": (("-S", "data=a\0b"), SENTENCE, "U+0000"),
    "a data set's name that leads out": (("-d", "../../x"), SENTENCE, "'../../x'"),
    "a data set's name with NUL": (("-d", "a\0b"), SENTENCE, "name of a data set"),
    "no settings file": (("--params", "nothing.yaml"), SENTENCE, "nothing.yaml"),
    "a folder for settings": (("--params", "raw"), SENTENCE, "raw is not"),
    "a pipe for settings": (("--params", "pipe"), SENTENCE, "pipe is not"),
}


def overridden(words: tuple[str, ...], folder: Path) -> Outcome:
    """Odd words on the command line."""
    import os

    os.mkfifo(folder / "pipe")
    return configured("", words, folder)


LISTS: dict[str, Case] = {
    "a list": ("clips/00.mp4 8 0\nclips/01.mp4 8 1\n", HELD),
    "a list with a byte-order mark": (b"\xef\xbb\xbfclips/00.mp4 8 0\nclips/01.mp4 8 1\n", HELD),
    "numbers from 1, the last unused": ("clips/00.mp4 8 1\nclips/01.mp4 8 1\n", ROW, "do the numbers begin at 1?"),
    "numbers from 1": ("clips/00.mp4 8 1\nclips/01.mp4 8 2\n", SENTENCE, "lists.mine.labels"),
    "a number that is none": ("clips/00.mp4 8 0\nclips/01.mp4 8 9\n", ROW, "label '9' is unknown"),
    "frames that are none": ("clips/00.mp4 many 0\n", SENTENCE, "line 1"),
    "two cells": ("clips/00.mp4 8\n", SENTENCE, "line 1"),
    "a list of NUL": (bytes(100), SENTENCE, "line 1"),
    "a list of another encoding": ("clips/\xff.mp4 8 0\n".encode("latin-1"), SENTENCE, "UTF-8"),
    "a path out of a list": ("../x.mp4 8 0\nclips/01.mp4 8 1\n", ROW, "leads out"),
    "other frames": ("clips/00.mp4 9 0\nclips/01.mp4 8 1\n", ROW, "8 counted, 9 annotated"),
    "an empty list": ("", ROW, "fold without a train or test part"),
}


def listed(content: Content, folder: Path) -> Outcome:
    """A data set that comes as list files."""
    (folder / "raw/a.txt").write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "raw/b.txt").write_text("clips/02.mp4 8 1\n")
    lists = {"mine": {"folds": {1: {"train": "a.txt", "test": "b.txt"}}, "labels": ["happiness", "sadness"]}}
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
        return Outcome("row", "; ".join(odd))
    labels = {clip: (row["label"], row["fold_1"], row["status"]) for clip, row in rows.items()}
    right = {
        "clips/00": ("happiness", "train", "ok"),
        "clips/01": ("sadness", "train", "ok"),
        "clips/02": ("sadness", "test", "ok"),
    }
    return held_if(labels == right, str(labels))


LINES: dict[str, Case] = {
    "a comma in a text": ("clips/00,The brows rise, then the mouth opens.", SENTENCE, "line 2: more cells"),
    "a comma without a blank": ("clips/00,The brows rise,then the mouth opens.", SENTENCE, "line 2: more cells"),
    "a clip nobody knows": ("clips/99,The brows rise.", SENTENCE, "line 2: there is no clip"),
    "a clip twice": ("clips/00,The brows rise.\nclips/00,The lips part.", SENTENCE, "line 3: clip"),
    "no text": ("clips/00,", SENTENCE, "line 2"),
    "blanks for a text": ('clips/00,"  \t "', SENTENCE, "line 2"),
    "an open quote": ('clips/00,"The brows rise.', SENTENCE, "line 2"),
    "nothing printable": ("clips/00,\u200b\u200b", SENTENCE, "line 2"),
    "U+2028": ("clips/00,The brows\u2028clips/01", HELD),
    "a control token": ("clips/00,The brows rise.<|endoftext|>", HELD),
}


def corrected(lines: str, folder: Path) -> Outcome:
    """Corrections as refine reads them: refused, or the text of the clip that is named and of no other."""
    from grace.pipeline.text.overrides import read_overrides

    (folder / "overrides.csv").write_text(f"clip_id,description\n{lines}\n")
    found = read_overrides(folder / "overrides.csv", folder / "data/mine")
    texts = {clip: override.description for clip, override in found.items()}
    right = set(texts) == {"clips/00"} and "<|" not in texts["clips/00"] and "\u2028" not in texts["clips/00"]
    return held_if(right, str(texts))


AUDITED: dict[str, tuple[str, Content, str]] = {
    "an empty table": ("t.csv", "", "t.csv is empty"),
    "a table of NUL": ("t.csv", bytes(100), "no column 'text'"),
    "a ragged table": ("t.csv", "text,a\nx,1\ny,2,3\n", "line 3"),
    "no such column": ("t.csv", "words\nx\n", "words"),
    "broken Parquet": ("t.parquet", b"PAR1" + bytes(50) + b"PAR1", "t.parquet"),
    "broken JSON lines": ("t.jsonl", '{"text": "x"}\n{"text": ', "on each line"),
    "deep JSON lines": ("t.jsonl", '{"text": ' + "[" * 100_000, "on each line"),
    "no table at all": ("t.png", b"\x89PNG", "t.png"),
    "another encoding": ("t.csv", "text\n\xff\xfe\n".encode("latin-1"), "UTF-8"),
    "a quote without an end": ("t.csv", 'text\n"x\n', "quote"),
}


def audited(name: str, content: Content, folder: Path) -> Outcome:
    """A stranger's table for the audit."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    ran = grace("audit", "--table", name, "--text", "text", "--tokenizer", "pocket/clip")
    return ran.failure or Outcome("silent", f"taken: {ran.output[-100:]}")


def trials(seed: int) -> list[Trial]:
    """Every table and setting."""
    groups: list[tuple[dict[str, Case], Callable[..., Callable[[Path], Outcome]], str]] = [
        (CLIPS, lambda content: partial(written, content), "clips.csv"),
        (SETTINGS, lambda text: partial(configured, text, ()), "params.yaml"),
        (OVERRIDES, lambda words: partial(overridden, words), "the command line"),
        (LISTS, lambda content: partial(listed, content), "list files"),
        (LINES, lambda lines: partial(corrected, lines), "corrections"),
    ]
    found = [
        Trial(KIND, f"{where}: {name}", make(content), expected, "clips", tuple(says))
        for cases, make, where in groups
        for name, (content, expected, *says) in cases.items()
    ]
    return found + [
        Trial(KIND, f"audit: {name}", partial(audited, file, content), SENTENCE, "clips", (says,))
        for name, (file, content, says) in AUDITED.items()
    ]
