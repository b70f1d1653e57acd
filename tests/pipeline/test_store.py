"""Stores: bytes that repeat, files that are whole, sentences for files that are not."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grace.pipeline.errors import GraceError, UserError
from grace.pipeline.store import (
    Clips,
    Store,
    failure,
    fallback,
    find_row,
    folder_lock,
    read_table,
    write_atomic,
    write_clips,
    write_table,
)
from grace.pipeline.store.formats import ROWS_PER_GROUP
from grace.pipeline.store.schema import Schema
from grace.pipeline.store.schemas import CAPTIONS, DESCRIPTIONS, FACES, PREDICTIONS, TOKENS
from grace.pipeline.store.virtual import write_virtual_dataset
from tests.support.machines import leave_temporary

CUE = {"region": "brows", "action": "brow lower", "intensity": "clearly", "phase": "apex"}


def tokens_row(clip_id: str, seed: int = 0) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {
        "clip_id": clip_id,
        "status": "ok",
        "error": "",
        "visual": rng.normal(size=(3, 4, 5)).astype(np.float16),
        "frame": rng.normal(size=(3, 5)).astype(np.float16),
        "text": rng.normal(size=(6, 5)).astype(np.float16),
        "text_mask": np.arange(6) < 4,
        "text_id": np.arange(6),
        "sentence": np.full(6, -1),
    }


def test_h5_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    store = Store(tmp_path, TOKENS)
    row = tokens_row("a")
    store.write(0, [row, failure("b", "tokens: no crops")], {"fingerprint": "f"})
    back = store.read(0)
    for name in ("visual", "frame", "text", "text_mask", "text_id", "sentence"):
        np.testing.assert_array_equal(back[0][name], row[name])
    assert back[0]["visual"].dtype == np.float16
    assert (back[1]["status"], back[1]["error"], back[1]["visual"].any()) == ("failed", "tokens: no crops", False)
    assert store.fingerprint(0) == "f"


def test_jpegs_of_different_lengths_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path, FACES)
    frames = [b"\xff\xd8one", b"\xff\xd8a longer one", b""]
    store.write(0, [{"clip_id": "é 1", "status": "ok", "error": "", "frames": frames, "neighbours": frames}], {})
    assert store.read(0, ["clip_id", "frames"]) == [{"clip_id": "é 1", "frames": frames}]


def test_one_row_is_read_without_those_beside_it(tmp_path: Path) -> None:
    tokens, faces, captions = (Store(tmp_path / schema.stage, schema) for schema in (TOKENS, FACES, CAPTIONS))
    rows = [tokens_row(name, seed) for seed, name in enumerate("abc")]
    tokens.write(0, [*rows, failure("d", "tokens: no crops")], {})
    visual = tokens.read_row(0, "b", ["visual"])
    assert visual is not None
    assert [*visual] == ["visual"]
    assert np.array_equal(visual["visual"], rows[1]["visual"])
    whole = visual["visual"].base if visual["visual"].base is not None else visual["visual"]
    assert whole.size == rows[1]["visual"].size  # no more was read
    failed = tokens.read_row(0, "d")
    assert failed is not None
    assert (failed["status"], failed["error"]) == ("failed", "tokens: no crops")
    frames = {name: [b"\xff\xd8" + name.encode() * 5, b""] for name in "ab"}
    key = {"status": "ok", "error": ""}
    faces.write(0, [{"clip_id": name, **key, "frames": frames[name], "neighbours": frames[name]} for name in "ab"], {})
    assert faces.read_row(0, "b", ["frames"]) == {"frames": frames["b"]}
    captions.write(0, [{"clip_id": name, **key, "caption": f"text {name}"} for name in "ab"], {})
    assert captions.read_row(0, "b", ["caption", "clip_id"]) == {"caption": "text b", "clip_id": "b"}
    assert captions.find("a", ["caption"]) == {"caption": "text a"}
    for store in (tokens, faces, captions):
        assert store.read_row(0, "nobody") is None
        assert store.find("nobody") is None
    with pytest.raises(UserError, match="has no column 'places'"):
        captions.read_row(0, "a", ["places"])


def test_parquet_opens_in_pandas_with_cues_as_structs(tmp_path: Path) -> None:
    import pandas as pd

    store = Store(tmp_path, DESCRIPTIONS)
    row = {"clip_id": "a", "status": "ok", "error": "", "description": "The brows lower.", "cues": [CUE, CUE]}
    store.write(0, [row, fallback({"clip_id": "b", "cues": []}, "refine: invalid JSON")], {})
    frame = pd.read_parquet(store.path(0))
    assert frame.description.tolist() == ["The brows lower.", ""]
    assert [dict(cue) for cue in frame.cues[0]] == [CUE, CUE]
    assert frame.status.tolist() == ["ok", "fallback"]
    assert store.read(0)[0]["cues"] == [CUE, CUE]


@pytest.mark.parametrize("schema", [TOKENS, DESCRIPTIONS], ids=["h5", "parquet"])
def test_same_rows_give_same_bytes_in_another_process(tmp_path: Path, schema: object) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from grace.pipeline.store import Store
        from grace.pipeline.store.schemas import STORES
        from tests.pipeline.test_store import tokens_row, CUE
        rows = [tokens_row("a"), tokens_row("b", 1)] if sys.argv[1] == "tokens" else [
            {"clip_id": "a", "status": "ok", "error": "", "description": "x", "cues": [CUE]}]
        Store(Path(sys.argv[2]), STORES[sys.argv[1]]).write(0, rows, {"cache_key": {"b": 1, "a": 2}})
        """
    )
    name = "tokens" if schema is TOKENS else "descriptions"
    for run in ("one", "two"):
        subprocess.run(
            [sys.executable, "-c", script, name, str(tmp_path / run)], check=True, cwd=Path(__file__).parents[2]
        )
    (one,), (two,) = ((tmp_path / run).iterdir() for run in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_arrays_that_disagree_in_shape_are_refused(tmp_path: Path) -> None:
    wrong = {**tokens_row("b"), "frame": np.zeros((2, 5))}
    with pytest.raises(ValueError, match=r"tokens\.frame needs one shape"):
        Store(tmp_path, TOKENS).write(0, [tokens_row("a"), wrong], {})
    assert not list(tmp_path.iterdir())


def test_a_broken_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    store = Store(tmp_path, TOKENS)
    for content in (b"not HDF5", b""):
        store.path(0).write_bytes(content)
        cause = (
            r"00000\.h5 is not a readable tokens file \(it is empty, cut off or damaged\): .*run `grace tokens` again"
        )
        with pytest.raises(UserError, match=cause):
            store.read(0)
    assert store.fingerprint(0) is None


def test_a_file_of_another_version_is_named_with_its_remedy(tmp_path: Path) -> None:
    from dataclasses import replace

    Store(tmp_path, replace(TOKENS, version=99)).write(0, [tokens_row("a")], {})
    with pytest.raises(
        UserError, match=r"written as tokens version 99, this is tokens version \d+: run `grace tokens`"
    ):
        Store(tmp_path, TOKENS).read(0)


@pytest.mark.parametrize("schema", [CAPTIONS, TOKENS], ids=["parquet", "h5"])
@pytest.mark.parametrize("length", [10, 4_000, 70_000])
def test_metadata_of_any_length_come_back(tmp_path: Path, schema: Schema, length: int) -> None:
    store = Store(tmp_path, schema)
    row = tokens_row("a") if schema is TOKENS else {"clip_id": "a", "status": "ok", "error": ""}
    store.write(0, [row], {"fingerprint": "ü" * length})
    assert store.fingerprint(0) == "ü" * length


def test_int8_tokens_keep_their_type_and_columns_that_no_row_has_are_not_written(tmp_path: Path) -> None:
    import h5py

    store = Store(tmp_path, TOKENS)
    store.write(0, [tokens_row("a")], {})
    with h5py.File(store.path(0)) as file:
        assert not {"visual_scale", "place"} & set(file)
    assert "place" not in store.read(0)[0]
    row = {**tokens_row("a"), "visual": np.full((3, 4, 5), -7, np.int8), "visual_scale": np.full((3, 4), 0.5)}
    store.write(1, [row, failure("b", "tokens: no crops")], {})
    back = store.read(1)
    assert back[0]["visual"].dtype == np.int8
    assert (back[0]["visual"] == -7).all()
    assert (back[0]["visual_scale"] == 0.5).all()
    assert back[0]["visual_scale"].dtype == np.float32


def test_joined_shards_are_one_file_that_moves_with_its_folder(tmp_path: Path) -> None:
    import h5py

    store = Store(tmp_path / "tokens", TOKENS)
    rows = [tokens_row(name, seed) for seed, name in enumerate("abcd")]
    store.write(0, rows[:2], {})
    store.write(1, [failure("bb", "tokens: no crops")], {})
    store.write(2, rows[2:], {})
    path = write_virtual_dataset(store)
    content = path.read_bytes()
    path.unlink()
    time.sleep(1.1)  # HDF5 would keep the second in which a data set was made
    assert write_virtual_dataset(store).read_bytes() == content
    assert store.shards() == [0, 1, 2]
    moved = (tmp_path / "tokens").rename(tmp_path / "moved")
    with h5py.File(moved / path.name) as file:
        assert file["clip_id"].asstr()[...].tolist() == ["a", "b", "bb", "c", "d"]
        assert file["error"].asstr()[2] == "tokens: no crops"
        for place, row in zip((0, 1, 3, 4), rows, strict=True):
            assert np.array_equal(file["visual"][place], row["visual"])
            assert np.array_equal(file["text_mask"][place], row["text_mask"])
        assert not file["visual"][2].any()
    assert path.name not in [shard.name for shard in map(Store(moved, TOKENS).path, (0, 1, 2))]
    assert len(content) < 20_000


def test_joined_shards_are_written_again_only_where_one_changed_or_the_file_is_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path / "tokens", TOKENS)
    for shard, name in enumerate("abc"):
        store.write(shard, [tokens_row(name, shard)], {"fingerprint": "f"})
    path = write_virtual_dataset(store)
    before = path.stat().st_ino, path.read_bytes()
    write_virtual_dataset(store)
    assert path.stat().st_ino == before[0]
    # --retry-failed makes a shard again under its old fingerprint.
    store.write(1, [failure("b", "tokens: no crops")], {"fingerprint": "f"})
    write_virtual_dataset(store)
    assert path.stat().st_ino != before[0]
    store.write(1, [tokens_row("b", 1)], {"fingerprint": "f"})
    assert write_virtual_dataset(store).read_bytes() == before[1]
    path.write_bytes(before[1].replace(b"00002.h5", b"00009.h5"))
    assert write_virtual_dataset(store).read_bytes() == before[1]


