"""``python -m pocket build`` makes the three models from nothing; ``python -m pocket measure`` says what they score."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer(help="The pocket models of the rendered world.", add_completion=False, no_args_is_help=True)


@app.command()
def build(
    blocks: Annotated[int, typer.Option(help="Blocks of 250 training clips.")] = 56,
    workers: Annotated[int, typer.Option(help="Processes that draw.")] = 2,
) -> None:
    """Draw the training clips and train CLIP, LLM and VLM, each resumed where it stopped (pocket/build)."""
    from grace.pocket import train_clip, train_llm, train_vlm
    from grace.pocket.evaluate import RESULT
    from grace.pocket.evaluate import measure as figures
    from grace.pocket.model_cards import write_cards
    from grace.pocket.render_dataset import TRAIN, draw

    draw(TRAIN, range(blocks), workers)
    train_clip.build()
    train_llm.build()
    train_vlm.build()
    RESULT.write_text(json.dumps(figures(), indent=2) + "\n", encoding="utf-8")
    write_cards()


@app.command()
def measure(quick: Annotated[bool, typer.Option(help="64 clips instead of 500.")] = False) -> None:
    """Print what the models score on people they never saw; a full run updates measured.json and the model cards."""
    from grace.pocket.evaluate import RESULT
    from grace.pocket.evaluate import measure as figures
    from grace.pocket.model_cards import write_cards

    found = figures(quick)
    if not quick:
        RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        write_cards()
    print(json.dumps(found))


if __name__ == "__main__":
    app()
