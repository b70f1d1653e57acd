"""The registry of steps. Adding one is its own module and a line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grace.pipeline.execution.step import Step
    from grace.pipeline.settings import PipelineSettings

STEPS: dict[str, str] = {
    "faces": "grace.pipeline.faces.step",
    "caption": "grace.pipeline.text.caption",
    "refine": "grace.pipeline.text.refine",
    "motion": "grace.pipeline.motion.step",
    "tokens": "grace.pipeline.tokens.step",
}
"""Stage to the module whose ``from_settings`` makes its step, in an order in which each stage finds its inputs. Its
settings are the section of the same name."""


def make_step(stage: str, settings: PipelineSettings, dataset: str = "", root: str | None = None) -> Step:
    """The step of a stage. Models are named here and loaded when the step opens.

    Args:
        stage: A key of :data:`STEPS`.
        settings: Its section says what the step does.
        dataset: The data set it is for, whose root and corrections it uses; none for single clips.
        root: The folder of the raw files, where it is not ``roots.<dataset>``.

    Raises:
        UserError: The settings name a model, a prompt or a folder that is not there.

    Example:
        >>> from grace import load_settings
        >>> make_step("motion", load_settings(None)).name
        'motion'
    """
    step: Step = import_module(STEPS[stage]).from_settings(settings, dataset, root)
    return step


def step_sections(settings: PipelineSettings) -> dict[str, Any]:
    """The sections of all steps, plain: what a run keeps, to treat videos as its own clips were treated.

    Servers are left out. Their addresses may hold a key, and whoever gets the run sends its pictures nowhere that they
    have not named.

    Example:
        >>> from grace import load_settings
        >>> sorted(step_sections(load_settings(None))) == sorted(STEPS)
        True
    """
    sections = settings.model_dump(mode="json", include=set(STEPS))
    return {
        name: {key: value for key, value in section.items() if key != "server"} for name, section in sections.items()
    }


def contradictions(settings: PipelineSettings, others: PipelineSettings) -> list[str]:
    """The stages that would give other results with ``others`` than with ``settings``."""
    return [stage for stage in STEPS if not same_result(stage, settings, others)]


def same_result(stage: str, settings: PipelineSettings, others: PipelineSettings) -> bool:
    """Whether a stage gives the same result with ``others`` as with ``settings``.

    Args:
        stage: A key of :data:`STEPS`.
        settings: All settings.
        others: Those to compare with them.

    Raises:
        UserError: The settings name a model, a prompt or a folder that is not there.

    Example:
        >>> from grace import load_settings
        >>> finer = load_settings(None, ["motion.grid=28"])
        >>> [same_result(stage, load_settings(None), finer) for stage in ("faces", "motion")]
        [True, False]
    """
    mine, theirs = (make_step(stage, each, root=".") for each in (settings, others))
    return mine.cache_key() == theirs.cache_key()
