"""The tokens step: face crops and texts to tokens; every patch, every frame and every word is encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from grace.pipeline.checkpoints import knows_only, model_name
from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.execution.step import Step
from grace.pipeline.store import Row, Schema, failure, fallback, finite
from grace.pipeline.store.schemas import TOKENS
from grace.pipeline.tokens.batching import encode_clips, encode_texts
from grace.pipeline.tokens.compression import TOKEN_NAMES, quantize_row, select_patches
from grace.pipeline.tokens.layout import SentenceTokens, VisualTokens, pack_text
from grace.pipeline.tokens.model_keys import model_cache_keys
from grace.pipeline.tokens.settings import TokensSettings
from grace.pipeline.tokens.texts import texts_of

if TYPE_CHECKING:
    from grace.pipeline.settings import PipelineSettings
    from grace.pipeline.tokens.encoders import Encoders

MODEL_SETTINGS = ("model", "revision", "vision", "vision_revision", "text_encoder", "text_encoder_revision")
"""Settings that name models, of which the cache key holds the content."""


def tokens_step(settings: TokensSettings) -> TokensStep:
    """The step of these settings: with all patches, or with ``tokens.patches`` of them."""
    return TokensStep(settings) if settings.patches is None else SparseTokensStep(settings)


@dataclass
class TokensStep(Step):
    """Two encoders, or the two sides of one, take the frames and the texts of each clip.

    Frames of neighbouring clips share batches, and threads decode and resize ahead of the model. While one shard is
    encoded, the next one is read and decoded and the last one written, so that the model never waits.
    """

    settings: TokensSettings
    encoders: Encoders | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "tokens"
    version: ClassVar[int] = 3
    schema: ClassVar[Schema] = TOKENS
    folder: ClassVar[str] = "tokens"
    prefetch_clips = 1
    reads: ClassVar[dict[str, tuple[str, ...]]] = {
        "faces": ("frames",),
        "descriptions": ("description", "caption", "cues", "label_visible"),
    }

    def cache_key(self) -> dict[str, Any]:
        """The models, their compute dtype as asked for, which texts, and what is stored of the tokens."""
        asked = self.settings.model_dump(exclude={*MODEL_SETTINGS, "batch", "device", "class_prompts"})
        if self.settings.text_encoder is None:
            del asked["text_pooling"]
        return {**asked, **model_cache_keys(self.settings)}

    def knows_only(self) -> dict[str, str]:
        """The models whose cards say that they know one kind of footage only."""
        names = {self.settings.vision_model[0], self.settings.text_model[0]}
        return {model_name(name): known for name in sorted(names) if (known := knows_only(name))}

    def open(self) -> None:
        """Load the models. Raises :class:`UserError` when there is none, or none of its kind."""
        if self.encoders is None:
            from grace.pipeline.tokens.encoders import Encoders

            self.encoders = Encoders.load(self.settings)

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Encode all texts, then all frames; a clip's row follows once its last frame is encoded."""
        self.open()
        assert self.encoders is not None
        views = [self._visual(rows, view == "mirrored") for view in ("", *self.settings.views)]
        with self.encoders.lock:
            texts = self._texts(rows)
            for row, of_clip, *seen in zip(rows, texts, *views, strict=True):
                if broken := [view for view in seen if isinstance(view, ClipError)]:
                    yield failure(row["clip_id"], str(broken[0]))
                else:
                    yield self._row(row, [view for view in seen if not isinstance(view, ClipError)], of_clip)

    def _visual(self, rows: list[Row], mirrored: bool) -> Iterator[VisualTokens | ClipError]:
        assert self.encoders is not None
        asked, crops = self.settings, [row["frames"] for row in rows]
        return encode_clips(self.encoders.images, crops, asked.batch, grid=asked.grid, mirrored=mirrored)

    def _texts(self, rows: list[Row]) -> list[list[list[SentenceTokens]]]:
        """The sentences of each text of each clip."""
        assert self.encoders is not None
        asked = [texts_of(row, self.settings) for row in rows]
        encoded = encode_texts(self.encoders.texts, [text for texts in asked for text in texts], self.settings.batch)
        if self.settings.text_unit == "cue":  # of a clause, the token that stands for all of it
            encoded = [[(tokens[-1:], ids[-1:]) for tokens, ids in text] for text in encoded]
        following = iter(encoded)
        return [[next(following) for _ in texts] for texts in asked]

    def _row(self, row: Row, views: Sequence[VisualTokens], texts: Sequence[Sequence[SentenceTokens]]) -> Row:
        packed, dropped = self._pack(texts)
        tokens = {"clip_id": row["clip_id"], "status": "ok", "error": "", **self.select(row, views[0]), **packed}
        if len(views) > 1:
            mirrored = self.select(row, views[1], mirrored=True)
            tokens |= {f"mirrored_{name}": value for name, value in mirrored.items() if name != "grid"}
        tokens["label_visible"] = row["label_visible"] and self.settings.text == "description"
        if not all(finite(tokens[name]) for name in TOKEN_NAMES if name in tokens):
            return failure(row["clip_id"], "the model gave NaN or infinite tokens: set tokens.dtype to float32")
        if self.settings.storage == "int8":
            tokens = quantize_row(tokens)
        if dropped:
            return fallback(tokens, f"text_dropped: {dropped} text tokens do not fit tokens.text_length")
        return tokens

    def _pack(self, texts: Sequence[Sequence[SentenceTokens]]) -> tuple[Row, int]:
        """The text columns of a clip, and how many tokens of its texts did not fit."""
        assert self.encoders is not None
        asked = self.settings
        empty: list[Sequence[SentenceTokens]] = [[]] * (asked.texts - len(texts))
        packed = [pack_text(text, asked.text_length, self.encoders.texts.text_width) for text in [*texts, *empty]]
        (first, _), *others = packed
        row = dict(first)
        if others:
            for name in ("text", "text_mask", "sentence"):
                row[f"other_{name}"] = np.stack([columns[name] for columns, _ in others])
        return row, sum(dropped for _, dropped in packed)

    def select(self, row: Row, visual: VisualTokens, mirrored: bool = False) -> Row:
        """The visual columns of a clip: here, all patches.

        Args:
            row: The clip's inputs.
            visual: Its patch tokens [T, P, D] and class tokens [T, D].
            mirrored: Whether the tokens are of the mirrored crops.

        Returns:
            Arrays by column.
        """
        return {"visual": visual[0], "frame": visual[1]}


