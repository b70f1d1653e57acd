"""Fine descriptions: a language model rewrites coarse captions as a description and cues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from grace.pipeline.engines import Request, Response
from grace.pipeline.engines.retry import Answer
from grace.pipeline.execution.step import Step
from grace.pipeline.sentences import split_sentences
from grace.pipeline.store import Row, Schema, fallback
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.text.cues import SCHEMA, ParsedAnswer, drop_unsupported, read_answer
from grace.pipeline.text.engine_step import EngineStep
from grace.pipeline.text.json_objects import text_after_last
from grace.pipeline.text.overrides import Override, read_overrides
from grace.pipeline.text.prompts import Prompt, check_label_slot, quoted
from grace.pipeline.text.quality import refusing, rejection_reason
from grace.pipeline.text.settings import RefineSettings

if TYPE_CHECKING:
    from grace.pipeline.settings import PipelineSettings

SENTENCES = 5
"""The most that a description should have."""
WORDS = 55
"""The most that a sentence should have, so that it fits into the 77 tokens that CLIP reads: all of 6,304 real sentences
within this limit do (docs/audit.md). Should one not, ``tokens`` splits it and loses nothing."""
COARSE_KEPT = "the coarse caption is kept"
OVERRIDE = "override"
"""What stands for the engine in rows whose description a person wrote."""


def from_settings(settings: PipelineSettings, dataset: str = "", root: str | None = None) -> Step:
    """The step as the section ``refine`` describes it, with the corrections of ``dataset`` where one is named.

    Args:
        settings: All settings.
        dataset: The data set whose corrections are read and whose folder keeps the responses; empty for single clips.
        root: Not used: the step reads no raw files.

    Raises:
        UserError: There is no such prompt, or the corrections are not as :func:`read_overrides` reads them.
    """
    if not dataset:
        return refine_step(settings.refine)
    corrections = Path(settings.refine.overrides) / f"{dataset}.csv"
    folder = settings.folder(dataset)
    step = refine_step(settings.refine, read_overrides(corrections, folder))
    return step.keep_responses(folder / "responses" / "refine")


def refine_step(settings: RefineSettings, overrides: Mapping[str, Override] | None = None) -> RefineStep:
    """The step that ``refine.use_label`` asks for: labels reach only the one that is made to see them.

    ``overrides`` are corrections by ``clip_id`` that a person wrote.
    """
    return (LabelledRefineStep if settings.use_label else RefineStep)(settings, dict(overrides or {}))


@dataclass
class RefineStep(EngineStep[ParsedAnswer]):
    """A language model rewrites each clip's coarse captions. It sees these captions, and nothing else."""

    settings: RefineSettings
    overrides: dict[str, Override] = field(default_factory=dict)

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 5
    schema: ClassVar[Schema] = DESCRIPTIONS
    folder: ClassVar[str] = "descriptions"
    reads: ClassVar[dict[str, tuple[str, ...]]] = {"captions": ("caption", "samples")}
    answer_settings: ClassVar[frozenset[str]] = frozenset({"max_tokens", "max_attempts", "seed", "use_label"})
    label_visible: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for visible in (self.label_visible, self.settings.use_label):
            check_label_slot(self.prompt, visible)

    def extra_inputs(self, clip_ids: Sequence[str]) -> dict[str, str]:
        """The corrections of these clips: a new one redoes its shard and no other."""
        return {clip_id: self.overrides[clip_id].cache_key() for clip_id in clip_ids if clip_id in self.overrides}

    def can_recover(self, row: Row) -> bool:
        """A correction replaces a caption that could not be made; nothing replaces face crops."""
        return row["clip_id"] in self.overrides and row["error"].startswith("caption: ")

    def is_failure(self, row: Row) -> bool:
        """Also a row that has the coarse caption for want of an answer that could be used."""
        return super().is_failure(row) or str(row["error"]).startswith(f"{self.name}: {COARSE_KEPT}")

    def shard(self, rows: list[Row]) -> Iterable[Row]:
        """Corrections as they are; about every other clip the engine is asked."""
        yield from (self._corrected(row) for row in rows if row["clip_id"] in self.overrides)
        yield from super().shard([row for row in rows if row["clip_id"] not in self.overrides])

    def requests(self, row: Row) -> list[Request]:
        """What is asked about one clip: one description."""
        return [self.request(row)]

    def request(self, row: Row) -> Request:
        """The question for the description of one clip."""
        request = refine_request(_captions(row), self.prompt, row["label"] if self.label_visible else "")
        return replace(request, schema=SCHEMA, seed=self.settings.seed, max_tokens=self.settings.max_tokens)

    def validate(self, row: Row, response: Response) -> tuple[ParsedAnswer | None, str]:
        """What can be read from a response; one whose description is too long is kept if none is better."""
        try:
            parsed = _parse_supported(_captions(row), response)
        except ValueError as error:
            return None, str(error)
        return parsed, _length_problem(parsed.description)

    def make_row(self, row: Row, answers: list[Answer[ParsedAnswer]]) -> Row:
        """The description and its cues; the coarse caption where no answer could be read."""
        (answer,) = answers
        parsed = answer.content
        made = {
            **self.provenance(row, answer),
            "caption": "\n".join(_captions(row)),
            "description": parsed.description if parsed else row["caption"],
            "cues": [cue.model_dump() for cue in parsed.cues] if parsed else [],
            "label_visible": self.label_visible,
        }
        if parsed is None:
            return fallback(made, f"{COARSE_KEPT}: {answer.rejection}")
        remarks = [*parsed.dropped, *filter(None, [_length_problem(parsed.description)])]
        return fallback(made, "; ".join(remarks)) if remarks else made

    def _corrected(self, row: Row) -> Row:
        caption = "\n".join(filter(None, _captions(row)))
        made = {"clip_id": row["clip_id"], "caption": caption, "status": "ok", "error": ""}
        override = self.overrides[row["clip_id"]]
        made |= {"description": override.description, "cues": [cue.model_dump() for cue in override.cues or ()]}
        return made | {"engine": OVERRIDE, "label_visible": False}