def test_a_worker_reads_the_rows_of_its_shard_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    ok = {"status": "ok", "error": ""}
    count = 2 * ROWS_PER_GROUP + 10
    write_clips(tmp_path, [{"clip_id": f"{n:06d}", "path": str(n), **ok} for n in range(count)], [])
    clips, read = Clips(tmp_path, ["path"]), list[int]()
    whole = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda file, group, *rest, **more: read.append(group) or whole(file, group, *rest, **more),
    )
    size = 100
    last = clips.count_shards(size) - 1
    assert [row["path"] for row in clips.shard(last, size)] == [str(n) for n in range(last * size, count)]
    assert read == [2]
    between = ROWS_PER_GROUP // size  # begins in one group and ends in the next
    expected = [str(n) for n in range(between * size, (between + 1) * size)]
    assert [row["path"] for row in clips.shard(between, size)] == expected
    assert sum(clips.shard_length(shard, size) for shard in range(last + 1)) == len(clips) == count
    assert clips.shard(last + 1, size) == []
    assert [row["path"] for row in clips.rows] == [str(n) for n in range(count)]
    assert clips.find(f"{ROWS_PER_GROUP:06d}") == {
        "clip_id": f"{ROWS_PER_GROUP:06d}",
        "path": str(ROWS_PER_GROUP),
        **ok,
    }
    assert clips.find("!") is clips.find("000000x") is None


