"""Trials of damage: every file that the stages leave, damaged in six ways, and the command that reads it.

What was damaged must not be used in silence: the command refuses it in one sentence, or makes what it would have made
of the sound file (it makes the damaged one again, or asks again).
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_bases import NEW, caption, caption_server, index_rows, run_files
from benchmarks.fault_trial import Outcome, Ran, Trial, digests, grace, held_if, kept, result_of

KIND = "corruptions"
RIGHT = ("held", "sentence")
Damage = Callable[[Path, random.Random], None]
Consumer = Callable[[Path], Outcome]
File = tuple[str, Consumer, tuple[str, ...], tuple[str, ...]]
"""A file, the command that reads it, what it may be replaced by, and the words of a sentence about it."""


def flip(path: Path, seeded: random.Random) -> None:
    """One bit, at any place."""
    content = bytearray(path.read_bytes())
    content[seeded.randrange(len(content))] ^= 1 << seeded.randrange(8)
    path.write_bytes(bytes(content))


def truncate(path: Path, seeded: random.Random) -> None:
    """The end is missing."""
    content = path.read_bytes()
    path.write_bytes(content[: seeded.randrange(1, len(content))])


def zeros(path: Path, seeded: random.Random) -> None:
    """A block that never reached the disk."""
    content = bytearray(path.read_bytes())
    length = max(1, min(4096, len(content) // 3))
    start = seeded.randrange(len(content) - length)
    content[start : start + length] = bytes(length)
    path.write_bytes(bytes(content))


def append(path: Path, seeded: random.Random) -> None:
    """Something follows."""
    with path.open("ab") as file:
        file.write(seeded.randbytes(100))


def empty(path: Path, seeded: random.Random) -> None:
    """Nothing is there."""
    path.write_bytes(b"")


DAMAGES: dict[str, Damage] = {
    "a bit": flip,
    "truncated": truncate,
    "zeros": zeros,
    "garbage after it": append,
    "empty": empty,
}


def _replaced(by: str) -> Damage:
    def replace(path: Path, seeded: random.Random) -> None:
        base = next(parent for parent in path.parents if (parent / "baseline.json").exists())
        shutil.copy(base / by, path)

    return replace


def damaged(file: str, damage: Damage, seed: int, consume: Consumer, folder: Path) -> Outcome:
    """Damage a file, then have it read."""
    path = next(iter(sorted(folder.glob(file))))
    before = path.read_bytes()
    damage(path, random.Random(f"{seed} {file} {damage.__name__}"))
    if path.read_bytes() == before:
        return Outcome("held", "the bytes are the same")
    return consume(folder)


# -- toy: what train, evaluate, compare and verify read


def trained(folder: Path, method: str = "vision") -> Outcome:
    """A new run gives the weights that it gives on the sound files."""
    ran = grace(*NEW, "-S", f"train.method={method}")
    name = "new" if method == "vision" else f"new {method}"
    return result_of(ran, lambda: run_files(folder / f"new/{method}/fold-1") == kept(folder, name), "other weights")


def trained_again(folder: Path) -> Outcome:
    """A finished run is asked for again: it says what it said, or is made again."""
    ran = grace("train", "-d", "toy")
    run = folder / "data/toy/runs/vision/fold-1"
    return result_of(
        ran, lambda: _last(ran) == _last(kept(folder, "again")[0]) and run_files(run) == kept(folder, "again")[1]
    )


def _last(printed: Ran | str) -> str:
    """The table, without the line and the bar before it."""
    text = printed if isinstance(printed, str) else printed.output
    return text[max(text.find("train vision,"), 0) :].strip()


def evaluated(folder: Path) -> Outcome:
    """Scores are those of the sound files."""
    ran = grace("evaluate", "-d", "toy")
    found = digests(folder / "data/toy/scores.json", folder / "data/toy/metrics.json")
    return result_of(ran, lambda: [ran.output, found] == kept(folder, "evaluate"), "other scores")


def compared(folder: Path) -> Outcome:
    """So is the comparison."""
    ran = grace("compare", "vision", "template", "-d", "toy")
    return result_of(ran, lambda: ran.output == kept(folder, "compare"), "another comparison")


def inspected(folder: Path) -> Outcome:
    """Everything that is shown of a clip."""
    ran = grace("inspect", "-d", "toy", "--clip", "clip-014")
    return result_of(ran, lambda: ran.output == kept(folder, "inspect"), "something else is shown")


def verified(dataset: str, folder: Path) -> Outcome:
    """``grace verify`` must find the damage, and say of which file."""
    ran = grace("verify", "-d", dataset)
    outcome = result_of(ran, lambda: False, "verify found nothing")
    if outcome.verdict != "sentence":
        return outcome
    lines = [line.rpartition("file/s]")[2] for line in ran.output.splitlines()]  # without the bar
    found = [line for line in lines if line.endswith(".") and not line.startswith("error: ")]
    return Outcome("sentence", f"{' '.join(found)} {outcome.detail}")


def opened(folder: Path) -> Outcome:
    """A run as :class:`grace.trainer.classifier.TokenClassifier` opens it for predictions."""
    from grace.trainer.classifier import TokenClassifier

    TokenClassifier.from_pretrained(folder / "data/toy/runs/vision/fold-1")
    return held_if(False, "the weights were taken")


# -- chain: what each stage reads of the one before


def stage(name: str, store: str, folder: Path) -> Outcome:
    """A stage over its input, its own output removed: the bytes are those of the sound files."""
    shutil.rmtree(folder / "data/chain" / store)
    return _made(grace(name, "-d", "chain"), store, folder)


def kept_stage(name: str, store: str, folder: Path) -> Outcome:
    """A stage whose own output is damaged: made again, or refused."""
    return _made(grace(name, "-d", "chain"), store, folder)


def _made(ran: Ran, store: str, folder: Path) -> Outcome:
    return result_of(ran, lambda: digests(folder / "data/chain" / store) == kept(folder, store), f"other {store}")


def captioned(folder: Path) -> Outcome:
    """Captions again from the answers that are kept, and from the server where these are damaged."""
    shutil.rmtree(folder / "data/chain/captions")
    with caption_server() as url:
        ran = grace(*caption(url))
    return _made(ran, "captions", folder)


def shown(words: tuple[str, ...], result: str, folder: Path) -> Outcome:
    """A command that prints."""
    ran = grace(*words)
    return result_of(ran, lambda: ran.output == kept(folder, result), "something else is shown")


def drawn(folder: Path) -> Outcome:
    """The contact sheet of a clip."""
    ran = grace("show", "clips/02", "-d", "chain", "--out", "show.png")
    return result_of(ran, lambda: digests(folder / "show.png") == kept(folder, "show"), "another picture")


def indexed(folder: Path, *words: str) -> Outcome:
    """An index of a table that people write: what it lost is a finding or a failed row."""
    from grace.pipeline.strict_csv import decode_rows

    before = index_rows(folder)
    ran = grace("index", "-d", "mine", *words)
    if ran.failure:
        return ran.failure
    rows = index_rows(folder)
    findings = list(decode_rows(folder / "data/mine/reconciliation.csv"))
    told = {row["clip"] for row in findings}
    changed = {clip for clip in rows.keys() | before.keys() if _differ(rows.get(clip), before.get(clip))}
    if unsaid := [clip for clip in changed if not ({clip, f"{clip}.mp4"} & told)]:
        return Outcome("silent", f"{unsaid} changed without a word")
    said = sorted(f"{row['clip']}: {row['finding']} {row['detail']}".strip()[:100] for row in findings)
    return Outcome("row", "; ".join(said)) if changed or told else Outcome("held")


def _differ(row: dict[str, Any] | None, before: dict[str, Any] | None) -> bool:
    """Whether a row is gone or new, or differs in a column of both tables: a lost row may take its fold along."""
    if row is None or before is None:
        return True
    return any(row[name] != before[name] for name in row.keys() & before.keys())


def rooted(folder: Path) -> Outcome:
    """An index of the folder that an earlier command was given and ``root.txt`` remembers."""
    before = index_rows(folder, dataset="raw")
    ran = grace("index", "-d", "raw")
    return result_of(ran, lambda: index_rows(folder, dataset="raw") == before, "another folder was listed")


def remembered(file: str, damage: Damage, seed: int, folder: Path) -> Outcome:
    """Index a folder by its name, damage what remembers it, and index again."""
    ran = grace("index", str(folder / "raw"))
    return ran.failure or damaged(file, damage, seed, rooted, folder)


def reviewed(file: str, damage: Damage, seed: int, folder: Path) -> Outcome:
    """Make the review page's index of a set, damage a file of it, and read it again."""
    before = _catalogue(folder)
    return damaged(file, damage, seed, lambda _: held_if(_catalogue(folder) == before, "another catalogue"), folder)


