"""Fine descriptions: a language model turns coarse captions into emotion text and cues (design 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from grace.pipeline.checkpoints import model_name
from grace.pipeline.engines import Engine, Request, Response, make_engine, prefetch_clips
from grace.pipeline.engines.retry import Answer, generate_with_retries
from grace.pipeline.errors import UserError
from grace.pipeline.execution.step import Step
from grace.pipeline.sentences import split_sentences
from grace.pipeline.store import Row, Schema, fallback
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.text.cues import SCHEMA, ParsedAnswer, drop_unsupported, read_answer
from grace.pipeline.text.overrides import read_overrides
from grace.pipeline.text.prompts import Prompt, quoted, read_prompt
from grace.pipeline.text.quality import refusing, rejection_reason
from grace.pipeline.text.settings import RefineSettings

if TYPE_CHECKING:
    from grace.pipeline.settings import PipelineSettings

SENTENCES = 5
"""The most that a description is asked to have."""
WORDS = 55
"""The most of a sentence, so that it fits into the 77 tokens that CLIP reads: of 6,304 real ones within it all do
(docs/audit.md). Should one not, ``tokens`` parts it and loses nothing."""
OVERRIDE = "override"
"""What stands for the engine in rows whose description a person wrote."""


def refine_step(settings: RefineSettings, overrides: Mapping[str, str] | None = None) -> Step:
    """The step as ``refine.use_label`` wants it: only the one that is made to see labels can.

    ``overrides`` are descriptions by ``clip_id`` that a person wrote.
    """
    return (LabelledRefineStep if settings.use_label else RefineStep)(settings, dict(overrides or {}))


@dataclass
class RefineStep(Step):
    """A language model rewrites each clip's coarse captions. It sees these captions, and nothing else."""

    settings: RefineSettings
    overrides: dict[str, str] = field(default_factory=dict)
    engine: Engine = field(init=False)
    prompt: Prompt = field(init=False)

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 2
    schema: ClassVar[Schema] = DESCRIPTIONS
    folder: ClassVar[str] = "descriptions"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"captions": ("caption", "others")}
    label_visible: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.engine = make_engine(self.settings)
        self.prompt = read_prompt(self.settings.prompt, needs=("captions",))
        self.prefetch_clips = prefetch_clips(self.settings)
        if self.prompt.has("label") != self.label_visible or self.settings.use_label != self.label_visible:
            raise UserError(
                f"The prompt '{self.prompt.name}' and refine.use_label do not agree: a prompt with {{label}} "
                "(refine-label-v1) goes with use_label true, one without (refine-v1) with use_label false."
            )

    def cache_key(self) -> dict[str, Any]:
        """The model, the prompt, and what is asked of them."""
        asked = self.settings.model_dump(include={"max_tokens", "max_attempts", "seed", "use_label"})
        return {**asked, "engine": self.engine.cache_key(), "prompt": self.prompt.cache_key}

    def extra_inputs(self, clip_ids: Sequence[str]) -> dict[str, str]:
        """The corrections of these clips: a new one redoes its shard and no other."""
        return {clip_id: self.overrides[clip_id] for clip_id in clip_ids if clip_id in self.overrides}

    def can_recover(self, row: Row) -> bool:
        """A correction stands in for a caption that could not be had; for face crops nothing does."""
        return row["clip_id"] in self.overrides and row["error"].startswith("caption: ")

    def open(self) -> None:
        """Load the model."""
        self.engine.open()

    def close(self) -> None:
        """Give the model's memory back."""
        self.engine.close()

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Ask for every clip at once; where no answer can be read after ``max_attempts``, keep the coarse text."""
        yield from (self._corrected(row) for row in rows if row["clip_id"] in self.overrides)
        rows = [row for row in rows if row["clip_id"] not in self.overrides]
        readings: dict[int, ParsedAnswer] = {}

        def validate(number: int, response: Response) -> str:
            try:
                readings[number] = _read(_all(rows[number]), response)
            except ValueError as error:
                return str(error)
            return _length_problem(readings[number].description)  # asked for again; if none is better, it is kept

        requests = [self.request(row) for row in rows]
        for answer in generate_with_retries(self.engine, requests, validate, self.settings.max_attempts):
            yield self._row(rows[answer.request], answer, readings.get(answer.request))

    def request(self, row: Row) -> Request:
        """What is asked about one clip."""
        request = refine_request(_all(row), self.prompt, row["label"] if self.label_visible else "")
        return replace(request, schema=SCHEMA, seed=self.settings.seed, max_tokens=self.settings.max_tokens)

    def _row(self, row: Row, answer: Answer, reading: ParsedAnswer | None) -> Row:
        made = {
            "clip_id": row["clip_id"],
            "caption": "\n".join(_all(row)),
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
            return fallback(made, f"the coarse caption is kept: {answer.rejection}")
        remarks = [*reading.dropped, *filter(None, [_length_problem(reading.description)])]
        return fallback(made, "; ".join(remarks)) if remarks else made

    def _corrected(self, row: Row) -> Row:
        caption = "\n".join(filter(None, _all(row)))
        made = {"clip_id": row["clip_id"], "caption": caption, "status": "ok", "error": ""}
        return made | {"description": self.overrides[row["clip_id"]], "engine": OVERRIDE, "label_visible": False}


class LabelledRefineStep(RefineStep):
    """The same with the true label in the prompt, as ``refine.use_label: true`` asks; its rows say so."""

    reads: ClassVar[dict[str, tuple[str, ...]]] = {"captions": ("caption", "others"), "clips": ("label",)}
    label_visible: ClassVar[bool] = True


def _all(row: Row) -> list[str]:
    """Every coarse caption of a clip, the likeliest first."""
    return [row["caption"], *row["others"]]


def refine_request(captions: Sequence[str], prompt: Prompt, label: str = "") -> Request:
    """Ask for a fine description of a clip from its coarse captions, which are quoted as data.

    ``label`` fills the ``{label}`` of a prompt that has one; it stays out of any other.
    """
    text = prompt.fill(captions="\n".join(quoted(caption, "caption") for caption in captions), label=label)
    return Request(messages=({"role": "user", "content": [{"type": "text", "text": text}]},))


def _read(captions: Sequence[str], response: Response) -> ParsedAnswer:
    """What an answer says, kept to what the captions mention. Raises :class:`ValueError` when it will not do."""
    if response.finish_reason == "refusal" or refusing(response.text):
        raise ValueError("the model refuses")
    reading = drop_unsupported("\n".join(captions), read_answer(response.text))
    if problem := rejection_reason(reading.description):
        raise ValueError(problem)
    whole = reading.description.endswith((".", "!", "?", "…", '"', "'", ")"))
    if reading.repaired and not whole and response.finish_reason != "length":
        raise ValueError("the answer breaks off within the description")
    if response.finish_reason == "length":
        if not whole:
            raise ValueError("the answer was cut short within the description: raise refine.max_tokens")
        return replace(reading, dropped=(*reading.dropped, "the cues were cut short: raise refine.max_tokens"))
    return reading


def _length_problem(description: str) -> str:
    """What of a description is longer than asked for; empty when nothing is."""
    sentences = split_sentences(description)
    longest = max(len(sentence.split()) for sentence in sentences)
    if len(sentences) > SENTENCES:
        return f"the description has {len(sentences)} sentences, more than {SENTENCES}"
    return f"a sentence has {longest} words, more than {WORDS}" if longest > WORDS else ""


def from_settings(settings: PipelineSettings, dataset: str, root: str | None) -> Step:
    """The step of these settings, for :func:`grace.pipeline.steps.make_step`."""
    corrections = Path(settings.refine.overrides) / f"{dataset}.csv"
    return refine_step(settings.refine, read_overrides(corrections, settings.folder(dataset)) if dataset else {})
