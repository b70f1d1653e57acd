"""A trained run and the pipeline that made its tokens, together: a video in, an emotion out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float

from grace.pipeline.errors import UserError
from grace.pipeline.settings import PipelineSettings, apply_overrides, validate
from grace.pipeline.single_clip import ClipPipeline, ClipResult
from grace.pipeline.steps import STEPS, contradictions
from grace.trainer.classifier import TokenClassifier
from grace.trainer.runs import read_config

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Prediction:
    """What a run says of one video, and all that led there."""

    probabilities: dict[str, float]
    """Class to probability, in the data set's order."""
    clip: ClipResult
    plan: Float[np.ndarray, "text instants patches"] | None
    """Transport plan from text tokens to patches and instants; None where the method has none."""
    words: tuple[Any, ...] = ()
    """The words that differ most in where their mass goes, as :class:`~grace.pipeline.visualize.alignment.Word`."""

    @property
    def label(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=lambda label: self.probabilities[label])

    def to_pandas(self) -> pd.DataFrame:
        """One class per row, the most probable first: ``label``, ``probability``."""
        import pandas as pd

        table = pd.DataFrame({"label": list(self.probabilities), "probability": list(self.probabilities.values())})
        return table.sort_values("probability", ascending=False, ignore_index=True)

    def plot(self) -> Figure:
        """Probabilities as bars, and beneath, where the words' mass went, as a matplotlib figure."""
        from matplotlib.figure import Figure

        sheet = self.alignment_sheet()
        figure = Figure(
            figsize=(9, 3 if sheet is None else 3 + 9 * sheet.shape[0] / sheet.shape[1]), layout="constrained"
        )
        rows = figure.subplots(
            1 if sheet is None else 2,
            1,
            squeeze=False,
            height_ratios=None if sheet is None else (3, 9 * sheet.shape[0] / sheet.shape[1]),
        )
        bars = rows[0, 0]
        bars.barh(list(self.probabilities), list(self.probabilities.values()), color="#3b6ea5")
        bars.set_xlim(0, 1)
        bars.invert_yaxis()
        bars.set_xlabel("probability")
        bars.set_title(Path(str(self.clip.row["path"])).name)
        bars.spines[["top", "right"]].set_visible(False)
        if sheet is not None:
            rows[1, 0].imshow(sheet[..., ::-1])
            rows[1, 0].set_axis_off()
        return figure

    def alignment_sheet(self) -> Any:
        """Words against patches and time, as a picture in OpenCV's order of colours; None without a plan."""
        if not self.words:
            return None
        from grace.pipeline.visualize.alignment import alignment_sheet
        from grace.pipeline.visualize.contact_sheets import decode_crops

        return alignment_sheet(decode_crops(self.clip.row), self.words)


class GraceClassifier:
    """A trained run that takes videos. Its steps have the settings that made the run's tokens.

    Example:
        >>> import grace
        >>> classifier = grace.GraceClassifier.from_pretrained("data/demo/runs/grace/fold-1")  # doctest: +SKIP
        >>> classifier.predict("raw/demo/clips/00003.mp4").label  # doctest: +SKIP
        'happiness'
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

        Raises:
            UserError: A file is missing or damaged, the run does not say which settings made its tokens, or an
                override contradicts them.
        """
        source = Path(run) / "config.yaml"
        content = read_config(Path(run)).pipeline
        if content is None:
            raise UserError(
                f"{source} does not say which settings made the run's tokens: run `grace train` again, or name another "
                "run."
            )
        settings = validate(PipelineSettings, content, str(source))
        changed = apply_overrides(settings, overrides)
        if stages := contradictions(settings, changed):
            raise UserError(
                f"The run {run} was trained on what {', '.join(stages)} made with other settings than "
                f"{' '.join(f'-S {override}' for override in overrides)} asks for: leave that out, or train a "
                "run with it."
            )
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

    def predict(self, video: str | Path, text: bool = True) -> Prediction:
        """Probabilities of the classes for one video.

        Args:
            video: A video file.
            text: False writes and reads no text: the heads that read one are silent, and there is no plan.

        Returns:
            Label, probabilities, texts, and the transport plan where the method has one.

        Raises:
            UserError: The video cannot be used, its tokens do not fit the run, or its method needs a text.
        """
        clip = (self.pipeline if text else self.silent_pipeline)(video)
        probabilities, plan = self.classifier.predict(clip.row, text)
        named = dict(zip(self.labels, probabilities.tolist(), strict=True))
        return Prediction(named, clip, plan, () if plan is None else self._words(clip, plan))

    def _words(self, clip: ClipResult, plan: Float[np.ndarray, "text instants patches"]) -> tuple[Any, ...]:
        from grace.pipeline.visualize.alignment import distinctive_words

        return tuple(distinctive_words(clip.row, plan, self.settings.tokens))