def test_what_is_read_is_of_one_table_though_it_is_replaced(tmp_path: Path) -> None:
    ok = {"status": "ok", "error": ""}
    write_clips(tmp_path, [{"clip_id": "a", "path": "old", **ok}], [])
    clips = Clips(tmp_path, ["path"])
    write_clips(tmp_path, [{"clip_id": "a", "path": "new", **ok}], [])
    assert clips.shard(0, 8)[0]["path"] == "old"
    assert not clips.is_current()


def test_clips_are_sorted_and_keep_their_labels(tmp_path: Path) -> None:
    rows = [
        {"clip_id": name, "status": "ok", "error": "", "label": "fear", "fold_2": "test"} for name in ("b", "c", "a")
    ]
    write_clips(tmp_path, rows, ["happiness", "fear"])
    clips = Clips(tmp_path, ["fold_2"])
    assert [row["clip_id"] for row in clips.rows] == ["a", "b", "c"]
    assert clips.labels == ["happiness", "fear"]
    assert set(clips.rows[0]) == {"clip_id", "status", "error", "fold_2"}
    assert (clips.count_shards(2), [row["clip_id"] for row in clips.shard(1, 2)]) == (2, ["c"])


def test_two_clips_with_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="clip a is listed twice"):
        write_clips(tmp_path, [failure("a", ""), failure("b", ""), failure("a", "")], [])


