"""``grace train``: train folds of one method on the cached tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grace.pipeline.messages import percent
from stages._options import Dataset, Folds, Params, Runs, Set, chosen_folds, command_settings
from stages._output import note, print_table, user_errors


@user_errors
def command(
    dataset: Dataset = "demo",
    fold: Folds = "1",
    runs: Runs = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Train a fold, choose its epoch by the protocol, and score its test clips once; or all folds in a row."""
    settings = command_settings(params, override, "train")
    from grace.pipeline.store import open_store
    from grace.run_steps import settings_of_cache
    from grace.trainer.train import train

    folder = settings.folder(dataset)
    folds = chosen_folds(fold, folder)
    tokens = open_store(folder, "tokens")
    for limit in tokens.meta(tokens.shards()[0]).get("limits", ()) if tokens.shards() else ():
        note(f"{limit}.")
    pipeline, trained = settings_of_cache(folder, settings), []
    for number in folds:
        metrics = train(folder, settings.train, number, runs, pipeline=pipeline)
        _print_run(metrics, settings.train.seed)
        trained.append(metrics)
    if len(trained) > 1:
        _print_summary(trained)


def _print_run(metrics: dict[str, Any], first_seed: int) -> None:
    """What was trained in one fold, and its scores."""
    from grace.trainer.settings import PREFIX

    prefix = PREFIX[metrics["protocol"]]
    seeds = metrics.get("seeds", [])
    spread = [(f"seed {first_seed + k}", percent(one[f"{prefix}UAR"])) for k, one in enumerate(seeds)]
    voted = [("of these by their votes", str(metrics["voted_clips"]))] if metrics["targets"] == "votes" else []
    print_table(
        f"train {metrics['method']}, fold {metrics['fold']}, protocol {metrics['protocol']}",
        [
            ("clips trained on", str(metrics["train_clips"])),
            *voted,
            ("clips that chose the epoch", str(metrics["selection_clips"])),
            ("epoch chosen", str(metrics["epoch"])),
            (f"test {prefix}UAR", percent(metrics[f"{prefix}UAR"])),
            (f"test {prefix}WAR", percent(metrics[f"{prefix}WAR"])),
            *((f"test {prefix}UAR, {name}", value) for name, value in spread),
        ],
    )


def _print_summary(trained: list[dict[str, Any]]) -> None:
    """UAR and WAR of each fold, and their means."""
    from statistics import fmean

    from grace.trainer.settings import PREFIX

    protocol, method = trained[0]["protocol"], trained[0]["method"]
    names = [f"{PREFIX[protocol]}{score}" for score in ("UAR", "WAR")]
    rows = [
        (f"fold {one['fold']}, {' / '.join(names)}", " / ".join(percent(one[name]) for name in names))
        for one in trained
    ]
    means = " / ".join(percent(fmean(one[name] for one in trained)) for name in names)
    print_table(f"train {method}, {len(trained)} folds, protocol {protocol}", [*rows, ("mean", means)])
