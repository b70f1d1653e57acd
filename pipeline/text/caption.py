"""Coarse captions: what the face does, in time order, told by a vision-language model (design 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from grace.pipeline.checkpoints import model_name
from grace.pipeline.engines import Engine, Request, Response, make_engine, prefetch_clips
from grace.pipeline.engines.base import Image
from grace.pipeline.engines.retry import RETRY_TEMPERATURE, Answer, generate_with_retries
from grace.pipeline.errors import ClipError
from grace.pipeline.execution.step import ClipStep, Step
from grace.pipeline.media.images import decode_crop
from grace.pipeline.store import Row, Schema, failure, fallback
from grace.pipeline.store.schemas import CAPTIONS
from grace.pipeline.text.prompts import Prompt, read_prompt
from grace.pipeline.text.quality import rejection_reason
from grace.pipeline.text.settings import CaptionSettings

if TYPE_CHECKING:
    from grace.pipeline.settings import PipelineSettings


def caption_step(settings: CaptionSettings) -> Step:
    """The step that ``caption.engine`` asks for: a model that looks, or the text that the data set ships."""
    return AnnotationStep() if settings.engine == "annotation" else CaptionStep(settings)


@dataclass
class CaptionStep(Step):
    """A vision-language model looks at some instants of each clip. It sees pixels and times, and nothing else."""

    settings: CaptionSettings
    engine: Engine = field(init=False)
    prompt: Prompt = field(init=False)

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 2
    schema: ClassVar[Schema] = CAPTIONS
    folder: ClassVar[str] = "captions"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"faces": ("frames", "times")}

    def __post_init__(self) -> None:
        self.engine = make_engine(self.settings)
        self.prompt = read_prompt(self.settings.prompt, needs=("times",))
        self.prefetch_clips = prefetch_clips(self.settings)

    def cache_key(self) -> dict[str, Any]:
        """The model, the prompt, and what is asked of them."""
        asked = self.settings.model_dump(include={"images", "samples", "max_tokens", "max_attempts", "seed"})
        return {**asked, "engine": self.engine.cache_key(), "prompt": self.prompt.cache_key}

    def open(self) -> None:
        """Load the model."""
        self.engine.open()

    def close(self) -> None:
        """Give the model's memory back."""
        self.engine.close()

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Ask for every clip at once, so that batches are full; ask again where nothing useful came."""
        asked: list[tuple[Row, Request]] = []
        for row in rows:
            try:
                asked += [(row, request) for request in self.requests(row)]
            except ClipError as error:
                yield failure(row["clip_id"], str(error))
        answers: dict[str, list[Answer]] = {}
        for answer in generate_with_retries(
            self.engine, [request for _, request in asked], _validate, self.settings.max_attempts
        ):
            row, request = asked[answer.request]
            answered = answers.setdefault(row["clip_id"], [])
            answered.append(answer)
            if len(answered) == self.settings.samples:
                first, *others = sorted(answers.pop(row["clip_id"]), key=lambda each: each.request)
                yield self._row(row["clip_id"], request, first, others)

    def requests(self, row: Row) -> list[Request]:
        """What is asked about one clip: the likeliest caption and, with ``samples`` above 1, drawn ones.

        Raises :class:`ClipError` when its crops cannot be read.
        """
        first = self.request(row)
        drawn = [
            replace(first, temperature=RETRY_TEMPERATURE, seed=first.seed + number * self.settings.max_attempts)
            for number in range(1, self.settings.samples)
        ]
        return [first, *drawn]

    def request(self, row: Row) -> Request:
        """The question for the likeliest caption. Raises :class:`ClipError` when its crops cannot be read."""
        places = pick_instants(len(row["frames"]), self.settings.images)
        images = [decode_crop(row["frames"][place]) for place in places]
        request = coarse_request(images, [float(row["times"][place]) for place in places], self.prompt)
        return replace(request, seed=self.settings.seed, max_tokens=self.settings.max_tokens)

    def _row(self, clip_id: str, request: Request, answer: Answer, others: list[Answer]) -> Row:
        if answer.rejection:
            return failure(clip_id, answer.rejection)
        response = answer.response
        row = {
            "clip_id": clip_id,
            "caption": response.text,
            "others": [other.response.text for other in others if not other.rejection],
            "engine": self.settings.engine,
            "model": model_name(self.settings.model),
            "prompt": self.prompt.name,
            "n_images": len(request.images),
            "tokens_in": response.tokens_in,
            "tokens_out": response.tokens_out,
            "finish_reason": response.finish_reason,
            "attempts": answer.attempts,
            "status": "ok",
            "error": "",
        }
        if response.finish_reason == "length":
            return fallback(row, f"cut short at {request.max_tokens} tokens: raise caption.max_tokens")
        return row


class AnnotationStep(ClipStep):
    """No model: the captions are the human texts that the data set ships."""

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 2
    schema: ClassVar[Schema] = CAPTIONS
    folder: ClassVar[str] = "captions"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"clips": ("caption_human",)}

    def cache_key(self) -> dict[str, Any]:
        """Who wrote the text; the text itself is among the inputs."""
        return {"engine": "annotation"}

    def clip(self, row: Row) -> Row:
        """The human texts, parted by ``||``, blanks tidied. Raises :class:`ClipError` when the set ships none."""
        caption, *others = [" ".join(part.split()) for part in row["caption_human"].split("||") if part.strip()] or [""]
        if not caption:
            raise ClipError("the data set ships no text for this clip: caption it with engine transformers")
        made = {
            "caption": caption,
            "others": others,
            "engine": "annotation",
            "model": "",
            "prompt": "",
            "finish_reason": "stop",
        }
        counts = {"n_images": 0, "tokens_in": 0, "tokens_out": 0, "attempts": 0}
        return {"clip_id": row["clip_id"], **made, **counts, "status": "ok", "error": ""}


def coarse_request(images: Sequence[Image], times: Sequence[float], prompt: Prompt) -> Request:
    """Ask for a coarse caption: the pictures, then the prompt with their times in seconds."""
    text = prompt.fill(images=str(len(images)), times=", ".join(f"{time:.1f}" for time in times))
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": text}]
    return Request(messages=({"role": "user", "content": content},), images=tuple(images))


def pick_instants(count: int, wanted: int) -> list[int]:
    """``wanted`` of ``count`` instants, the centres of equal segments; all of them when there are no more."""
    if wanted >= count:
        return list(range(count))
    return [int((place + 0.5) * count / wanted) for place in range(wanted)]


def _validate(_: int, response: Response) -> str:
    return "the model refuses" if response.finish_reason == "refusal" else rejection_reason(response.text)


def from_settings(settings: PipelineSettings, dataset: str, root: str | None) -> Step:
    """The step of these settings, for :func:`grace.pipeline.steps.make_step`."""
    return caption_step(settings.caption)
