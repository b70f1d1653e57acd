"""The curves of a run while it trains, drawn by DVCLive: ``dvc plots`` and the DVC extension show them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

FOLDER = "dvclive"


class Curves:
    """DVCLive's files in ``<run>/dvclive``, one point a metric and epoch.

    They are drawn anew from the history when a run is resumed, so a kill between two files costs no point.
    """

    def __init__(self, run: Path, history: Iterable[dict[str, float]]) -> None:
        from dvclive import Live

        # The run's own stage tells DVC of them; no experiment, no report and no dvc.yaml beside them.
        self.live = Live(str(run / FOLDER), save_dvc_exp=False, dvcyaml=False)
        for row in history:
            self.add(row)

    def add(self, row: dict[str, float]) -> None:
        """The metrics of one epoch; ``epoch`` itself counts as the step."""
        self.live.step = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                self.live.log_metric(name, value)
        self.live.sync()

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.live.end()
