"""Coarse captions: a vision-language model describes what the face does, in time order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from grace.pipeline.engines import Request, Response
from grace.pipeline.engines.base import Image
from grace.pipeline.engines.retry import RETRY_TEMPERATURE, Answer
from grace.pipeline.errors import ClipError
from grace.pipeline.execution.step import ClipStep, Step
from grace.pipeline.media.images import decode_crop
from grace.pipeline.sentences import collapse_whitespace
from grace.pipeline.store import Row, Schema, failure, fallback
from grace.pipeline.store.schemas import CAPTIONS
from grace.pipeline.text.answers import plain_text
from grace.pipeline.text.engine_step import EngineStep
from grace.pipeline.text.prompts import Prompt
from grace.pipeline.text.quality import rejection_reason
from grace.pipeline.text.settings import CaptionSettings

if TYPE_CHECKING:
    from grace.pipeline.settings import PipelineSettings


def from_settings(settings: PipelineSettings, dataset: str = "", root: str | None = None) -> Step:
    """The step as the section ``caption`` describes it, the same for every data set.

    Args:
        settings: All settings.
        dataset: The data set whose folder keeps the responses; none are kept without it.
        root: Not used: the step reads no raw files.

    Raises:
        UserError: There is no such prompt.
    """
    step = caption_step(settings.caption)
    if dataset and isinstance(step, EngineStep):
        step.keep_responses(settings.folder(dataset) / "responses" / "caption")
    return step


def caption_step(settings: CaptionSettings) -> Step:
    """The step that ``caption.engine`` asks for: a model that looks, or the text that the data set ships."""
    return AnnotationStep() if settings.engine == "annotation" else CaptionStep(settings)


@dataclass
class CaptionStep(EngineStep[str]):
    """A vision-language model looks at some instants of each clip. It sees pixels and times, and nothing else."""

    settings: CaptionSettings

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 5
    schema: ClassVar[Schema] = CAPTIONS
    folder: ClassVar[str] = "captions"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"faces": ("frames", "times", "found")}
    answer_settings: ClassVar[frozenset[str]] = frozenset({"images", "samples", "max_tokens", "max_attempts", "seed"})

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
        with_face = instants_with_face(row["found"])
        instants = [with_face[place] for place in pick_instants(len(with_face), self.settings.images)]
        images = [decode_crop(row["frames"][instant]) for instant in instants]
        request = coarse_request(images, [float(row["times"][instant]) for instant in instants], self.prompt)
        return replace(request, seed=self.settings.seed, max_tokens=self.settings.max_tokens)

    def validate(self, row: Row, response: Response) -> tuple[str | None, str]:
        """The text; rejected, and never kept, when the model refuses or :func:`rejection_reason` finds a fault."""
        refused = response.finish_reason == "refusal"
        cut = response.finish_reason == "length"
        rejection = "the model refuses" if refused else rejection_reason(response.text, cut)
        return None if rejection else response.text, rejection

    def make_row(self, row: Row, answers: list[Answer[str]]) -> Row:
        """The likeliest caption, and beside it the drawn ones that were accepted."""
        first, *drawn = answers
        if first.rejection:
            return failure(row["clip_id"], first.rejection)
        response = first.response
        made = {
            **self.provenance(row, first),
            "caption": first.content,
            "samples": [answer.content for answer in drawn if not answer.rejection],
            "n_images": min(len(instants_with_face(row["found"])), self.settings.images),
            "tokens_in": response.tokens_in,
            "tokens_out": response.tokens_out,
            "finish_reason": response.finish_reason,
        }
        if not any(row["found"]):
            return fallback(made, "no face was found in any picture: the caption may describe something else")
        if response.finish_reason == "length":
            return fallback(made, f"cut short at {self.settings.max_tokens} tokens: raise caption.max_tokens")
        return made


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
        """The human texts, separated by ``||``, on one line each. Raises :class:`ClipError` when the set ships none."""
        written = [collapse_whitespace(plain_text(part)) for part in row["caption_human"].split("||")]
        texts = [text for text in written if text]
        caption, *others = texts or [""]
        if not caption:
            raise ClipError("the data set ships no text for this clip: caption it with engine transformers")
        made = {
            "caption": caption,
            "samples": others,
            "engine": "annotation",
            "model": "",
            "prompt": "",
            "finish_reason": "stop",
        }
        counts = {"n_images": 0, "tokens_in": 0, "tokens_out": 0, "attempts": 0}
        return {"clip_id": row["clip_id"], **made, **counts, "status": "ok", "error": ""}


def coarse_request(images: Sequence[Image], times: Sequence[float], prompt: Prompt) -> Request:
    """Ask for a coarse caption: the pictures, then the prompt with their times in seconds.

    Args:
        images: RGB pictures [height, width, 3], in time order.
        times: The time of each, seconds; written with one digit.
        prompt: A prompt, whose slots ``{images}`` and ``{times}`` are filled with the number of pictures and the times.

    Example:
        >>> import numpy as np
        >>> prompt = Prompt("mine", "What moves at {times} s?")
        >>> coarse_request([np.zeros((8, 8, 3), np.uint8)], [0.52], prompt).messages[0]["content"]
        [{'type': 'image'}, {'type': 'text', 'text': 'What moves at 0.5 s?'}]
    """
    text = prompt.fill(images=str(len(images)), times=", ".join(f"{time:.1f}" for time in times))
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": text}]
    return Request(messages=({"role": "user", "content": content},), images=tuple(images))


def instants_with_face(found: Sequence[bool]) -> list[int]:
    """The instants at which a face was found: others are never passed off as a face. All, where it never was.

    Example:
        >>> instants_with_face([False, True, True]), instants_with_face([False, False])
        ([1, 2], [0, 1])
    """
    return [instant for instant, there in enumerate(found) if there] or list(range(len(found)))


def pick_instants(count: int, wanted: int) -> list[int]:
    """``wanted`` of ``count`` instants, the centres of equal segments; all of them when there are no more.

    Example:
        >>> pick_instants(16, 4)
        [2, 6, 10, 14]
    """
    if wanted >= count:
        return list(range(count))
    return [int((segment + 0.5) * count / wanted) for segment in range(wanted)]