@dataclass
class SparseTokensStep(TokensStep):
    """The same with ``tokens.patches`` patches per frame: this step also reads where the face moves."""

    reads: ClassVar[dict[str, tuple[str, ...]]] = {**TokensStep.reads, "motion": ("motion",)}

    def select(self, row: Row, visual: VisualTokens, mirrored: bool = False) -> Row:
        """The visual columns of a clip: the patches with most motion and saliency, and their indices in the grid."""
        patches, classes = visual
        count, side = self.settings.patches, round(patches.shape[1] ** 0.5)
        assert count is not None
        if count >= patches.shape[1]:
            raise UserError(
                f"tokens.patches is {count}, and the model has {patches.shape[1]} patches per frame: leave it out, or "
                "keep fewer."
            )
        motion = row["motion"][:, :, ::-1] if mirrored else row["motion"]
        kept, indices = select_patches(patches, classes, motion, count)
        return {"visual": kept, "frame": classes, "patch_index": indices, "grid": np.array([side, side], np.int16)}


def from_settings(settings: PipelineSettings, dataset: str, root: str | None) -> TokensStep:
    """The step of these settings, for :func:`grace.pipeline.steps.make_step`.

    Args:
        settings: All settings, of which the section ``tokens`` says what the step does.
        dataset: Not used: the step is the same for every data set.
        root: Not used: the step reads no raw files.
    """
    return tokens_step(settings.tokens)
