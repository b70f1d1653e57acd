"""``grace predict``: any video file through the whole pipeline with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grace.pipeline.messages import percent
from stages._options import Dataset, Params, Set, load_settings, picture_file, run_folder
from stages._output import console, note, print_table, user_errors
from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from grace import GraceClassifier, Prediction
    from grace.pipeline.settings import PipelineSettings


@user_errors
def command(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder; the first fold of train.method if not given.")
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Whether a text is written and read; without one it is faster.")
    ] = True,
    out: Annotated[Path | None, typer.Option("--out", help="The picture; <video>-prediction.png if not given.")] = None,
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Print the emotion's probabilities and the text, and draw where the words' mass goes on the face.

    The steps have the settings that made the run's tokens, whatever params.yaml says now.
    """
    from grace import GraceClassifier
    from grace.pipeline.media.images import write_image

    file = picture_file(out, f"{video.stem}-prediction.png")
    folder = run_folder(run, load_settings(params, override), dataset)
    classifier = GraceClassifier.from_pretrained(folder, overrides=override)
    prediction = classifier.predict(video, text=text)
    _print(video.name, prediction)
    _remark(classifier, prediction)
    sheet = prediction.alignment_sheet()
    if sheet is None:
        method = classifier.method
        why = f"Method {method} has no transport plan to draw." if text else "Without a text there is no plan to draw."
        console().print(why, markup=False)
        return
    write_image(file, sheet)
    console().print(f"Where the words' mass goes on the face: {file}", markup=False)


def _print(name: str, prediction: Prediction) -> None:
    table = prediction.to_pandas()
    ranked = zip(table["label"], table["probability"], strict=True)
    print_table(name, [(label, f"{'█' * round(24 * share):<24} {percent(share):>7}") for label, share in ranked])
    if prediction.clip.description:
        texts = f"caption: {prediction.clip.caption}\n\ndescription: {prediction.clip.description}"
        console().print(strip_control(texts), markup=False)


def _encoders(settings: PipelineSettings) -> tuple[str, str]:
    return settings.tokens.vision_model[0], settings.tokens.text_model[0]


def _remark(classifier: GraceClassifier, prediction: Prediction) -> None:
    """Say where the result must not be trusted."""
    from grace.pipeline.checkpoints import knows_only

    for remark in prediction.clip.remarks:
        note(remark)
    settings = classifier.settings
    limits = {name: knows_only(name) for name in (settings.caption.model, settings.refine.model, *_encoders(settings))}
    for limit in sorted(set(filter(None, limits.values()))):
        names = ", ".join(name for name in limits if limits[name] == limit)
        note(f"{names} know only {limit}: of any other footage their words and tokens mean nothing.")
