"""Any two encoders: what a vision transformer and a sentence encoder compute by themselves, side by side."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from grace.pipeline.errors import UserError
from grace.pipeline.execution.runner import run
from grace.pipeline.media.images import decode_crop
from grace.pipeline.store import Clips, Row, Store
from grace.pipeline.store.schemas import DESCRIPTIONS, FACES, MOTION, TOKENS
from grace.pipeline.tokens.batching import encode_clips
from grace.pipeline.tokens.encoders import Encoders
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.step import tokens_step
from grace.pipeline.visualize.alignment import distinctive_words
from tests.support.face_stores import jpeg, write_clips_with_faces
from tests.support.single_encoders import PATCH, WIDTH, save_sentence_encoder, save_vision

Checkpoint = Callable[[str], Path]

REAL = os.environ.get("GRACE_REAL_MODELS", "")

CUES = [
    {"region": "brows", "action": "rise", "intensity": "slightly", "phase": "apex"},
    {"region": "jaw", "action": "drops", "intensity": "slightly", "phase": "offset"},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model of each kind."""
    folder = tmp_path_factory.mktemp("encoders")
    for kind in ("vit", "vit_mae", "dinov2", "dinov2_with_registers"):
        save_vision(folder / kind, kind)
    save_sentence_encoder(folder / "bert")
    return folder


def settings(models: Path, **more: object) -> TokensSettings:
    asked = {"vision": str(models / "dinov2"), "text_encoder": str(models / "bert"), "text_length": 40}
    return TokensSettings.model_validate({"dtype": "float32", "device": "cpu", **asked, **more})


def write_inputs(folder: Path, count: int = 2) -> None:
    write_clips_with_faces(folder, count, size=count)
    text = {
        "description": "The brows rise slightly, the jaw drops.",
        "caption": "Lips part.\nThe eyes close.",
        "cues": CUES,
        "label_visible": False,
    }
    clips = [{"clip_id": row["clip_id"], "status": "ok", "error": ""} for row in Clips(folder).rows]
    Store(folder / "descriptions", DESCRIPTIONS).write(
        0, [{**clip, **text} for clip in clips], {"fingerprint": "d", "cache_key": {}}
    )
    motion = np.zeros((6, 4, 4), np.float16)
    motion[:, :, 0] = 1.0  # the left column moves
    rows = [{**clip, "motion": motion} for clip in clips]
    Store(folder / "motion", MOTION).write(0, rows, {"fingerprint": "m", "cache_key": {}})


def rows_of(folder: Path) -> list[Row]:
    return Store(folder / "tokens", TOKENS).read(0)


@pytest.mark.parametrize("kind", ["vit", "vit_mae", "dinov2", "dinov2_with_registers"])
def test_patches_lie_on_their_grid_and_the_class_token_is_the_models(kind: str, models: Path) -> None:
    encoder = Encoders.load(settings(models, vision=str(models / kind))).images
    crop = decode_crop(jpeg(np.random.default_rng(0)))
    pixels = torch.stack([encoder.prepare(crop)])
    patches, classes = encoder.images(pixels)
    assert patches.shape == (1, 16, WIDTH)
    changed = pixels.clone()
    changed[:, :, :PATCH, 3 * PATCH :] = 255 - changed[:, :, :PATCH, 3 * PATCH :]  # the patch at the top right
    moved = (encoder.images(changed)[0] - patches).abs().sum(-1)[0]
    assert int(moved.argmax()) == 3
    assert torch.equal(encoder.images(pixels)[1], classes)  # ViT-MAE shuffles and hides patches unless told otherwise
    with torch.inference_mode():
        inputs = encoder.image_processor(images=crop, return_tensors="pt")
        if kind != "vit_mae":
            assert torch.allclose(encoder.model(**inputs).last_hidden_state[:, 0], classes, atol=1e-4)