def _catalogue(folder: Path) -> list[tuple[Any, ...]]:
    from grace.review.catalogue import read_catalogue

    found = read_catalogue(folder / "data/chain")[0]
    clips = range(len(found.positions))
    return [(found.clip_id(clip), found.text(clip, "caption"), found.shard(clip)) for clip in clips]


def rendered(folder: Path) -> Outcome:
    """The world rendered again: the files that were there, and true ones."""
    ran = grace("world", "--out", "raw/world")
    return result_of(ran, lambda: digests(folder / "raw") == kept(folder, "world"), "another world")


def judged(folder: Path) -> Outcome:
    """The truth as the audit reads it."""
    from grace.pipeline.audit import read_truth

    return held_if(repr(read_truth(folder / "raw/world")) == kept(folder, "truth"), "another truth")


RUN = "data/toy/runs/vision/fold-1"
INDEX, TOKENS, MOTION, TRAIN = (
    ("clips.parquet", "grace index"),
    ("data/toy/tokens", "grace tokens"),
    ("data/toy/motion", "grace motion"),
    (RUN, "grace train"),
)
TOY_FILES: list[File] = [
    ("data/toy/clips.parquet", evaluated, ("data/other/tokens/templates.parquet",), INDEX),
    ("data/toy/clips.parquet", trained, (), INDEX),
    ("data/toy/tokens/00001.h5", trained, ("data/toy/tokens/00000.h5", "data/toy/motion/00001.h5"), TOKENS),
    ("data/toy/motion/00002.h5", trained, ("data/toy/motion/00000.h5", "data/toy/tokens/00002.h5"), MOTION),
    ("data/toy/tokens/templates.parquet", partial(trained, method="template"), ("data/toy/clips.parquet",), TOKENS),
    (
        f"{RUN}/config.yaml",
        evaluated,
        ("data/toy/runs/vision/fold-2/config.yaml", "data/other/runs/vision/fold-1/config.yaml"),
        TRAIN,
    ),
    (
        f"{RUN}/predictions.parquet",
        compared,
        ("data/toy/runs/vision/fold-2/predictions.parquet", "data/other/runs/vision/fold-1/predictions.parquet"),
        ("predictions.parquet", *TRAIN),
    ),
    (f"{RUN}/predictions.parquet", inspected, ("data/toy/runs/template/fold-1/predictions.parquet",), TRAIN),
    (f"{RUN}/metrics.json", evaluated, ("data/toy/runs/vision/fold-2/metrics.json",), ("metrics.json", *TRAIN)),
    (f"{RUN}/history.csv", evaluated, ("data/toy/runs/vision/fold-2/history.csv",), ("history.csv", *TRAIN)),
    (f"{RUN}/metrics.json", trained_again, ("data/toy/runs/vision/fold-2/metrics.json",), TRAIN),
    (f"{RUN}/model.safetensors", opened, ("data/toy/runs/vision/fold-2/model.safetensors",), TRAIN),
    (f"{RUN}/model.safetensors", trained_again, ("data/other/runs/vision/fold-1/model.safetensors",), TRAIN),
    (f"{RUN}/history.csv", partial(verified, "toy"), ("data/toy/runs/vision/fold-2/history.csv",), TRAIN),
    (
        "new/vision/fold-1/checkpoint.pt",
        trained,
        ("data/toy/runs/vision/fold-1/model.safetensors",),
        ("checkpoint.pt", "first epoch"),
    ),
]
FACES, CAPTION, REFINE = ("data/chain/faces", "grace faces"), ("data/chain/captions", "grace caption"), "grace refine"
CHAIN_FILES: list[File] = [
    (
        "data/chain/faces/00000.h5",
        partial(stage, "motion", "motion"),
        ("data/chain/faces/00001.h5", "data/other/faces/00000.h5"),
        FACES,
    ),
    ("data/chain/faces/00001.h5", drawn, (), FACES),
    ("data/chain/faces/00001.h5", partial(kept_stage, "faces", "faces"), ("data/other/faces/00001.h5",), FACES),
    (
        "data/chain/captions/00000.parquet",
        partial(stage, "refine", "descriptions"),
        ("data/other/captions/00001.parquet",),
        CAPTION,
    ),
    (
        "data/chain/descriptions/00001.parquet",
        partial(shown, ("inspect", "-d", "chain", "-n", "0"), "rows"),
        ("data/chain/captions/00001.parquet",),
        ("data/chain/descriptions/00001", REFINE),
    ),
    ("data/chain/responses/caption/*.jsonl", captioned, (), ("responses/caption",)),
    ("overrides/chain.csv", partial(stage, "refine", "descriptions"), ("params.yaml",), ("overrides/chain.csv",)),
]
VERIFIED = {
    "clips.parquet": "grace index",
    "faces/00000.h5": "grace faces",
    "motion/00001.h5": "grace motion",
    "captions/00000.parquet": "grace caption",
    "descriptions/00001.parquet": "grace refine",
    "tokens/00000.h5": "grace tokens",
    "tokens/templates.parquet": "grace tokens",
    "tokens/all.h5": "grace tokens",
    "runs/vision/fold-1/model.safetensors": "grace train",
    "runs/vision/fold-1/README.md": "grace train",
    "runs/vision/fold-1/metrics.json": "grace train",
    "responses/caption/*.jsonl": "run caption",
}
"""Files of a data set, and what to run where ``grace verify`` finds one damaged."""


