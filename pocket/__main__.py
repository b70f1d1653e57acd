"""``python -m grace.pocket build`` trains the three models from scratch; ``measure`` evaluates them."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any

import typer

app = typer.Typer(help="The pocket models of the rendered world.", add_completion=False, no_args_is_help=True)


@app.callback()
def _log_progress() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")


@app.command()
def build(
    blocks: Annotated[int, typer.Option(help="Blocks of 250 training clips.")] = 56,
    workers: Annotated[int, typer.Option(help="Local processes that render.")] = 2,
) -> None:
    """Render the training clips and train CLIP, LLM and VLM; an interrupted build resumes (pocket/build)."""
    from grace.pocket import train_clip, train_llm, train_vlm
    from grace.pocket.evaluate import evaluate
    from grace.pocket.render_dataset import TRAIN, draw

    draw(TRAIN, range(blocks), workers)
    train_clip.build()
    train_llm.build()
    train_vlm.build()
    _keep(evaluate())


@app.command()
def measure(quick: Annotated[bool, typer.Option(help="64 clips instead of 500.")] = False) -> None:
    """Evaluate the models on unseen people; a full run also updates measured.json and the model cards."""
    from grace.pocket.evaluate import evaluate

    figures = evaluate(quick)
    if not quick:
        _keep(figures)
    typer.echo(json.dumps(figures))


def _keep(figures: dict[str, Any]) -> None:
    """Write measured.json, and the model cards from it."""
    from grace.pocket.evaluate import RESULT
    from grace.pocket.model_cards import write_cards

    RESULT.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write_cards()


if __name__ == "__main__":
    app()
