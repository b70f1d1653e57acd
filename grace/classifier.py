"""A trained run and the pipeline that made its tokens, together: a clip in, an emotion out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from grace.pipeline.arguments import as_list, check_at_least, clip_paths
from grace.pipeline.errors import UserError
from grace.pipeline.settings import PipelineSettings, apply_overrides, validate
from grace.pipeline.single_clip import ClipPipeline, ClipResult
from grace.pipeline.steps import STEPS, contradictions
from grace.predictions import Prediction, PredictionOverTime
from grace.run_steps import check_steps
from grace.trainer.classifier import TokenClassifier
from grace.trainer.runs import read_config, texts_of_known_clips


class GraceClassifier:
    """A trained run that takes clips. Its steps have the settings that made the run's tokens.

    Example:
        >>> import grace
        >>> classifier = grace.GraceClassifier.from_pretrained("data/demo/runs/grace/fold-1")
        >>> prediction = classifier.predict("raw/demo/clips/00003.mp4", text=False)  # True writes and reads a text
        >>> prediction.label
        'happiness'
        >>> prediction.to_pandas().columns.tolist()
        ['label', 'probability']
    """

    def __init__(self, classifier: TokenClassifier, settings: PipelineSettings) -> None:
        self.classifier = classifier
        self.settings = settings

    @classmethod
    def from_pretrained(cls, run: str | Path, device: str = "cpu", overrides: Sequence[str] = ()) -> Self:
        """Open a finished run, such as ``data/demo/runs/grace/fold-1``.

        Args:
            run: The folder that ``grace train`` wrote.
            device: Where the classifier computes: ``cpu``, ``cuda`` or ``auto``.
            overrides: ``section.key=value`` each, for what changes no result, such as ``caption.device=cuda``.

        Returns:
            The classifier. The models of the steps are opened with the first clip.

        Raises:
            UserError: A file is missing or damaged, the run does not say which settings made its tokens, an override
                contradicts them, or a model is not the one that they were made with.
        """
        source = Path(run) / "config.yaml"
        config = read_config(Path(run))
        if (content := config.pipeline) is None:
            raise UserError(
                f"{source} does not say which settings made the run's tokens: run `grace train` again, or name another "
                "run."
            )
        settings, overrides = validate(PipelineSettings, content, str(source)), as_list(overrides)
        changed = apply_overrides(settings, overrides)
        if stages := contradictions(settings, changed):
            raise UserError(
                f"The run {run} was trained on what {', '.join(stages)} made with other settings than "
                f"{' '.join(f'-S {override}' for override in overrides)} asks for: leave that out, or train a "
                "run with it."
            )
        check_steps(Path(run), config, changed)
        return cls(TokenClassifier.from_pretrained(run, device), changed)

    @property
    def method(self) -> str:
        """The run's method, such as ``grace``."""
        return self.classifier.run.settings.method

    @property
    def labels(self) -> list[str]:
        """The classes, in the order of the probabilities."""
        return self.classifier.labels

    @cached_property
    def pipeline(self) -> ClipPipeline:
        """The steps, with the settings of the run; their models open with the first video."""
        return ClipPipeline(self.settings)

    @cached_property
    def silent_pipeline(self) -> ClipPipeline:
        """The same without the steps that write a text."""
        return ClipPipeline(self.settings, [stage for stage in STEPS if stage not in ("caption", "refine")])

    def predict(self, clip: str | Path, text: bool = True) -> Prediction:
        """Probabilities of the classes for one clip.

        Args:
            clip: A video file, or a folder of frames.
            text: False writes and reads no text: the heads that read one are silent, and there is no plan.

        Returns:
            Label, probabilities, texts, and the transport plan where the method has one.

        Raises:
            UserError: The clip cannot be used, its tokens do not fit the run, or its method needs a text.
        """
        return self._prediction(self._pipeline(text)(clip), text)

    def predict_many(
        self, clips: str | Path | Iterable[str | Path], text: bool = True, batch: int = 16, progress: bool = False
    ) -> Iterator[Prediction]:
        """Probabilities of the classes for many clips; models are opened once and take clips in batches.

        Args:
            clips: Video files, or folders of frames; a single path is one clip.
            text: As in :meth:`predict`.
            batch: Clips that go through the steps together.
            progress: Whether to show a bar.

        Yields:
            One prediction per clip, in order. A clip that cannot be used has an ``error``, and costs no other.

        Raises:
            UserError: One of ``clips`` is no path, or the run cannot predict them with or without a text, as asked.
        """
        check_at_least("batch", batch, 1)
        paths, pipeline = clip_paths(clips), self._pipeline(text)
        with tqdm(total=len(paths), desc="predict", unit="clip", disable=not progress) as bar:
            for start in range(0, len(paths), batch):
                for clip in pipeline.many(paths[start : start + batch]):
                    yield Prediction({}, clip) if clip.error else self._prediction(clip, text)
                    bar.update()

    def predict_people(
        self, clips: str | Path | Iterable[str | Path], text: bool = True, progress: bool = False
    ) -> Iterator[Prediction]:
        """Probabilities of the classes for everybody whom the clips show, by tracked face.

        A person who is seen again after a cut is another track; every track has a text of its own.

        Args:
            clips: Video files, or folders of frames; a single path is one clip.
            text: As in :meth:`predict`.
            progress: Whether to show a bar.

        Yields:
            One prediction per clip and track, the most prominent one first; its ``row()`` has ``track`` (0 where there
            is none), the box and the seconds. A clip without a face, or that cannot be used, has one with an ``error``.

        Raises:
            UserError: The run's faces were not found by a detector.
        """
        pipeline = self._pipeline(text)
        for clip in tqdm(clip_paths(clips), desc="predict", unit="clip", disable=not progress):
            for person in pipeline.people(clip):
                person.row.setdefault("track", 0)
                yield Prediction({}, person) if person.error else self._prediction(person, text)

    def predict_over_time(
        self, clip: str | Path, seconds: float = 2.0, stride: float = 1.0, text: bool = True
    ) -> PredictionOverTime:
        """Probabilities of the classes for the windows of one clip: an expression may change within it.

        Args:
            clip: A video file, or a folder of frames.
            seconds: Length of a window; at least 0.1.
            stride: Seconds from one window's start to the next one's; at least 0.05.
            text: As in :meth:`predict`; each window has a text of its own.

        Returns:
            One prediction per window, with ``to_pandas()`` and ``plot()``.

        Raises:
            UserError: The clip cannot be used, or a number is too small.
        """
        found = self._pipeline(text).windows(clip, seconds, stride)
        windows = [Prediction({}, window) if window.error else self._prediction(window, text) for window in found]
        return PredictionOverTime(tuple(windows), tuple(self.labels))

    def _pipeline(self, text: bool) -> ClipPipeline:
        """The steps with or without a text. Raises :class:`UserError` where the run cannot do so for new clips."""
        self.classifier.check_text(text)
        asked = self.settings
        if text and (known := texts_of_known_clips(asked.caption.engine, asked.refine.use_label)):
            todo = "predict without a text (text=False, or `grace predict --no-text`)"
            if self.classifier.reads_only_text:
                todo = f"it cannot predict new clips, since method {self.method} reads nothing but text"
            raise UserError(f"The run was trained on {known}, which a new clip does not have: {todo}.")
        return self.pipeline if text else self.silent_pipeline

    def _prediction(self, clip: ClipResult, text: bool) -> Prediction:
        probabilities, plan = self.classifier.predict(clip.row, text)
        named = dict(zip(self.labels, probabilities.tolist(), strict=True))
        return Prediction(named, clip, plan, () if plan is None else self._words(clip, plan))

    def _words(self, clip: ClipResult, plan: Float[np.ndarray, "text instants patches"]) -> tuple[Any, ...]:
        from grace.pipeline.visualize.alignment import distinctive_words

        return tuple(distinctive_words(clip.row, plan, self.settings.tokens))
