"""The curves of a run while it trains, drawn by DVCLive: ``dvc plots`` and the DVC extension show them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvclive import Live

FOLDER = "dvclive"


class Curves:
    """DVCLive's files in ``<run>/dvclive``, one point a metric and epoch.

    They are drawn anew from the history when a run is resumed, so a kill between two files costs no point. In a git
    repository without a commit DVCLive cannot start; there are no curves then, and a warning says so.
    """

    def __init__(self, run: Path, history: Iterable[dict[str, float]]) -> None:
        from dvclive import Live
        from scmrepo.exceptions import SCMError

        # The run's own stage tells DVC of them; no experiment, no report and no dvc.yaml beside them.
        self.live: Live | None = None
        try:
            self.live = Live(str(run / FOLDER), save_dvc_exp=False, dvcyaml=False)
        except SCMError as error:
            warnings.warn(
                f"No curves are drawn: DVCLive wants a commit in this git repository ({error}).", stacklevel=2
            )
        for row in history:
            self.add(row)

    def add(self, row: dict[str, float]) -> None:
        """The metrics of one epoch; ``epoch`` itself counts as the step."""
        if self.live is None:
            return
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
        if self.live is not None:
            self.live.end()
