"""The metrics of a run while it trains, for the tools that ``train.loggers`` names.

DVCLive draws them with ``dvc plots`` and the DVC extension; TensorBoard and Weights & Biases are optional packages.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from grace.pipeline.store import UserError

FOLDER = "dvclive"
"""Of DVCLive within a run; the other tools have folders of their own names."""
Row = Mapping[str, float]


@runtime_checkable
class Log(Protocol):
    """Where the metrics of an epoch go."""

    def add(self, epoch: int, values: Row) -> None:
        """Take the metrics of one epoch."""

    def close(self) -> None:
        """No more epochs follow."""


class LiveLogger:
    """One point per metric and epoch, for each tool, in a folder of the run.

    They are written again from the history when a run is resumed, so a kill between two files loses no point.

    Args:
        run: The folder of the run.
        history: The epochs so far; ``epoch`` and the metrics of each.
        tools: Names out of :data:`LOGS`.
        settings: What the run is made with, for tools that show it.

    Raises:
        UserError: The package of a tool is not installed; nothing has been written then.
    """

    def __init__(
        self,
        run: Path,
        history: Iterable[Row],
        tools: Iterable[str] = (FOLDER,),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._logs: list[Log] = []
        opened = [_opener(tool) for tool in dict.fromkeys(tools)]
        with ExitStack() as undone:
            for opener in opened:
                if (log := opener(run, settings or {})) is not None:
                    undone.callback(log.close)
                    self._logs.append(log)
            for row in history:
                self.add(row)
            undone.pop_all()

    def add(self, row: Row) -> None:
        """The metrics of one epoch; ``epoch`` itself counts as the step."""
        values = {name: value for name, value in row.items() if name != "epoch"}
        for log in self._logs:
            log.add(int(row["epoch"]), values)

    def __enter__(self) -> LiveLogger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for log in self._logs:
            log.close()


class _DvcLive:
    def __init__(self, run: Path) -> None:
        from dvclive import Live

        # The train stage of dvc.yaml names them; no experiment, no report and no dvc.yaml beside them.
        self._live = Live(str(run / FOLDER), save_dvc_exp=False, dvcyaml=False)

    def add(self, epoch: int, values: Row) -> None:
        self._live.step = epoch
        for name, value in values.items():
            self._live.log_metric(name, value)
        self._live.sync()

    def close(self) -> None:
        self._live.end()


class _TensorBoard:
    def __init__(self, run: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(_emptied(run / "tensorboard")))

    def add(self, epoch: int, values: Row) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _WandB:
    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "grace"),
            name="/".join(run.resolve().parts[-2:]),
            dir=str(_emptied(run / "wandb").parent),
            mode=mode,
            config=dict(settings),
            settings=wandb.Settings(silent=True, console="off", symlink=False, disable_git=True, x_disable_stats=True),
        )

    def add(self, epoch: int, values: Row) -> None:
        self._run.log(dict(values), step=epoch)

    def close(self) -> None:
        self._run.finish()


def _open_dvclive(run: Path, settings: Mapping[str, Any]) -> Log | None:
    """DVCLive's files, or a warning where it cannot start.

    It does not start in a git repository without a commit, and in one without DVC it would set DVC up unasked.
    """
    if obstacle := _obstacle():
        warnings.warn(f"DVCLive draws no curves, history.csv has the same: {obstacle}.", stacklevel=4)
        return None
    return _DvcLive(run)


LOGS: Mapping[str, tuple[str, Callable[[Path, Mapping[str, Any]], Log | None]]] = {
    "dvclive": ("dvclive", _open_dvclive),
    "tensorboard": ("tensorboard", lambda run, _: _TensorBoard(run)),
    "wandb": ("wandb", _WandB),
}
"""Of each tool of ``train.loggers``: the package that it needs, and how it is opened."""


def _opener(tool: str) -> Callable[[Path, Mapping[str, Any]], Log | None]:
    from importlib.util import find_spec

    package, opener = LOGS[tool]
    if find_spec(package) is None:
        raise UserError(
            f"train.loggers names {tool}, which is not installed: `pip install {package}`, or leave it out."
        )
    return opener


def _emptied(folder: Path) -> Path:
    """The folder, without the points of a run that was killed: they come again from the history."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


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
