"""Trials of files that are sound and do not belong, among those that the real stages make of real videos."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_bases import CLIPS, caption, caption_server, run_files, write_raw
from benchmarks.fault_trial import Outcome, Ran, Trial, digests, grace, kept, result_of

KIND = "stale"
DATA, FOREIGN = "data/chain", "data/other"
RUN = f"{DATA}/runs/vision/fold-1"
NEW = ("train", "-d", "chain", "-S", "train.seed=5", "--runs", "new")
EXPORT = ("export", "huggingface", "exported")
Change = Callable[[Path], None]


def foreign(*stores: str, folder: Path) -> None:
    """Shards of another data set with the same ids, classes, settings and models."""
    for store in stores:
        shutil.copy(next((folder / FOREIGN / store).glob("00001.*")), folder / DATA / store)


def foreign_table(folder: Path) -> None:
    """The other data set's table of clips."""
    shutil.copy(folder / FOREIGN / "clips.parquet", folder / DATA)


def replaced(folder: Path, clip: str = "05") -> None:
    """A video by one of the same name and number of frames."""
    shutil.copy(folder / f"raw/other/clips/{clip}.mp4", folder / "raw/chain/clips")


def ran(*words: str) -> None:
    """A command that has to end well."""
    done = grace(*words, "-d", "chain")
    if done.exit_code:
        raise RuntimeError(done.output)


def used(words: tuple[str, ...], folder: Path) -> Outcome:
    """A command that would use what does not belong: it has to refuse."""
    from benchmarks.fault_corruptions import verified

    if words == ("verify",):
        return verified("chain", folder)
    return result_of(grace(*words, "-d", "chain"), lambda: False, "it was used")


def refaced(folder: Path) -> None:
    """Faces made again with other settings, and nothing after them."""
    ran("faces", "-S", "faces.quality=50")


def reindexed(folder: Path) -> None:
    """A video replaced and found by the index, and nothing after it."""
    replaced(folder)
    ran("index")


def stopped(folder: Path) -> None:
    """Faces made again with other settings, and killed after the first shard."""
    last = folder / DATA / "faces/00001.h5"
    before = last.read_bytes()
    refaced(folder)
    last.write_bytes(before)


def removed(shard: str, folder: Path) -> None:
    """One shard of a store, removed by hand."""
    (folder / DATA / shard).unlink()


def one_too_many(folder: Path) -> None:
    """A shard copied behind the last one."""
    shutil.copy(folder / DATA / "captions/00001.parquet", folder / DATA / "captions/00002.parquet")


def all_again() -> Ran:
    """Every stage once more."""
    with_index = [grace(stage, "-d", "chain") for stage in ("index", "faces", "motion")]
    with caption_server() as url:
        done = [*with_index, grace(*caption(url)), *(grace(stage, "-d", "chain") for stage in ("refine", "tokens"))]
    return next((each for each in done if each.failure), done[-1])


def redone(folder: Path) -> Outcome:
    """All stages after a video was replaced: its shard is made again, the other one is as it was."""
    replaced(folder)
    done = all_again()
    now = {store: digests(folder / DATA / store) for store in ("faces", "motion", "tokens")}

    def right() -> bool:
        return all(
            now[store]["00000.h5"] == kept(folder, store)["00000.h5"]
            and now[store]["00001.h5"] != kept(folder, store)["00001.h5"]
            for store in now
        )

    return result_of(done, right, "the old clip's results are kept")


def not_indexed(folder: Path) -> Outcome:
    """A video replaced and not indexed again; faces with other settings must not crop what the table does not know."""
    replaced(folder)
    grace("faces", "-d", "chain", "-S", "faces.quality=50", "-S", "max_failed=1.0")
    from grace.pipeline.store import open_store

    rows = {row["clip_id"]: row for row in open_store(folder / DATA, "faces").rows(["clip_id", "status", "error"])}
    others = [row["status"] for clip, row in rows.items() if clip != "clips/05"]
    if rows["clips/05"]["status"] == "ok" or set(others) != {"ok"}:
        return Outcome("silent", str(rows["clips/05"]))
    return Outcome("row", rows["clips/05"]["error"])


def asked_again(change: Callable[[Path], tuple[str, ...]], questions: int, folder: Path) -> Outcome:
    """Caption after a change that leaves most clips as they were: only new questions reach the server."""
    from benchmarks.server_faults import FINE, Behaviour, misbehaving

    more = change(folder)
    with misbehaving(Behaviour("fine", "answer", "", lambda: [FINE])) as server:
        done = grace(*caption(server.url), *more)
    asked = sum(request.startswith(b"POST") for request in server.received)
    return result_of(done, lambda: asked == questions, f"{asked} questions, not {questions}")