class LabelledRefineStep(RefineStep):
    """The same with the true label in the prompt, as ``refine.use_label: true`` asks; its rows say so."""

    reads: ClassVar[dict[str, tuple[str, ...]]] = {"captions": ("caption", "samples"), "clips": ("label",)}
    label_visible: ClassVar[bool] = True


def _captions(row: Row) -> list[str]:
    """Every coarse caption of a clip, the likeliest first."""
    return [row["caption"], *row["samples"]]


def refine_request(captions: Sequence[str], prompt: Prompt, label: str = "") -> Request:
    """Ask for a fine description of a clip from its coarse captions, which are quoted as data.

    Args:
        captions: The captions, the likeliest first.
        prompt: A prompt, whose slot ``{captions}`` is filled with them.
        label: Fills the ``{label}`` of a prompt that has one; it stays out of any other.
    """
    text = prompt.fill(captions="\n".join(quoted(caption, "caption") for caption in captions), label=label)
    return Request(messages=({"role": "user", "content": [{"type": "text", "text": text}]},))


def _parse_supported(captions: Sequence[str], response: Response) -> ParsedAnswer:
    """What a response says of what the captions mention. Raises :class:`ValueError` when it cannot be used."""
    if response.finish_reason == "refusal" or refusing(response.text):
        raise ValueError("the model refuses")
    parsed = drop_unsupported("\n".join(captions), read_answer(response.text))
    cut = response.finish_reason == "length"
    if problem := rejection_reason(parsed.description, cut):
        raise ValueError(problem)
    if cut and not parsed.repaired and text_after_last(response.text, "description"):
        raise ValueError("the model went on after its answer until its tokens ended: raise refine.max_tokens")
    whole = parsed.description.endswith((".", "!", "?", "…", '"', "'", ")"))
    if parsed.repaired and not whole and not cut:
        raise ValueError("the answer breaks off within the description")
    if cut and parsed.repaired:
        if not whole:
            raise ValueError("the answer was cut short within the description: raise refine.max_tokens")
        return replace(parsed, dropped=(*parsed.dropped, "the cues were cut short: raise refine.max_tokens"))
    return parsed


def _length_problem(description: str) -> str:
    """What in a description is longer than it should be; empty when nothing is."""
    sentences = split_sentences(description)
    longest = max(len(sentence.split()) for sentence in sentences)
    if len(sentences) > SENTENCES:
        return f"the description has {len(sentences)} sentences, more than {SENTENCES}"
    return f"a sentence has {longest} words, more than {WORDS}" if longest > WORDS else ""