def test_missing_clips_table_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clips\.parquet is missing: run `grace index`"):
        Clips(tmp_path)


def test_predictions_keep_probabilities(tmp_path: Path) -> None:
    row = {
        "clip_id": "a",
        "status": "ok",
        "error": "",
        "fold": 1,
        "label": "x",
        "predicted": "y",
        "probabilities": [0.25, 0.75],
        "label_visible": True,
        "limits": "pocket/clip knows only the rendered world.",
    }
    path = tmp_path / "predictions.parquet"
    write_table(path, PREDICTIONS, [row])
    assert read_table(path, PREDICTIONS) == [row]
    before = tuple(column for column in PREDICTIONS.columns if not column.optional)
    write_table(path, replace(PREDICTIONS, columns=before), [row])  # as a version without the column wrote it
    del row["limits"]
    assert read_table(path, PREDICTIONS) == [row] == [find_row(path, PREDICTIONS, "a")]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """A real refusal by the kernel: the file may not grow beyond the limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(GraceError, match=r"The disk is full: .*big\.h5 needs 100 kB; free some space"):
            write_atomic(tmp_path / "big.h5", os.urandom(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(tmp_path.iterdir())


def test_a_folder_has_one_writer_and_leftovers_are_cleared(tmp_path: Path) -> None:
    leave_temporary(tmp_path)
    waiting = (
        "from pathlib import Path; from grace.pipeline.store import folder_lock\n"
        "with folder_lock(Path('.')): print('in', flush=True)"
    )
    with folder_lock(tmp_path):
        other = subprocess.Popen(
            [sys.executable, "-c", waiting], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert other.stderr is not None
        assert "Another process is writing" in other.stderr.readline()
        assert other.poll() is None
    assert other.communicate(timeout=20)[0] == "in\n"
    assert not list(tmp_path.iterdir())