def _in_front(folder: Path) -> tuple[str, ...]:
    write_raw(folder / "raw/chain", 0)
    shutil.copy(folder / "raw/other/clips/00.mp4", folder / "raw/chain/clips/+.mp4")
    with (folder / "raw/chain/clips.csv").open("a") as file:
        file.write("clips/+.mp4,happiness,p9,1\n")
    ran("index")
    ran("faces")
    return ()


def _shorter(folder: Path) -> tuple[str, ...]:
    lines = (folder / "raw/chain/clips.csv").read_text().splitlines(keepends=True)
    (folder / "raw/chain/clips.csv").write_text("".join(lines[:1] + lines[3:]))
    ran("index")
    ran("faces")
    return ()


def _other_shards(folder: Path) -> tuple[str, ...]:
    more = ("-S", "shards.clips=3")
    ran("faces", *more)
    return more


def _back_and_forth(folder: Path) -> tuple[str, ...]:
    with caption_server() as url:
        done = grace(*caption(url), "-S", "caption.images=3")
    if done.exit_code:
        raise RuntimeError(done.output)
    return ()


def _without_captions(folder: Path) -> tuple[str, ...]:
    shutil.rmtree(folder / DATA / "captions")
    return ()


def _answers_of_others(folder: Path) -> tuple[str, ...]:
    shutil.rmtree(folder / DATA / "captions")
    shutil.rmtree(folder / DATA / "responses")
    shutil.copytree(folder / FOREIGN / "responses", folder / DATA / "responses")
    return ()


def config(run: Path, **changes: Any) -> None:
    """A run's ``config.yaml`` as another version, or a run on another model, would have written it."""
    from grace.trainer.runs import encode_config, read_config

    (run / "config.yaml").write_bytes(encode_config(read_config(run).model_copy(update=changes)))


def predicted(*more: str, folder: Path) -> Outcome:
    """A prediction whose settings, or models, are not those of the run."""
    words = ("predict", "raw/chain/clips/00.mp4", "-d", "chain", "--run", RUN, *more)
    return result_of(grace(*words), lambda: False, "it was predicted")


def _other_steps(folder: Path) -> None:
    config(folder / RUN, pipeline=None)


def joined(folder: Path) -> Outcome:
    """``all.h5`` of another data set, and the tokens stage again."""
    shutil.copy(folder / FOREIGN / "tokens/all.h5", folder / DATA / "tokens")
    done = grace("tokens", "-d", "chain")
    return result_of(done, lambda: digests(folder / DATA / "tokens") == kept(folder, "tokens"), "another all.h5")


def corrected(folder: Path) -> Outcome:
    """A correction changed: its shard of descriptions and tokens is made again, the other one is as it was."""
    file = folder / "overrides/chain.csv"
    file.write_text(file.read_text().replace("part 6 times", "part 66 times"))
    done = [grace(stage, "-d", "chain") for stage in ("refine", "tokens")][-1]
    now, before = digests(folder / DATA / "tokens"), kept(folder, "tokens")
    return result_of(
        done,
        lambda: now["00001.h5"] != before["00001.h5"] and now["00000.h5"] == before["00000.h5"],
        "the old text is kept",
    )


def same_weights(folder: Path) -> Outcome:
    """A run asked for again after everything was made again from the same files."""
    for store in ("faces", "motion", "tokens"):
        shutil.rmtree(folder / DATA / store)
    done = all_again()
    again = grace("train", "-d", "chain")
    return done.failure or result_of(again, lambda: run_files(folder / RUN) == kept(folder, "run"))


