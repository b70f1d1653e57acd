"""Fine descriptions: a language model turns coarse captions into emotion text and cues (design 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from pipeline.cues import FineText, Reading, keep_to, read_answer
from pipeline.engines import Engine, Request, Response, make_engine
from pipeline.engines.asking import Answer, ask, looping
from pipeline.errors import UserError
from pipeline.models import model_name
from pipeline.prompt import Prompt, quoted, read_prompt
from pipeline.settings import Refine
from pipeline.step import Step
from pipeline.store import Row, Schema, fallback
from pipeline.store.schemas import DESCRIPTIONS


def refine_step(settings: Refine) -> Step:
    """The step as ``refine.use_label`` wants it: only the one that is made to see labels can."""
    return LabelledRefineStep(settings) if settings.use_label else RefineStep(settings)


@dataclass
class RefineStep(Step):
    """A language model rewrites each clip's coarse caption. It sees that caption, and nothing else."""

    settings: Refine
    engine: Engine = field(init=False)
    prompt: Prompt = field(init=False)

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 1
    schema: ClassVar[Schema] = DESCRIPTIONS
    folder: ClassVar[str] = "descriptions"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"captions": ("caption",)}
    label_visible: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.engine = make_engine(self.settings)
        self.prompt = read_prompt(self.settings.prompt, needs=("captions",))
        if self.prompt.has("label") != self.label_visible or self.settings.use_label != self.label_visible:
            raise UserError(
                f"The prompt '{self.prompt.name}' and refine.use_label do not agree: a prompt with {{label}} "
                "(refine-label-v1) goes with use_label true, one without (refine-v1) with use_label false."
            )

    def identity(self) -> dict[str, Any]:
        """The model, the prompt, and what is asked of them."""
        asked = self.settings.model_dump(include={"max_tokens", "max_attempts", "seed", "use_label"})
        return {**asked, "engine": self.engine.identity(), "prompt": self.prompt.identity}

    def open(self) -> None:
        """Load the model."""
        self.engine.open()

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Ask for every clip at once; where no answer can be read after ``max_attempts``, keep the coarse text."""
        readings: dict[int, Reading] = {}

        def judge(number: int, response: Response) -> str:
            try:
                readings[number] = _read(rows[number]["caption"], response)
            except ValueError as error:
                return str(error)
            return ""

        requests = [self.request(row) for row in rows]
        for answer in ask(self.engine, requests, judge, self.settings.max_attempts):
            yield self._row(rows[answer.request], answer, readings.get(answer.request))

    def request(self, row: Row) -> Request:
        """What is asked about one clip."""
        request = refine_request([row["caption"]], self.prompt, row["label"] if self.label_visible else "")
        schema = FineText.model_json_schema()
        return replace(request, schema=schema, seed=self.settings.seed, max_tokens=self.settings.max_tokens)

    def _row(self, row: Row, answer: Answer, reading: Reading | None) -> Row:
        made = {
            "clip_id": row["clip_id"],
            "caption": row["caption"],
            "description": reading.description if reading else row["caption"],
            "cues": [cue.model_dump() for cue in reading.cues] if reading else [],
            "engine": self.settings.engine,
            "model": model_name(self.settings.model),
            "prompt": self.prompt.name,
            "label_visible": self.label_visible,
            "attempts": answer.attempts,
            "status": "ok",
            "error": "",
        }
        if reading is None:
            return fallback(made, f"the coarse caption is kept: {answer.refused}")
        return fallback(made, "; ".join(reading.dropped)) if reading.dropped else made


class LabelledRefineStep(RefineStep):
    """The same with the true label in the prompt, as ``refine.use_label: true`` asks; its rows say so."""

    reads: ClassVar[dict[str, tuple[str, ...]]] = {"captions": ("caption",), "clips": ("label",)}
    label_visible: ClassVar[bool] = True


def refine_request(captions: Sequence[str], prompt: Prompt, label: str = "") -> Request:
    """Ask for a fine description of a clip from its coarse captions, which are quoted as data.

    ``label`` fills the ``{label}`` of a prompt that has one; it stays out of any other.
    """
    text = prompt.fill(captions="\n".join(quoted(caption, "caption") for caption in captions), label=label)
    return Request(messages=({"role": "user", "content": [{"type": "text", "text": text}]},))


def _read(caption: str, response: Response) -> Reading:
    """What an answer says, kept to what the caption mentions. Raises :class:`ValueError` when it will not do."""
    reading = keep_to(caption, read_answer(response.text))
    if looping(reading.description):
        raise ValueError("the model repeats itself")
    if response.finish_reason == "length":
        if not reading.description.endswith((".", "!", "?")):
            raise ValueError("the answer was cut short within the description: raise refine.max_tokens")
        return replace(reading, dropped=(*reading.dropped, "the cues were cut short: raise refine.max_tokens"))
    return reading