WRITTEN = ("raw/clips.csv", "params.yaml", "overrides/chain.csv")
"""Files that people write."""


def _of_files(files: Iterable[File], base: str, seed: int, right: tuple[str, ...] = RIGHT) -> list[Trial]:
    found = []
    for file, consume, siblings, says in files:
        # What people write may say anything: no bit of it is known to be wrong.
        usual = {name: damage for name, damage in DAMAGES.items() if file not in WRITTEN or damage is not flip}
        ways = usual | {f"replaced by {by.removeprefix('data/')}": _replaced(by) for by in siblings}
        what = getattr(consume, "func", consume).__name__
        found += [
            Trial(KIND, f"{file}: {name}, {what}", partial(damaged, file, damage, seed, consume), right, base, says)
            for name, damage in ways.items()
        ]
    return found


def trials(seed: int) -> list[Trial]:
    """Every file in every way."""
    found = _of_files(TOY_FILES, "toy", seed) + _of_files(CHAIN_FILES, "chain", seed)
    for file, command in VERIFIED.items():
        find = partial(damaged, f"data/chain/{file}", flip, seed, partial(verified, "chain"))
        says = (file.partition("*")[0], command)
        found.append(Trial(KIND, f"verify finds a bit of {file}", find, ("sentence",), "chain", says))
    tables: list[File] = [
        ("raw/clips.csv", indexed, ("params.yaml",), ("clip",)),
        ("params.yaml", indexed, ("raw/clips.csv",), ("params.yaml",)),
    ]
    found += _of_files(tables, "clips", seed, ("held", "row", "sentence"))
    for name, damage in DAMAGES.items():
        attempt = partial(remembered, "data/raw/root.txt", damage, seed)
        found.append(Trial(KIND, f"data/raw/root.txt: {name}, index", attempt, RIGHT, "clips", ("root",)))
        for store in ("captions", "faces"):
            attempt = partial(reviewed, f"data/chain/review/index/{store}.arrow", damage, seed)
            found.append(Trial(KIND, f"review/index/{store}.arrow: {name}, read again", attempt, ("held",), "chain"))
    world: list[File] = [
        ("raw/world/world.json", rendered, (), ("world.json", "grace world")),
        (
            "raw/world/truth/clips.parquet",
            judged,
            ("raw/world/truth/frames.parquet",),
            ("truth/clips.parquet", "grace world"),
        ),
    ]
    return found + _of_files(world, "world", seed)
