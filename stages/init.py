"""``grace init``: the files of a new project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stages._output import console, user_errors

SETTINGS = ("params.yaml", "dvc.yaml")
"""What ``--force`` replaces; other files are kept as they are, for they may hold corrections by hand."""


@user_errors
def command(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of the project.")] = Path(),
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Data set that the project begins with.")] = "demo",
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", help="Settings for a machine: cpu, 16gb, 24gb, 80gb (one GPU) or 8x80gb."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace params.yaml and dvc.yaml if they exist.")] = False,
) -> None:
    """Write params.yaml, dvc.yaml, overrides/ and .gitignore for a project."""
    from grace.pipeline.datasets.roots import check_name
    from grace.pipeline.errors import UserError
    from stages._presets import MACHINES
    from stages._project import DEMO, render

    check_name(dataset)
    if gpu is not None and gpu not in MACHINES:
        raise UserError(f"There is no preset for '{gpu}': choose --gpu from {', '.join(MACHINES)}.")
    if gpu is not None and dataset == DEMO:
        raise UserError("The demo's pocket models need no GPU: leave --gpu out, or name a --dataset of yours.")
    there = [name for name in SETTINGS if (folder / name).exists()]
    if there and not force:
        raise UserError(f"{folder.resolve()} already has {' and '.join(there)}: name another folder, or give --force.")
    try:
        written = [name for name, text in render(dataset, gpu).items() if _write(folder / name, text)]
    except OSError as error:
        raise UserError(f"The project cannot be written to {folder}: {error.strerror}.") from None
    console().print(f"Wrote {', '.join(written)} in {folder.resolve()}.", markup=False, soft_wrap=True)
    console().print(_next_steps(folder, dataset), markup=False, soft_wrap=True)


def _write(path: Path, text: str) -> bool:
    """Write a file of the project; whether it was written. An existing .gitignore gets the lines it lacks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == ".gitignore" and path.exists():
        before = path.read_text(encoding="utf-8")
        known = set(before.splitlines())
        lacking = [line for line in text.splitlines() if line not in known]
        if lacking:
            ended = before if before.endswith("\n") or not before else f"{before}\n"
            path.write_text(ended + "\n".join(lacking) + "\n", encoding="utf-8")
        return bool(lacking)
    if path.exists() and path.name not in SETTINGS:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def _next_steps(folder: Path, dataset: str) -> str:
    steps = [] if folder.resolve() == Path.cwd() else [f"cd {folder}"]
    steps += [
        "git init && dvc init        # without git: dvc init --no-scm",
        "dvc config cache.type reflink,hardlink,symlink,copy",
    ]
    if dataset == "demo":
        steps.append("dvc repro                   # renders the demo's clips and runs every stage")
    else:
        steps += [
            f"$EDITOR params.yaml         # roots.{dataset}: where the raw files are; then detector and models",
            f"grace index --dataset {dataset}    # what is there, and what does not fit",
            "dvc repro",
        ]
    return "\nNext:\n" + "\n".join(f"  {step}" for step in steps)
