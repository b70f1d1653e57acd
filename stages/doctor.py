"""``grace doctor``: whether this machine and this project can do what the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stages._options import Params, Set, command_settings
from stages._output import console, user_errors
from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from grace.pipeline.doctor import Finding

SIGNS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "fault": ("✗", "bold red")}


@user_errors
def command(
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Look at this machine and project (versions, GPUs, memory, disk, data, models) and say what will not work."""
    from grace.pipeline.doctor import examine

    findings = examine(command_settings(params, override))
    for finding in findings:
        _show(finding)
    faults = sum(finding.kind == "fault" for finding in findings)
    if faults:
        console().print(f"\n{faults} of {len(findings)} will not work.")
        raise typer.Exit(1)
    console().print("\nNothing is known that will not work.")


def _show(finding: Finding) -> None:
    from rich.text import Text

    sign, style = SIGNS[finding.kind]
    line = Text.assemble((f"{sign} ", style), (f"{finding.subject:<12} "), strip_control(finding.sentence))
    console().print(line, soft_wrap=True)
