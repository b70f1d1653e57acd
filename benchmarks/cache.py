"""The cache reads at memory speed, checksums included, and int8 halves it without a loss.

Reading: random whole clips (every column that training reads, tokens and motion, of ViT-B/32's shape) through
``Cache.read``, one at a time and 32 at a time, beside copies of the same bytes out of an ``np.memmap`` of every column
of the same files, in turns, all of it in the page cache and in the maps. Size: bytes of a clip's video tokens beside
the float32 hidden states of CLIP's vision tower for the same frames; in ``bytes_ratio_with_text`` the whole clip beside
the hidden states of both towers, text at the same positions. UAR: each method trained on a data set's tokens as float16
and as int8, same folds and seeds; the change is the mean over the pairs, in points.

    python -m benchmarks.cache [--quick] [--data data/demo]

Ends with one line of JSON: read_ratio (goal >= 0.95), bytes_ratio of int8 (goal <= 0.17), int8_size (goal <= 0.55),
uar_change (goal: within 0.5 points; absent when there is no data set to train on).

--quick takes 45 s of processor time; the full run trains 100 times for 30 epochs instead of 4 times for 6.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from benchmarks.harness import Benchmark, median_ratio, progress, scratch_folder, seconds
from benchmarks.train import GRID, INSTANTS, LENGTH, WIDTH, random_cache
from grace.pipeline.store import Row, Store
from grace.pipeline.store.schemas import TOKENS, fold_column
from grace.pipeline.tokens.compression import quantize_row
from grace.trainer.data import Cache
from grace.trainer.settings import TrainSettings
from grace.trainer.train import train

HIDDEN, TEXT_HIDDEN = 768, 512
"""Widths of ViT-B/32's towers."""
COMPARED = ("vision", "grace")
BATCH = 32

BENCHMARK = Benchmark(
    "cache",
    __doc__,
    keys=("read_ratio", "bytes_ratio", "int8_size", "uar_change"),
    quick="fewer clips, one fold, one seed",
)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of a data set with tokens")
    return options


def main() -> None:
    """Measure, print the table and the line of JSON."""
    args = parser().parse_args()
    clips, rounds, seeds = (64, 5, 1) if args.quick else (512, 21, 5)
    with scratch_folder() as scratch:
        folder = random_cache(scratch / "random", clips)
        figures: dict[str, Any] = reading(folder, rounds) | sizes(folder)
        if (args.data / "tokens").is_dir():
            settings = TrainSettings().model_copy(update={"epochs": 6 if args.quick else 30})
            figures |= uar_change(args.data, scratch, settings, seeds, 1 if args.quick else None)
    BENCHMARK.report(figures, keep=not args.quick)


def reading(folder: Path, rounds: int) -> dict[str, float]:
    """Random clips through the cache, and copies of the same bytes out of maps of the same files."""
    cache = Cache(folder)
    ids = list(cache.rows)
    maps = mapped(cache)
    order = np.random.default_rng(0)
    singles, batches = [], []
    for number in range(rounds + 1):
        drawn = [ids[place] for place in order.permutation(len(ids))]
        groups = [drawn[start : start + BATCH] for start in range(0, len(drawn) - BATCH + 1, BATCH)]
        single = rate(lambda part: cache.read(part), [[clip_id] for clip_id in drawn])
        copied = rate(lambda part: copies(cache, maps, part), [[clip_id] for clip_id in drawn])
        batch = rate(lambda part: cache.read(part), groups)
        stacked = rate(lambda part: copies(cache, maps, part), groups)
        if number:  # in the first round, files come into memory and pages into the maps
            singles.append((single, copied))
            batches.append((batch, stacked))
    read, copied_out = ([pair[side] for pair in singles] for side in (0, 1))
    size = sum(array.nbytes for array in cache.row(ids[0]).values())
    return {
        "read_ratio": round(median_ratio(read, copied_out), 3),
        "batch_read_ratio": round(median_ratio(*zip(*batches, strict=True)), 3),
        "read_clips_per_second": round(median(read), 1),
        "memmap_clips_per_second": round(median(copied_out), 1),
        "read_gigabytes_per_second": round(median(read) * size / 1e9, 2),
    }


