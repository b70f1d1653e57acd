"""The metrics of a run while it trains, logged by DVCLive: ``dvc plots`` and the DVC extension draw them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dvclive import Live

FOLDER = "dvclive"


class LiveLogger:
    """DVCLive's files in ``<run>/dvclive``, one point per metric and epoch.

    They are written again from the history when a run is resumed, so a kill between two files loses no point. DVCLive
    cannot start in a git repository without a commit, and in one without DVC it would set DVC up unasked; then there
    are no curves, and a warning says so.
    """

    def __init__(self, run: Path, history: Iterable[dict[str, float]]) -> None:
        self.live: Live | None = None
        if obstacle := _obstacle():
            warnings.warn(f"No curves are drawn, history.csv has the same: {obstacle}.", stacklevel=2)
            return
        from dvclive import Live

        # The train stage of dvc.yaml names them; no experiment, no report and no dvc.yaml beside them.
        self.live = Live(str(run / FOLDER), save_dvc_exp=False, dvcyaml=False)
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

    def __enter__(self) -> LiveLogger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.end()


def _obstacle() -> str:
    """Why DVCLive is not to start from this folder; empty when it may. Outside of git it just writes its files."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import Git
    from scmrepo.exceptions import SCMError

    try:
        git = Git()
    except SCMError:
        return ""
    if git.no_commits:
        return "this git repository has no commit yet"
    try:
        Repo.find_root()
    except NotDvcRepoError:
        return "this git repository has no DVC (`dvc init` adds it)"
    return ""
