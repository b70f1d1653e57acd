"""Tokens: what CLIP itself computes, for every patch and every word, whatever shares the batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grace.pipeline.errors import ClipError, GraceError, UserError
from grace.pipeline.execution.runner import run
from grace.pipeline.media.images import decode_crop
from grace.pipeline.sentences import split_sentences, split_to_length
from grace.pipeline.store import Clips, Row, Store
from grace.pipeline.store.schemas import DESCRIPTIONS, MOTION, TOKENS
from grace.pipeline.tokens.batching import encode_clips, encode_texts
from grace.pipeline.tokens.compression import select_patches
from grace.pipeline.tokens.encoder import ClipEncoder
from grace.pipeline.tokens.encoders import Encoders
from grace.pipeline.tokens.layout import pack_text
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.step import tokens_step
from tests.support.face_stores import jpeg, write_clips_with_faces, write_texts

Checkpoint = Callable[[str], Path]

TEXT = "The brows rise slightly. The lips part, and the jaw drops! Is it at a peak? The eyes close"
LONG = "the brows rise clearly, the lips part slightly; the jaw drops and the cheeks lift " * 3


def settings(model: Path | str, **more: object) -> TokensSettings:
    return TokensSettings.model_validate(
        {"model": str(model), "dtype": "float32", "device": "cpu", "text_length": 96, **more}
    )


def encoder_of(checkpoint: Checkpoint, dtype: str = "float32") -> ClipEncoder:
    return ClipEncoder.load(str(checkpoint("clip")), dtype=dtype, device="cpu")


def pictures(count: int) -> list[bytes]:
    rng = np.random.default_rng(1)
    return [jpeg(rng) for _ in range(count)]


@pytest.mark.parametrize("family", ["clip", "metaclip2", "siglip", "siglip2"])
def test_class_tokens_and_end_tokens_are_the_models_own_embeddings(family: str, checkpoint: Checkpoint) -> None:
    import torch
    from PIL import Image

    encoder = ClipEncoder.load(str(checkpoint(family)), dtype="float32", device="cpu")
    frames, sentences = pictures(5), ["The brows rise.", "The lips part!", "jaw"]
    (visual,) = encode_clips(encoder, [frames], 4)
    assert not isinstance(visual, Exception)
    crops = [Image.fromarray(decode_crop(frame)) for frame in frames]
    padding = {"padding": "max_length", "max_length": 24} if "siglip" in family else {"padding": True}
    with torch.inference_mode():
        pixels = encoder.processor.image_processor(images=crops, return_tensors="pt")
        images = encoder.model.get_image_features(**pixels).pooler_output.numpy()
        batch = encoder.processor.tokenizer(sentences, return_tensors="pt", **padding)
        if "siglip" in family:  # trained without a mask
            batch.pop("attention_mask")
        texts = encoder.model.get_text_features(**batch).pooler_output.numpy()
    assert visual[0].shape[:2] == (5, 9 if family == "siglip2" else 4)
    assert visual[0].shape[2] == visual[1].shape[1] == texts.shape[1]
    assert np.allclose(visual[1], images, atol=2e-3)
    (words,) = encode_texts(encoder, [sentences], 2)
    assert np.allclose(np.stack([tokens[-1] for tokens, _ in words]), texts, atol=2e-3)
    assert {int(ids[-1]) for _, ids in words} == {encoder.processor.tokenizer.eos_token_id}
    assert [len(ids) for _, ids in words] == [encoder.count(sentence) + 1 for sentence in sentences]


def test_a_siglip_patch_is_what_the_pooling_head_makes_of_it_alone(checkpoint: Checkpoint) -> None:
    import torch

    encoder = ClipEncoder.load(str(checkpoint("siglip")), dtype="float32", device="cpu")
    pixels = torch.stack([encoder.prepare(decode_crop(frame)) for frame in pictures(2)])
    patches, _ = encoder.images(pixels)
    with torch.inference_mode():
        hidden = encoder.model.vision_model(pixel_values=encoder.normalise(pixels)).last_hidden_state
        assert torch.allclose(patches[1, 2], encoder.model.vision_model.head(hidden[1:, 2:3])[0], atol=1e-6)


def test_patch_tokens_lie_in_the_shared_space(checkpoint: Checkpoint) -> None:
    import torch

    encoder = encoder_of(checkpoint)
    pixels = torch.stack([encoder.prepare(decode_crop(frame)) for frame in pictures(3)])
    patches, classes = encoder.images(pixels)
    assert (tuple(patches.shape), tuple(classes.shape)) == ((3, 4, 16), (3, 16))
    tower = encoder.model.vision_model
    with torch.inference_mode():
        hidden = tower(pixel_values=encoder.normalise(pixels)).last_hidden_state[:, 1:]
        assert torch.allclose(patches, encoder.model.visual_projection(tower.post_layernorm(hidden)))


def test_pictures_of_any_size_are_prepared_by_the_processors_rule(checkpoint: Checkpoint) -> None:
    encoder = encoder_of(checkpoint)
    for height, width in ((20, 20), (32, 32), (40, 64), (300, 200)):
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = encoder.processor.image_processor(picture, return_tensors="pt")["pixel_values"]
        ours = encoder.normalise(encoder.prepare(picture)[None])
        assert float((ours - expected).abs().max()) < 1e-4


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_clips_that_share_batches_get_the_tokens_they_get_alone(batch: int, checkpoint: Checkpoint) -> None:
    encoder = encoder_of(checkpoint)
    frames = pictures(12)
    clips = [frames[:5], frames[5:6], frames[6:12]]
    together = list(encode_clips(encoder, clips, batch))
    assert len(together) == 3
    for clip, visual in zip(clips, together, strict=True):
        (alone,) = encode_clips(encoder, [clip], 16)
        assert not isinstance(visual, Exception)
        assert not isinstance(alone, Exception)
        assert visual[0].dtype == np.float16
        for ours, theirs in zip(visual, alone, strict=True):
            assert ours.shape == theirs.shape
            assert np.allclose(ours, theirs, atol=2e-3)


@pytest.mark.parametrize("batch", [1, 4, 5, 64])
def test_clips_that_cannot_be_decoded_keep_their_place_and_change_no_batch(batch: int, checkpoint: Checkpoint) -> None:
    encoder = encoder_of(checkpoint)
    frames = pictures(12)
    usable, broken = [frames[:5], frames[5:6], frames[6:]], [frames[0], b"no picture"]
    mixed = list(encode_clips(encoder, [broken, usable[0], broken, [], usable[1], usable[2], broken], batch))
    assert [isinstance(clip, ClipError) for clip in mixed] == [True, False, True, True, False, False, True]
    assert "no face crops" in str(mixed[3])
    for ours, theirs in zip((mixed[1], mixed[4], mixed[5]), encode_clips(encoder, usable, batch), strict=True):
        assert not isinstance(ours, ClipError) and not isinstance(theirs, ClipError)
        assert np.array_equal(ours[0], theirs[0]) and np.array_equal(ours[1], theirs[1])
    assert list(encode_clips(encoder, [], batch)) == []


def test_texts_that_share_batches_get_the_tokens_they_get_alone(checkpoint: Checkpoint) -> None:
    encoder = encoder_of(checkpoint)
    texts = [TEXT, "The nose wrinkles.", LONG]
    for batch in (1, 4, 64):
        together = encode_texts(encoder, [split_sentences(text) for text in texts], batch)
        for number, text in enumerate(texts):
            (alone,) = encode_texts(encoder, [split_sentences(text)], 64)
            for ours, theirs in zip(together[number], alone, strict=True):
                assert np.array_equal(ours[1], theirs[1])
                assert np.allclose(ours[0], theirs[0], atol=2e-3)


@pytest.mark.parametrize(
    "text", [TEXT, LONG, "x" * 400, "word " * 200, "a. b? c! \n\n d", "«Ça va?» 笑顔です。次に驚く。", ""]
)
def test_no_text_is_lost_between_sentences_and_parts(text: str, checkpoint: Checkpoint) -> None:
    encoder = encoder_of(checkpoint)
    parts = [
        part
        for sentence in split_sentences(text)
        for part in split_to_length(sentence, encoder.max_text_tokens, encoder.count)
    ]
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(0 < encoder.count(part) <= encoder.max_text_tokens for part in parts)
    (words,) = encode_texts(encoder, [split_sentences(text)], 8)
    assert sum(len(ids) - 1 for _, ids in words) == sum(encoder.count(part) for part in parts)


def test_long_sentences_are_cut_between_clauses() -> None:
    parts = split_to_length(
        "the brows rise and the eyes widen, the lips part and the jaw drops", 8, lambda text: len(text.split())
    )
    assert parts == ["the brows rise and the eyes widen,", "the lips part and the jaw drops"]


def test_words_and_end_tokens_are_kept_and_begin_and_padding_are_not(checkpoint: Checkpoint) -> None:
    encoder = encoder_of(checkpoint)
    tokenizer = encoder.processor.tokenizer
    (words,) = encode_texts(encoder, [["The lips part.", "The brows rise strongly and the jaw drops."]], 8)
    columns, dropped = pack_text(words, 40, 16)
    used = int(columns["text_mask"].sum())
    assert dropped == 0
    assert columns["text_mask"][:used].all()
    assert tokenizer.bos_token_id not in columns["text_id"][:used]
    assert (columns["text_id"][:used] == tokenizer.eos_token_id).sum() == 2
    assert columns["sentence"][:used].tolist() == sorted(columns["sentence"][:used].tolist())
    assert set(columns["sentence"][used:]) == {-1}
    assert not columns["text"][used:].any()


def test_a_text_longer_than_its_place_keeps_the_end_token_and_counts_the_rest() -> None:
    words = [(np.full((n, 2), n, np.float16), np.arange(1, n + 1, dtype=np.int32)) for n in (4, 5, 3)]
    columns, dropped = pack_text(words, 7, 2)
    assert columns["text_id"].tolist() == [1, 2, 3, 4, 1, 2, 5]
    assert columns["sentence"].tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert dropped == 5


def test_bfloat16_agrees_with_float32(checkpoint: Checkpoint) -> None:
    fine, coarse = (encode_all(encoder_of(checkpoint, dtype)) for dtype in ("float32", "bfloat16"))
    cosine = (fine * coarse).sum(-1) / (np.linalg.norm(fine, axis=-1) * np.linalg.norm(coarse, axis=-1))
    assert cosine.min() > 0.999


def encode_all(encoder: ClipEncoder) -> np.ndarray:
    (visual,) = encode_clips(encoder, [pictures(6)], 6)
    assert not isinstance(visual, Exception)
    return visual[0].astype(np.float32)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return list(Store(folder / "tokens", TOKENS).rows())


def clips_of(folder: Path) -> list[Row]:
    return [{**row, "status": "ok", "error": ""} for row in Clips(folder, []).rows]


def test_the_stage_writes_every_clip_and_says_what_it_could_not_do(tmp_path: Path, checkpoint: Checkpoint) -> None:
    write_clips_with_faces(tmp_path, 5, instants=6, size=3, broken=3)
    write_texts(tmp_path, "descriptions", ["The lips part.", TEXT, LONG, TEXT, "The jaw drops."], size=3)
    step = tokens_step(settings(checkpoint("clip"), batch=4, text_length=64))
    summary = run(step, tmp_path, size=3, max_failed=1.0)
    rows = rows_of(tmp_path)
    assert (summary.done, summary.fallbacks, sum(summary.failed.values())) == (5, 1, 1)
    assert [row["status"] for row in rows] == ["ok", "ok", "fallback", "failed", "ok"]
    assert rows[2]["error"].startswith("tokens: text_dropped: ")
    assert "not a readable JPEG" in rows[3]["error"]
    for row in rows:
        assert (row["visual"].shape, row["frame"].shape, row["text"].shape) == ((6, 4, 16), (6, 16), (64, 16))
        assert row["visual"].dtype == row["text"].dtype == np.float16
    assert rows[2]["text_mask"].all()
    before = (tmp_path / "tokens" / "00000.h5").read_bytes()
    (tmp_path / "tokens" / "00000.h5").unlink()
    assert run(tokens_step(settings(checkpoint("clip"), batch=4, text_length=64)), tmp_path, size=3, max_failed=1.0)
    assert (tmp_path / "tokens" / "00000.h5").read_bytes() == before


def test_another_model_or_length_redoes_the_stage(tmp_path: Path, checkpoint: Checkpoint) -> None:
    step = tokens_step(settings(checkpoint("clip")))
    assert step.cache_key() == tokens_step(settings(checkpoint("clip"), batch=2)).cache_key()
    assert step.cache_key() != tokens_step(settings(checkpoint("clip"), text_length=32)).cache_key()
    for changed in ({"dtype": "bfloat16"}, {"storage": "int8"}, {"patches": 2}, {"text": "caption"}):
        assert step.cache_key() != tokens_step(settings(checkpoint("clip"), **changed)).cache_key()
    assert step.cache_key() != tokens_step(settings(checkpoint("llama"))).cache_key()


def test_int8_is_half_a_step_from_float16_and_half_its_size(tmp_path: Path, checkpoint: Checkpoint) -> None:
    write_clips_with_faces(tmp_path, 4, size=4)
    write_texts(tmp_path, "descriptions", [TEXT] * 4, size=4)
    stored = {}
    for storage in ("float16", "int8"):
        run(tokens_step(settings(checkpoint("clip"), storage=storage)), tmp_path, size=4)
        stored[storage] = rows_of(tmp_path)[1]
    fine, coarse = stored["float16"], stored["int8"]
    assert "visual_scale" not in fine
    for name in ("visual", "frame", "text"):
        assert coarse[name].dtype == np.int8
        step = np.abs(fine[name].astype(np.float32)).max(-1, keepdims=True) / 127
        back = coarse[name] * coarse[f"{name}_scale"][..., None]
        assert (np.abs(back - fine[name]) <= 0.51 * step).all()
    assert not coarse["text"][~coarse["text_mask"]].any()


def test_kept_patches_are_those_that_move_and_carry_their_places(tmp_path: Path, checkpoint: Checkpoint) -> None:
    write_clips_with_faces(tmp_path, 2, size=2)
    write_texts(tmp_path, "descriptions", [TEXT] * 2, size=2)
    motion = np.zeros((6, 2, 2), np.float16)
    motion[:, 1, 0] = 1.0
    rows = [{"clip_id": row["clip_id"], "status": "ok", "error": "", "motion": motion} for row in clips_of(tmp_path)]
    Store(tmp_path / "motion", MOTION).write(0, rows, {"fingerprint": "m", "cache_key": {}})
    run(tokens_step(settings(checkpoint("clip"))), tmp_path, size=2)
    whole = rows_of(tmp_path)[0]
    run(tokens_step(settings(checkpoint("clip"), patches=2)), tmp_path, size=2)
    kept = rows_of(tmp_path)[0]
    assert kept["visual"].shape == (6, 2, 16)
    assert kept["grid"].tolist() == [2, 2]
    assert (kept["patch_index"] == 2).any(axis=1).all()
    assert (np.diff(kept["patch_index"], axis=1) > 0).all()
    assert np.array_equal(kept["visual"], np.take_along_axis(whole["visual"], kept["patch_index"][..., None], axis=1))
    assert np.array_equal(kept["frame"], whole["frame"])
    with pytest.raises(UserError, match=r"tokens\.patches is 4, and the model has 4 patches per frame"):
        run(tokens_step(settings(checkpoint("clip"), patches=4)), tmp_path, size=2)


def test_where_nothing_moves_the_patch_nearest_to_the_frame_is_kept() -> None:
    rng = np.random.default_rng(0)
    patches, classes = (rng.normal(size=shape).astype(np.float16) for shape in ((3, 9, 8), (3, 8)))
    patches[:, 5] = classes
    kept, place = select_patches(patches, classes, np.zeros((3, 6, 6), np.float16), 1)
    assert place.tolist() == [[5], [5], [5]]
    assert np.array_equal(kept[:, 0], classes)


def test_the_coarse_caption_can_take_the_place_of_the_description(tmp_path: Path, checkpoint: Checkpoint) -> None:
    write_clips_with_faces(tmp_path, 1, size=1)
    rows = [{**clips_of(tmp_path)[0], "caption": "The jaw drops.", "description": TEXT}]
    Store(tmp_path / "descriptions", DESCRIPTIONS).write(0, rows, {"fingerprint": "d", "cache_key": {}})
    found = {}
    for text in ("description", "caption"):
        run(tokens_step(settings(checkpoint("clip"), text=text)), tmp_path, size=1)
        found[text] = rows_of(tmp_path)[0]
    assert found["caption"]["sentence"].max() == 0
    assert found["description"]["sentence"].max() == 3
    assert np.array_equal(found["caption"]["visual"], found["description"]["visual"])


def test_tokens_that_are_no_numbers_fail_their_clip(tmp_path: Path, checkpoint: Checkpoint) -> None:
    import torch

    write_clips_with_faces(tmp_path, 2, size=2)
    write_texts(tmp_path, "descriptions", [TEXT] * 2, size=2)
    for storage in ("float16", "int8"):
        step = tokens_step(settings(checkpoint("clip"), storage=storage))
        step.open()
        assert isinstance(step.encoders, Encoders)
        with torch.no_grad():
            step.encoders.images.model.visual_projection.weight.fill_(1e30)
        with pytest.raises(GraceError, match="failed 2 of 2 clips"):
            run(step, tmp_path, size=2)
        assert [row["error"] for row in rows_of(tmp_path)] == [
            "tokens: the model gave NaN or infinite tokens: set tokens.dtype to float32"
        ] * 2


def test_a_model_that_is_no_clip_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(UserError, match="CLIP"):
        tokens_step(settings(checkpoint("idefics3"))).open()