def mapped(cache: Cache) -> dict[tuple[str, int, str], np.ndarray]:
    """Every column of every shard as a memory map."""
    import h5py

    maps: dict[tuple[str, int, str], np.ndarray] = {}
    for reader in (cache.tokens, cache.motion):
        for shard in reader.shards:
            path = reader.store.path(shard)
            with h5py.File(path) as file:
                for name in reader.names:
                    data = file[name]
                    maps[reader.store.folder.name, shard, name] = np.memmap(
                        path, data.dtype, "r", data.id.get_offset(), data.shape
                    )
    return maps


def copies(
    cache: Cache, maps: dict[tuple[str, int, str], np.ndarray], clip_ids: Sequence[str]
) -> dict[str, np.ndarray]:
    """What ``Cache.read`` gives, copied out of the maps."""
    made = {}
    for reader in (cache.tokens, cache.motion):
        places = [reader.locations[clip_id] for clip_id in clip_ids]
        for name in reader.names:
            found = [maps[reader.store.folder.name, place.shard, name][place.index] for place in places]
            made[name] = np.array(found[0])[None] if len(found) == 1 else np.stack(found)
    return made


def rate(work: Callable[[Sequence[str]], object], parts: Sequence[Sequence[str]]) -> float:
    """Clips per second of ``work`` on each of the parts."""

    def all_parts() -> None:
        for part in parts:
            work(part)

    return sum(map(len, parts)) / seconds(all_parts)


def sizes(folder: Path) -> dict[str, float]:
    """What a clip takes, by what is stored of it."""
    store = Store(folder / "tokens", TOKENS)
    rows = store.read(0)
    small = Store(folder / "small", TOKENS)
    small.write(0, [quantize_row(row) for row in rows], {"cache_key": {}})
    fine, coarse = (each.path(0).stat().st_size / len(rows) for each in (store, small))
    shutil.rmtree(small.folder)
    text = LENGTH * (rows[0]["text"].itemsize * WIDTH)
    seen = 4 * INSTANTS * (GRID * GRID + 1) * HIDDEN
    read = 4 * LENGTH * TEXT_HIDDEN
    return {
        "bytes_ratio": round((coarse - text / 2) / seen, 4),
        "bytes_ratio_with_text": round(coarse / (seen + read), 4),
        "float16_bytes_ratio": round((fine - text) / seen, 4),
        "int8_size": round(coarse / fine, 4),
        "int8_megabytes_a_clip": round(coarse / 1e6, 4),
    }


def uar_change(data: Path, scratch: Path, settings: TrainSettings, seeds: int, most: int | None) -> dict[str, Any]:
    """UAR on int8 less UAR on float16, in points: the mean over methods, folds and seeds, and its standard error."""
    kinds = {"float16": copied(data, scratch / "float16"), "int8": copied(data, scratch / "int8")}
    store = Store(kinds["int8"] / "tokens", TOKENS)
    for shard in store.shards():
        store.write(shard, [_small(row) for row in store.read(shard)], store.meta(shard))
    cache = Cache(data)
    tested = [k for k in cache.folds if any(row[fold_column(k)] == "test" for row in cache.rows.values())]
    folds = tested[:most]
    changes = []
    for method in COMPARED:
        for fold in folds:
            for seed in range(seeds):
                one = settings.model_copy(update={"method": method, "seed": seed})
                uar = {kind: train(folder, one, fold, quiet=True)["UAR"] for kind, folder in kinds.items()}
                changes.append(100 * (uar["int8"] - uar["float16"]))
                progress(f"{method}, fold {fold}, seed {seed}: {changes[-1]:+.2f} points")
    error = stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else None
    return {
        "uar_change": round(mean(changes), 3),
        "uar_change_error": round(error, 3) if error is not None else None,
        "uar_pairs": len(changes),
        "uar_clips": len(cache.rows),
    }


def copied(data: Path, folder: Path) -> Path:
    """The table, tokens and motion of a data set, to train on beside it."""
    for name in ("tokens", "motion"):
        shutil.copytree(data / name, folder / name)
    shutil.copy(data / "clips.parquet", folder)
    return folder


def _small(row: Row) -> Row:
    return row if row["status"] == "failed" else quantize_row(row)


if __name__ == "__main__":
    main()
