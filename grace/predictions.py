"""What a run says of clips: one, many, or one over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from grace.pipeline.errors import UserError
from grace.pipeline.figures import OKABE_ITO
from grace.pipeline.single_clip import ClipResult
from grace.pipeline.store import Row
from grace.pipeline.store.schema import limits_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PROBABILITY = "p_"
"""What the columns of probabilities begin with, before the class."""

BOX = ("x0", "y0", "x1", "y1")
"""Columns of a person's box, pixels of the source."""


@dataclass(frozen=True)
class Prediction:
    """What a run says of one clip, and all that led there.

    Example:
        >>> from grace.pipeline.single_clip import ClipResult
        >>> said = Prediction({"happiness": 0.7, "anger": 0.3}, ClipResult({"path": "clips/x.mp4"}))
        >>> said.label, said.error
        ('happiness', '')
        >>> said.to_pandas()["label"].tolist()
        ['happiness', 'anger']
        >>> {key: value for key, value in said.row(["anger", "happiness"]).items() if key.startswith("p_")}
        {'p_anger': 0.3, 'p_happiness': 0.7}
    """

    probabilities: dict[str, float]
    """Class to probability, in the data set's order; empty where the clip could not be used."""
    clip: ClipResult
    plan: Float[np.ndarray, "text instants patches"] | None = None
    """Transport plan from text tokens to patches and instants; None where the method has none."""
    words: tuple[Any, ...] = ()
    """The words that differ most in where their mass goes, as :class:`~grace.pipeline.visualize.alignment.Word`."""

    @property
    def label(self) -> str:
        """The most probable class; empty where the clip could not be used."""
        return max(self.probabilities, key=lambda label: self.probabilities[label], default="")

    @property
    def error(self) -> str:
        """Why the clip could not be used; empty when it could."""
        return self.clip.error

    def to_pandas(self) -> pd.DataFrame:
        """The probabilities as a table.

        Returns:
            One class per row, the most probable first: ``label``, ``probability`` in [0, 1].
        """
        import pandas as pd

        table = pd.DataFrame({"label": list(self.probabilities), "probability": list(self.probabilities.values())})
        return table.sort_values("probability", ascending=False, ignore_index=True)

    def plot(self) -> Figure:
        """Probabilities as bars, and beneath, where the words' mass went, as a matplotlib figure.

        Raises:
            UserError: The clip could not be used.
        """
        from matplotlib.figure import Figure

        if self.error:
            raise UserError(f"{self.clip.row['path']} has no prediction to draw: {self.error}.")
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
        bars.barh(list(self.probabilities), list(self.probabilities.values()), color=OKABE_ITO[0])
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

        return alignment_sheet(decode_crops(self.clip.row), self.words, self.clip.row.get("times"))

    def row(self, labels: Sequence[str]) -> Row:
        """One row of a table of predictions.

        Args:
            labels: The classes, in the order of the columns; one that the run does not know has None.

        Returns:
            ``path``, ``label``, ``p_<class>`` in [0, 1], ``caption``, ``description``; ``remarks``, why the prediction
            is doubtful, and ``limits``, which models behind it do not know such footage, empty where there is nothing
            to say; and ``error``, the cause where there is no prediction. Where several people have one each, which of
            them it is about.
        """
        return {
            "path": str(self.clip.row["path"]),
            **self._person(),
            "label": self.label,
            **{f"{PROBABILITY}{label}": self.probabilities.get(label) for label in labels},
            "caption": self.clip.caption,
            "description": self.clip.description,
            "remarks": "; ".join(self.clip.remarks),
            "limits": limits_text(self.clip.limits),
            "error": self.error,
        }

    def _person(self) -> Row:
        """Which of several people it is about, where each has a prediction."""
        if "track" not in self.clip.row:
            return {}
        found = self.clip.row.get("found")
        times = self.clip.row.get("times")
        there = None if found is None or times is None else times[found]
        return {
            "track": self.clip.row["track"],
            **dict(zip(BOX, self.clip.row.get("box") or [None] * 4, strict=True)),
            "start": None if there is None else float(there[0]),
            "end": None if there is None else float(there[-1]),
        }


@dataclass(frozen=True)
class PredictionOverTime:
    """What a run says of the windows of one clip, in order of time.

    Example:
        >>> from grace.pipeline.single_clip import ClipResult
        >>> clips = [ClipResult({"path": "x.mp4", "times": np.arange(4) / 2 + start}) for start in (0.0, 2.0)]
        >>> said = ({"anger": 0.9, "fear": 0.1}, {"anger": 0.2, "fear": 0.8})
        >>> windows = [Prediction(*each) for each in zip(said, clips, strict=True)]
        >>> PredictionOverTime(tuple(windows), ("anger", "fear")).to_pandas()[["start", "end", "label"]]
           start  end  label
        0    0.0  1.5  anger
        1    2.0  3.5   fear
    """

    windows: tuple[Prediction, ...]
    labels: tuple[str, ...]

    @property
    def rows(self) -> list[Row]:
        """One row per window: its first and last instant in seconds, then as of a clip."""
        made = []
        for window in self.windows:
            times = window.clip.row["times"]
            made.append({"start": float(times[0]), "end": float(times[-1]), **window.row(self.labels)})
        return made

    def to_pandas(self) -> pd.DataFrame:
        """The windows as a table.

        Returns:
            One window per row: ``start`` and ``end`` in seconds, ``label``, ``p_<class>`` in [0, 1], texts,
            ``remarks``, ``limits``, ``error``.
        """
        import pandas as pd

        return pd.DataFrame(self.rows)

    def plot(self) -> Figure:
        """The film strip above the probabilities of the classes over time, as a matplotlib figure.

        Raises:
            UserError: No window could be used.
        """
        from matplotlib.figure import Figure

        from grace.pipeline.visualize.contact_sheets import decode_crops

        rows = [row for row in self.rows if not row["error"]]
        if not rows:
            first = self.windows[0].clip
            raise UserError(f"{first.row['path']} has no window to draw: {first.error}.")
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        film, lines = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
        begin, end = rows[0]["start"], max(rows[-1]["end"], rows[0]["start"] + 1e-3)
        shown = [window for window in self.windows if not window.error]
        width = (end - begin) / 12
        for number in range(12):
            moment = begin + (number + 0.5) * width
            window = min(shown, key=lambda each: abs(float(np.mean(each.clip.row["times"])) - moment))
            instant = int(np.abs(window.clip.row["times"] - moment).argmin())
            crop = decode_crops({"frames": [window.clip.row["frames"][instant]]})[0][..., ::-1]
            film.imshow(crop, extent=(begin + number * width, begin + (number + 1) * width, 0, 1), aspect="auto")
        film.set_axis_off()
        film.set_title(Path(str(shown[0].clip.row["path"])).name, loc="left")
        middles = [(row["start"] + row["end"]) / 2 for row in rows]
        for label, colour, style in zip(self.labels, OKABE_ITO * 8, _STYLES * 16, strict=False):
            lines.plot(middles, [row[f"{PROBABILITY}{label}"] for row in rows], style, color=colour, label=label)
        lines.set(xlabel="seconds", ylabel="probability", ylim=(0, 1), xlim=(begin, end))
        lines.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right center", frameon=False)
        return figure


_STYLES = ("o-",) * 7 + ("s--",) * 7 + ("^:",) * 7