def test_a_sentence_is_its_words_and_the_mean_of_all_its_tokens(models: Path) -> None:
    encoder = Encoders.load(settings(models)).texts
    sentences = ["the brows rise.", "jaw"]
    hidden, _, kept = encoder.texts(sentences)
    assert kept.sum(1).tolist() == [5, 2]  # words and the sentence
    with torch.inference_mode():
        alone = encoder.model(**encoder.tokenizer("jaw", return_tensors="pt")).last_hidden_state[0]  # type: ignore[attr-defined]
    assert torch.allclose(hidden[1][kept[1]], torch.stack([alone[1], alone.mean(0)]), atol=1e-5)
    first = Encoders.load(settings(models, text_pooling="first")).texts.texts(["jaw"])
    assert torch.allclose(first[0][0][first[2][0]][-1], alone[0], atol=1e-5)


def test_tokens_of_two_models_keep_their_own_widths_and_name_both(tmp_path: Path, models: Path) -> None:
    write_inputs(tmp_path)
    step = tokens_step(settings(models, grid=2, texts=3, views=["mirrored"], storage="int8"))
    run(step, tmp_path, size=2)
    row = rows_of(tmp_path)[1]
    assert row["status"] == "ok"
    assert row["visual"].shape == row["mirrored_visual"].shape == (6, 4, WIDTH)
    assert row["text"].shape == (40, 24)
    assert row["other_text"].shape == (2, 40, 24)
    assert row["other_text"].dtype == np.int8
    assert row["other_text_mask"].sum(1).tolist() == [4, 5]
    assert set(step.cache_key()) >= {"vision", "text_encoder"}
    assert "model" not in step.cache_key()
    assert step.cache_key() != tokens_step(settings(models, text_pooling="first")).cache_key()


def test_a_clip_with_fewer_texts_has_empty_ones(tmp_path: Path, models: Path) -> None:
    write_inputs(tmp_path)
    run(tokens_step(settings(models, texts=4, text="caption")), tmp_path, size=2)
    row = rows_of(tmp_path)[0]
    assert row["text_mask"].sum() == 4  # "Lips part." and its sentence, not both captions
    assert row["other_text_mask"].sum(1).tolist() == [5, 0, 0]


def test_a_cue_is_one_token(tmp_path: Path, models: Path) -> None:
    write_inputs(tmp_path)
    asked = settings(models, text_unit="cue", texts=2, text_length=8)
    run(tokens_step(asked), tmp_path, size=2)
    row = rows_of(tmp_path)[0]
    assert row["text_mask"].sum() == len(CUES)
    assert row["sentence"][:3].tolist() == [0, 1, -1]
    encoder = Encoders.load(asked).texts
    tokens, _, kept = encoder.texts(["Brows: rise slightly, which is held."])
    assert np.allclose(row["text"][0], tokens[0][kept[0]][-1].numpy(), atol=2e-3)
    plan = np.zeros((8, 1, 4), np.float32)
    plan[0, 0, 0] = plan[1, 0, 3] = 0.5
    shown = distinctive_words({**row, "description": "", "caption": "", "cues": CUES}, plan, asked)
    assert [word.text[:5] for word in shown] == ["Brows", "Jaw: "]


def test_words_of_wordpiece_are_spelled_whole(tmp_path: Path, models: Path) -> None:
    write_inputs(tmp_path)
    asked = settings(models)
    run(tokens_step(asked), tmp_path, size=2)
    row = rows_of(tmp_path)[0]
    words = distinctive_words(row, np.ones((40, 1, 4), np.float32), asked)
    assert {word.text for word in words} == {"brows", "rise", "slightly", "jaw", "drops"}


