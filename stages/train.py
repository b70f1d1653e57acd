"""``grace train``: train one fold of one method on the cached tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grace.pipeline.messages import percent
from stages._options import Dataset, Params, Runs, Set, load_settings
from stages._output import note, print_table, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    fold: Annotated[int, typer.Option("--fold", help="The fold whose test part is kept for the end.")] = 1,
    runs: Runs = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Train a fold, choose its epoch by the protocol, and score its test clips once."""
    settings = load_settings(params, override, "train")
    from grace.pipeline.store import open_store
    from grace.trainer.settings import PREFIX
    from grace.trainer.train import train

    folder = settings.folder(dataset)
    tokens = open_store(folder, "tokens")
    for limit in tokens.meta(tokens.shards()[0]).get("limits", ()) if tokens.shards() else ():
        note(f"{limit}.")
    metrics = train(folder, settings.train, fold, runs, pipeline=settings.pipeline_content())
    prefix = PREFIX[metrics["protocol"]]
    seeds = metrics.get("seeds", [])
    spread = [(f"seed {settings.train.seed + k}", percent(one[f"{prefix}UAR"])) for k, one in enumerate(seeds)]
    print_table(
        f"train {metrics['method']}, fold {fold}, protocol {metrics['protocol']}",
        [
            ("clips trained on", str(metrics["train_clips"])),
            ("clips that chose the epoch", str(metrics["selection_clips"])),
            ("epoch chosen", str(metrics["epoch"])),
            (f"test {prefix}UAR", percent(metrics[f"{prefix}UAR"])),
            (f"test {prefix}WAR", percent(metrics[f"{prefix}WAR"])),
            *((f"test {prefix}UAR, {name}", value) for name, value in spread),
        ],
    )
