"""``grace predict``: any video file through the whole road with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages._alignment import draw, run_folder
from stages._output import Dataset, Params, Set, console, load_settings, print_table, strip_control, user_errors

if TYPE_CHECKING:
    from grace.pipeline.store import Row
    from grace.settings import Settings


@user_errors
def command(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder; the first fold of train.method if not given.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The picture; <video>-prediction.png if not given.")] = None,
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Print the emotion's probabilities and the text, and draw where the words met the face."""
    from tempfile import TemporaryDirectory

    settings = load_settings(params, override)
    from grace.trainer.classifier import TokenClassifier

    classifier = TokenClassifier.from_pretrained(run_folder(run, settings, dataset))
    from grace.pipeline.steps import one_clip

    with TemporaryDirectory(prefix="grace-") as scratch:
        row = one_clip(video, settings, Path(scratch) / "predict")
    probabilities, plan = classifier.predict(row)
    ranked = sorted(zip(probabilities.tolist(), classifier.labels, strict=True), reverse=True)
    print_table(
        strip_control(video.name), [(label, f"{'█' * round(24 * share):<24} {share:6.1%}") for share, label in ranked]
    )
    console().print(strip_control(f"caption: {row['caption']}\n\ndescription: {row['description']}"), markup=False)
    _warn(settings, row)
    if plan is None:
        console().print(f"Method {classifier.run.settings.method} has no transport plan to draw.", markup=False)
        return
    file = out or Path(f"{video.stem}-prediction.png")
    draw(row, plan, settings, file)
    console().print(f"Where the words met the face: {file}", markup=False)


def _warn(settings: Settings, row: Row) -> None:
    """Say where the result must not be trusted."""
    from grace.pipeline.checkpoints import knows_only

    if row["status"] == "fallback":
        console(stderr=True).print(strip_control(f"note: {row['error']}"), markup=False)
    limits = {name: knows_only(name) for name in (settings.caption.model, settings.refine.model, settings.tokens.model)}
    for limit in sorted(set(filter(None, limits.values()))):
        names = ", ".join(name for name in limits if limits[name] == limit)
        sentence = f"note: {names} know only {limit}: of any other footage their words and tokens mean nothing."
        console(stderr=True).print(strip_control(sentence), markup=False, style="yellow")
