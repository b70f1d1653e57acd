"""The tokens step: face crops and texts to CLIP tokens; every patch, every frame and every word is encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from grace.pipeline.checkpoints import knows_only, model_cache_key, model_name
from grace.pipeline.errors import ClipError, UserError
from grace.pipeline.execution.step import Step
from grace.pipeline.store import Row, Schema, failure, fallback, finite
from grace.pipeline.store.schemas import TOKENS
from grace.pipeline.tokens.batching import encode_clips, encode_texts
from grace.pipeline.tokens.compression import quantize_row, select_patches
from grace.pipeline.tokens.layout import SentenceTokens, VisualTokens, pack_text
from grace.pipeline.tokens.settings import TokensSettings

if TYPE_CHECKING:
    from grace.pipeline.settings import PipelineSettings
    from grace.pipeline.tokens.encoder import ClipEncoder


def tokens_step(settings: TokensSettings) -> TokensStep:
    """The step of these settings: with all patches, or with ``tokens.patches`` of them."""
    return TokensStep(settings) if settings.patches is None else SparseTokensStep(settings)


@dataclass
class TokensStep(Step):
    """A CLIP encodes the frames and the description (or the coarse caption) of each clip.

    Frames of neighbouring clips share batches, and threads decode and resize ahead of the model. While one shard is
    encoded, the next one is read and decoded and the last one written, so that the model never waits.
    """

    settings: TokensSettings
    encoder: ClipEncoder | None = field(default=None, init=False, repr=False)

    name: ClassVar[str] = "tokens"
    version: ClassVar[int] = 2
    schema: ClassVar[Schema] = TOKENS
    folder: ClassVar[str] = "tokens"
    prefetch_clips = 1
    reads: ClassVar[dict[str, tuple[str, ...]]] = {
        "faces": ("frames",),
        "descriptions": ("description", "caption", "label_visible"),
    }

    def cache_key(self) -> dict[str, Any]:
        """The model, its compute dtype as asked for, which text, and what is stored of the tokens."""
        asked = self.settings.model_dump(include={"dtype", "storage", "text", "text_length", "patches"})
        return {**asked, "model": model_cache_key(self.settings.model, self.settings.revision)}

    def knows_only(self) -> dict[str, str]:
        """The model, where its card says that it knows one kind of footage only."""
        known = knows_only(self.settings.model)
        return {model_name(self.settings.model): known} if known else {}

    def open(self) -> None:
        """Load the model. Raises :class:`UserError` when there is none, or none of CLIP's family."""
        if self.encoder is None:
            from grace.pipeline.tokens.encoder import ClipEncoder

            asked = self.settings
            self.encoder = ClipEncoder.load(asked.model, asked.revision, asked.dtype, asked.device)

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Encode all texts, then all frames; a clip's row follows once its last frame is encoded."""
        self.open()
        assert self.encoder is not None
        clips = encode_clips(self.encoder, [row["frames"] for row in rows], self.settings.batch)
        with self.encoder.lock:
            texts = encode_texts(self.encoder, [row[self.settings.text] for row in rows], self.settings.batch)
            for row, sentences, visual in zip(rows, texts, clips, strict=True):
                if isinstance(visual, ClipError):
                    yield failure(row["clip_id"], str(visual))
                else:
                    yield self._row(row, visual, sentences)

    def _row(self, row: Row, visual: VisualTokens, sentences: Sequence[SentenceTokens]) -> Row:
        text, dropped = pack_text(sentences, self.settings.text_length, visual[0].shape[-1])
        tokens = {"clip_id": row["clip_id"], "status": "ok", "error": "", **self.select(row, visual), **text}
        tokens["label_visible"] = row["label_visible"] and self.settings.text == "description"
        if not all(finite(tokens[name]) for name in ("visual", "frame", "text")):
            return failure(row["clip_id"], "the model gave NaN or infinite tokens: set tokens.dtype to float32")
        if self.settings.storage == "int8":
            tokens = quantize_row(tokens)
        if dropped:
            return fallback(tokens, f"text_dropped: {dropped} text tokens do not fit tokens.text_length")
        return tokens

    def select(self, row: Row, visual: VisualTokens) -> Row:
        """The visual columns of a clip: here, all patches."""
        return {"visual": visual[0], "frame": visual[1]}


@dataclass
class SparseTokensStep(TokensStep):
    """The same with ``tokens.patches`` patches per frame: this step also reads where the face moves."""

    reads: ClassVar[dict[str, tuple[str, ...]]] = {**TokensStep.reads, "motion": ("motion",)}

    def select(self, row: Row, visual: VisualTokens) -> Row:
        """The visual columns of a clip: the patches with most motion and saliency, and their indices in the grid."""
        patches, classes = visual
        count, side = self.settings.patches, round(patches.shape[1] ** 0.5)
        assert count is not None
        if count >= patches.shape[1]:
            raise UserError(
                f"tokens.patches is {count}, and the model has {patches.shape[1]} patches per frame: leave it out, or "
                "keep fewer."
            )
        kept, indices = select_patches(patches, classes, row["motion"], count)
        return {"visual": kept, "frame": classes, "patch_index": indices, "grid": np.array([side, side], np.int16)}


def from_settings(settings: PipelineSettings, dataset: str, root: str | None) -> TokensStep:
    """The step of these settings, for :func:`grace.pipeline.steps.make_step`."""
    return tokens_step(settings.tokens)