def _replaced_inputs() -> list[Trial]:
    """What another data set made, or what was made again, in the place of what a stage was given."""
    changes: dict[str, tuple[Change, tuple[str, ...], str]] = {
        "faces of another data set": (partial(_foreign, ("faces",)), ("motion",), "faces/00001.h5"),
        "faces of another data set, tokens": (partial(_foreign, ("faces",)), ("tokens",), "faces/00001.h5"),
        "captions of another data set": (partial(_foreign, ("captions",)), ("refine",), "captions/00001.parquet"),
        "descriptions of another data set": (
            partial(_foreign, ("descriptions",)),
            ("tokens",),
            "descriptions/00001.parquet",
        ),
        "tokens of another data set": (partial(_foreign, ("tokens",)), NEW, "tokens/00001.h5"),
        "motion of another data set": (partial(_foreign, ("motion",)), NEW, "motion/00001.h5"),
        "tokens and motion of another data set": (partial(_foreign, ("tokens", "motion")), NEW, "/00001.h5"),
        "everything of another data set": (
            partial(_foreign, ("faces", "captions", "descriptions", "tokens", "motion")),
            NEW,
            "00001.h5",
        ),
        "another data set's clips": (foreign_table, ("motion",), "clips.parquet"),
        "another data set's clips, trained": (foreign_table, NEW, "clips.parquet"),
        "faces made again": (refaced, (*NEW, "-S", "faces.quality=50"), "another faces/00000"),
        "faces made again, trained as before": (refaced, NEW, "faces.quality 50, not 95"),
        "faces made again, exported": (refaced, EXPORT, "another faces/00000"),
        "a video replaced and indexed, exported": (reindexed, EXPORT, "clips.parquet"),
        "faces of two settings": (stopped, ("motion",), "faces mixes shards"),
        "faces of two settings, tokens": (stopped, ("tokens",), "faces mixes shards"),
        "faces of two settings, trained": (stopped, (*NEW, "-S", "faces.quality=50"), "faces mixes shards"),
        "faces of two settings, verified": (stopped, ("verify",), "faces mixes shards"),
        "captions without a shard, exported": (partial(removed, "captions/00001.parquet"), EXPORT, "captions lacks"),
        "captions without a shard, verified": (
            partial(removed, "captions/00001.parquet"),
            ("verify",),
            "captions lacks",
        ),
        "tokens without a shard, verified": (partial(removed, "tokens/00001.h5"), ("verify",), "tokens lacks"),
        "a shard of captions too many, exported": (one_too_many, EXPORT, "clips twice"),
        "a shard of captions too many, verified": (one_too_many, ("verify",), "clips twice"),
        "faces made again, evaluated": (refaced, ("evaluate",), "another faces/00000"),
        "faces made again, compared": (refaced, ("compare", "vision", "vision"), "another faces/00000"),
        "faces made again, reported": (refaced, ("report", "--no-pdf"), "another faces/00000"),
        "a video replaced and indexed, evaluated": (reindexed, ("evaluate",), "clips.parquet"),
        "a video replaced and indexed, on another set": (reindexed, ("evaluate", "--on", "other"), "clips.parquet"),
        "faces made again, verified": (refaced, ("verify",), "captions/00000.parquet"),
        "tokens of another data set, verified": (partial(_foreign, ("tokens",)), ("verify",), "tokens/00001.h5"),
        "everything of another data set, verified": (
            partial(_foreign, ("faces", "captions", "descriptions", "tokens", "motion")),
            ("verify",),
            "faces/00001.h5",
        ),
        "another data set's clips, verified": (foreign_table, ("verify",), "clips.parquet"),
    }
    return [
        Trial(KIND, name, partial(_after, change, partial(used, words)), ("sentence",), "chain", (says,))
        for name, (change, words, says) in changes.items()
    ]


def _repeated_questions() -> list[Trial]:
    """Changes after which captions are asked for again, and how many questions are new."""
    questions: dict[str, tuple[Callable[[Path], tuple[str, ...]], int]] = {
        "a clip in front, captioned": (_in_front, 1),
        "fewer clips, captioned": (_shorter, 0),
        "other shards, captioned": (_other_shards, 0),
        "a setting and back, captioned": (_back_and_forth, 0),
        "captions removed, captioned": (_without_captions, 0),
        "answers of another data set, captioned": (_answers_of_others, CLIPS),
    }
    return [
        Trial(KIND, name, partial(asked_again, change, count), ("held",), "chain")
        for name, (change, count) in questions.items()
    ]


def trials(seed: int) -> list[Trial]:
    """Every change with the command that it must not deceive."""
    found = [*_replaced_inputs(), *_repeated_questions()]
    settings = (
        "faces.size=96",
        "faces.instants=8",
        "motion.grid=4",
        "tokens.text_length=64",
        "caption.images=1",
        "refine.use_label=true",
        "tokens.model=pocket/vlm",
    )
    for setting in settings:
        attempt, says = partial(_predicted, ("-S", setting)), "use_label" if "label" in setting else setting
        found.append(Trial(KIND, f"predict -S {setting}", attempt, ("sentence",), "chain", (says,)))
        attempt, says = partial(used, (*NEW, "-S", setting)), says.partition("=")[0]
        found.append(Trial(KIND, f"train -S {setting}", attempt, ("sentence",), "chain", (says,)))
    more: dict[str, tuple[Any, ...]] = {
        "predict without settings": (
            partial(_after, _other_steps, partial(_predicted, ())),
            ("sentence",),
            "config.yaml",
        ),
        "a video replaced": (redone, ("held",)),
        "a video replaced, not indexed": (not_indexed, ("row",), "grace index"),
        "a correction changed": (corrected, ("held",)),
        "all.h5 of another data set": (joined, ("held",)),
        "everything made again": (same_weights, ("held",)),
    }
    found += [
        Trial(KIND, name, attempt, expected, "chain", tuple(says)) for name, (attempt, expected, *says) in more.items()
    ]
    return found


def _after(change: Change, consume: Callable[[Path], Outcome], folder: Path) -> Outcome:
    change(folder)
    return consume(folder)


def _foreign(stores: tuple[str, ...], folder: Path) -> None:
    foreign(*stores, folder=folder)


def _predicted(more: tuple[str, ...], folder: Path) -> Outcome:
    return predicted(*more, folder=folder)
