"""Reading the cache: the values that were written, and one plain sentence for a cache that is not sound."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grace.pipeline.store import Reader, Store, UserError
from grace.pipeline.store.schemas import MOTION, TOKENS
from grace.trainer.data import (
    Cache,
    Order,
    Subset,
    as_batch,
    collate,
    length_bucketed_batches,
    resample_motion,
    scatter_to_grid,
)
from tests.support.toy_cache import GRID, INSTANTS, PATCHES, WIDTH, toy_cache


def rewrite(folder: Path, schema: Any, change: Any, **meta: Any) -> None:
    """Replace every shard's rows by ``change(row)`` and add to its metadata."""
    store = Store(folder, schema)
    for shard in store.shards():
        was = store.meta(shard)
        rows = [change(row) for row in store.read(shard)]
        store.write(shard, rows, {"cache_key": was["cache_key"], "fingerprint": was["fingerprint"], **meta})


def as_int8(row: dict[str, Any]) -> dict[str, Any]:
    """What tokens.storage int8 stores."""
    made = dict(row)
    for name in ("visual", "frame", "text"):
        values = row[name].astype(np.float32)
        scale = np.maximum(np.abs(values).max(-1), 1e-6) / 127
        made |= {name: np.rint(values / scale[..., None]).astype(np.int8), f"{name}_scale": scale}
    return made


def kept(row: dict[str, Any]) -> dict[str, Any]:
    """What tokens.patches 2 stores, were the second and the last patch chosen."""
    place = np.tile(np.array([1, PATCHES - 1], np.int16), (INSTANTS, 1))
    return {**row, "visual": row["visual"][:, [1, PATCHES - 1]], "patch_index": place, "grid": np.array([GRID, GRID])}