def test_the_mirrored_view_is_that_of_mirrored_crops_with_the_motion_on_their_side(
    tmp_path: Path, models: Path
) -> None:
    write_inputs(tmp_path)
    run(tokens_step(settings(models, views=["mirrored"], patches=4)), tmp_path, size=2)
    row = rows_of(tmp_path)[0]
    assert (row["patch_index"] % 4 == 0).mean() > 0.8  # saliency has a say
    assert (row["mirrored_patch_index"] % 4 == 3).mean() > 0.8
    frames = Store(tmp_path / "faces", FACES).read(0)
    encoder = Encoders.load(settings(models)).images
    flipped = [decode_crop(frame)[:, ::-1].copy() for frame in frames[0]["frames"]]
    _, classes = encoder.images(torch.stack([encoder.prepare(crop) for crop in flipped]))
    assert np.allclose(row["mirrored_frame"], classes.numpy(), atol=2e-3)


def test_patches_of_the_value_path_are_what_attention_would_read_of_them(checkpoint: Checkpoint) -> None:
    asked = {"model": str(checkpoint("clip")), "dtype": "float32", "device": "cpu"}
    plain, value = (Encoders.load(TokensSettings(**asked, patch_path=path)).images for path in ("output", "value"))  # type: ignore[arg-type]
    frames = [jpeg(np.random.default_rng(3))]
    (one,), (other,) = (list(encode_clips(encoder, [frames], 4)) for encoder in (plain, value))
    assert not isinstance(one, Exception)
    assert not isinstance(other, Exception)
    assert np.array_equal(one[1], other[1])  # class tokens stay
    model = value.model
    with torch.inference_mode():
        pixels = value.normalise(torch.stack([value.prepare(decode_crop(frames[0]))]))
        seen = model.vision_model(pixel_values=pixels, output_hidden_states=True)
        layer = model.vision_model.encoder.layers[-1]
        alone = layer.layer_norm1(seen.hidden_states[-2])[:, 1:]
        tokens = model.visual_projection(
            model.vision_model.post_layernorm(layer.self_attn.out_proj(layer.self_attn.v_proj(alone)))
        )
    assert np.allclose(other[0], tokens.numpy(), atol=2e-3)
    assert not np.allclose(one[0], other[0], atol=1e-2)


def test_encoders_that_do_not_fit_are_refused(models: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(UserError, match=r"tokens\.patch_path: value is CLIP's, and .* is none"):
        Encoders.load(settings(models, patch_path="value"))
    with pytest.raises(UserError, match=r"tokens\.patch_path: value is CLIP's, and .* is a SigLIP"):
        Encoders.load(TokensSettings(model=str(checkpoint("siglip")), device="cpu", patch_path="value"))
    with pytest.raises(UserError, match=r"other models go into tokens\.vision and tokens\.text_encoder"):
        Encoders.load(TokensSettings(model=str(models / "vit"), device="cpu"))
    encoder = Encoders.load(settings(models, image_size=32)).images
    with pytest.raises(UserError, match=r"tokens\.grid is 4, and the model has 2 patches per side"):
        list(encode_clips(encoder, [[jpeg(np.random.default_rng(0))]], 4, grid=4))


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="GRACE_REAL_MODELS names no folder with dinov2-small/ and minilm/")
def test_real_encoders_know_what_is_alike() -> None:
    folder = Path(REAL)
    asked = {"vision": str(folder / "dinov2-small"), "text_encoder": str(folder / "minilm"), "image_size": 112}
    encoders = Encoders.load(TokensSettings(**asked, device="cpu", dtype="float32"))  # type: ignore[arg-type]
    texts = ["The lips part widely.", "The mouth opens far.", "Interest rates fell on Tuesday."]
    hidden, _, kept = encoders.texts.texts(texts)
    near, far = (torch.cosine_similarity(hidden[0][kept[0]][-1], hidden[k][kept[k]][-1], dim=0) for k in (1, 2))
    assert near > far + 0.2
    (made,) = encode_clips(encoders.images, [[jpeg(np.random.default_rng(0), side=224)]], 4, grid=8)
    assert not isinstance(made, Exception)
    assert made[0].shape == (1, 64, 384)