def test_clips_come_back_as_they_were_written_in_any_order(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    store = Store(tmp_path / "tokens", TOKENS)
    for clip_ids in (["clip-040"], ["clip-059", "clip-000", "clip-017"]):
        read = cache.read(clip_ids)
        for number, clip_id in enumerate(clip_ids):
            stored = store.find(clip_id)
            assert stored is not None
            for name in ("visual", "frame", "text", "text_mask", "sentence"):
                assert np.array_equal(read[name][number], stored[name])
    assert np.array_equal(cache.row("clip-040")["visual"], cache.read(["clip-040"])["visual"][0])


def test_batches_read_ahead_give_every_clip_once_with_its_label(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    subset = Subset(cache, tuple(cache.rows))
    assert [len(labels) for _, labels in subset.batches(16)] == [16, 16, 16, 12]
    plain = torch.cat([batch.visual for batch, _ in subset.batches(16)])
    assert torch.equal(plain[40], torch.from_numpy(cache.row("clip-040")["visual"]).float())
    order = np.concatenate(length_bucketed_batches(subset.words, 7, np.random.default_rng(5)))
    assert sorted(order) == list(range(60))
    shuffled = [(batch.visual, labels) for batch, labels in subset.batches(7, Order(seed=5))]
    assert torch.equal(torch.cat([visual for visual, _ in shuffled]), plain[order])
    assert np.array_equal(torch.cat([labels for _, labels in shuffled]).numpy(), subset.labels[order])
    assert not list(Subset(cache, ()).batches(4))


@pytest.mark.parametrize("clips", [100, 1000])
def test_random_batches_hold_texts_of_like_length_and_differ_from_epoch_to_epoch(clips: int) -> None:
    words = np.random.default_rng(0).integers(20, 100, clips)
    epochs = [length_bucketed_batches(words, 32, np.random.default_rng(seed)) for seed in (1, 2)]
    for batches in epochs:
        assert sorted(np.concatenate(batches)) == list(range(clips))
        assert max(len(batch) for batch in batches) == 32
        assert sum(len(batch) * words[batch].max() for batch in batches) < 1.45 * words.sum()
    first, second = ({(a, b) for batch in batches for a in batch for b in batch} for batches in epochs)
    assert len(first & second) < 0.7 * len(first)


def test_int8_is_read_within_half_a_step_of_float16(tmp_path: Path) -> None:
    fine = Cache(toy_cache(tmp_path))
    before = collate([fine.row("clip-007"), fine.row("clip-008")])
    rewrite(tmp_path / "tokens", TOKENS, as_int8)
    coarse = Cache(tmp_path)
    assert coarse.row("clip-007")["visual"].dtype == np.int8
    after = as_batch(coarse.read(["clip-007", "clip-008"]))
    for name in ("visual", "frame", "text"):
        ours, theirs = getattr(after, name), getattr(before, name)
        step = theirs.abs().amax(-1, keepdim=True) / 127
        assert ours.dtype == torch.float32
        assert bool(((ours - theirs).abs() <= 0.51 * step + 1e-6).all())
    assert torch.equal(after.text_mask, before.text_mask)


def test_kept_patches_get_the_motion_of_their_places(tmp_path: Path) -> None:
    whole = Cache(toy_cache(tmp_path))
    before = collate([whole.row("clip-003")])
    rewrite(tmp_path / "tokens", TOKENS, kept)
    cache = Cache(tmp_path)
    assert (cache.patches, cache.grid, cache.width) == (2, (GRID, GRID), WIDTH)
    after = as_batch(cache.read(["clip-003"]))
    assert torch.equal(after.visual, before.visual[:, :, [1, PATCHES - 1]])
    assert torch.equal(after.motion, before.motion[:, :, [1, PATCHES - 1]])
    plan = np.random.default_rng(0).random((3, INSTANTS, 2)).astype(np.float32)
    spread = scatter_to_grid(plan, cache.row("clip-003"))
    assert spread.shape == (3, INSTANTS, PATCHES)
    assert np.array_equal(spread[..., [1, PATCHES - 1]], plan)
    assert spread.sum() == pytest.approx(plan.sum())


def test_a_grid_unlike_the_patches_is_resampled(tmp_path: Path) -> None:
    motion = torch.zeros(1, 1, 6, 6)
    motion[..., :2, :2] = 1
    small = resample_motion(motion, (3, 3)).view(3, 3)
    assert int(small.argmax()) == 0
    assert float(small[0, 0]) > 0.8
    assert float(small[2, 2]) == 0
    cache = Cache(toy_cache(tmp_path, grid=6))
    assert collate([cache.row("clip-000")]).motion.shape == (1, INSTANTS, PATCHES)


def test_text_is_cut_to_the_longest_of_the_batch_and_sentences_keep_their_ends(tmp_path: Path) -> None:
    row = Cache(toy_cache(tmp_path)).row("clip-000")
    mask = np.arange(len(row["text_mask"])) < 5
    sentence = np.where(mask, np.array([0, 0, 1, 1, 1] + [0] * (len(mask) - 5)), -1).astype(np.int16)
    batch = collate([{**row, "text_mask": mask, "sentence": sentence}])
    assert batch.text.shape[1] == 5
    assert batch.sentence_end.tolist() == [[False, True, False, False, True]]


def test_few_files_stay_open_and_go_with_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files() -> int:
        return sum(link.resolve().suffix == ".h5" for link in Path("/proc/self/fd").iterdir())

    monkeypatch.setattr("grace.pipeline.store.reader.OPEN_FILES", 2)
    gc.collect()
    before = files()
    cache = Cache(toy_cache(tmp_path))
    for clip_id in cache.rows:  # in four shards
        cache.row(clip_id)
    assert files() == before + 4  # two of tokens, two of motion
    del cache
    assert files() == before


def test_tokens_and_motion_of_different_crops_are_refused(tmp_path: Path) -> None:
    toy_cache(tmp_path)
    rewrite(tmp_path / "tokens", TOKENS, dict, inputs={"faces": "one", "descriptions": "x"})
    rewrite(tmp_path / "motion", MOTION, dict, inputs={"faces": "one"})
    Cache(tmp_path)
    rewrite(tmp_path / "motion", MOTION, dict, inputs={"faces": "two"})
    with pytest.raises(UserError, match=r"shard 00000 of tokens and of motion .* different face crops"):
        Cache(tmp_path)


@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_a_truncated_file_is_named_before_anything_is_read(tmp_path: Path, share: float) -> None:
    path = Store(toy_cache(tmp_path) / "tokens", TOKENS).path(1)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(
        UserError, match=r"00001\.h5 is (damaged|not a readable tokens file) .* run `grace tokens` again"
    ):
        Cache(tmp_path)


def test_a_file_that_shrinks_or_goes_while_it_is_read_is_named(tmp_path: Path) -> None:
    cache = Cache(toy_cache(tmp_path))
    path = cache.tokens.store.path(0)
    shutil.copy(path, tmp_path / "whole.h5")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"tokens/00000\.h5 was replaced or changed while it was in use"):
        cache.row("clip-003")
    path.unlink()
    cache.tokens._file.cache_clear()
    with pytest.raises(UserError, match=r"00000\.h5 is missing: run `grace tokens`"):
        cache.row("clip-003")


def test_a_file_that_was_replaced_is_not_read_under_the_old_ones_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More shards than files stay open, and one of them changes in between."""
    monkeypatch.setattr("grace.pipeline.store.reader.OPEN_FILES", 1)
    cache = Cache(toy_cache(tmp_path))
    before = cache.row("clip-001")["visual"]
    cache.row("clip-040")  # of another shard: the first one's file is closed
    assert np.array_equal(cache.row("clip-001")["visual"], before)
    cache.row("clip-040")
    rewrite(tmp_path / "tokens", TOKENS, lambda row: {**row, "visual": row["visual"] + 1})
    with pytest.raises(UserError, match=r"tokens/00000.h5 was replaced or changed while it was in use"):
        cache.row("clip-001")


def test_shards_of_other_storage_are_refused(tmp_path: Path) -> None:
    store = Store(toy_cache(tmp_path) / "tokens", TOKENS)
    store.write(1, [as_int8(row) for row in store.read(1)], store.meta(1))
    with pytest.raises(UserError, match=r"00001\.h5 holds 'visual' of shape .* \(int8\), earlier shards float16"):
        Cache(tmp_path)


def test_a_failed_clip_cannot_be_read(tmp_path: Path) -> None:
    reader = Reader(toy_cache(tmp_path, failed=(1,)) / "tokens", TOKENS, ("visual",))
    with pytest.raises(ValueError, match=r"clip-001 failed \(faces: the video has no frames\)"):
        reader.read(["clip-001"])
