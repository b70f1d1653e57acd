"""Nothing is wrong in silence: damaged, hostile, odd, stale and foreign inputs, each tried in a process of its own.

The trials are data, in the modules beside this one: files that the stages made, damaged (fault_corruptions); servers
that misbehave (server_faults); hostile files for index and faces (fault_files); odd tables and settings (fault_tables);
files that are sound and do not belong (fault_stale); random ones for parsers and readers (fault_random); and of each
kind, what concerns DVC (fault_dvc), the index (fault_index), runs and scores (fault_runs), kept answers (fault_texts).
Each has a verdict:

    held        the result is that of the sound input
    row         one clip has a row with the cause, and all others are as they were
    sentence    the command fails with one sentence
    misleading  a row or a sentence that does not hold the words of the trial: the file, the key or the cause
    silent      another result without a word
    traceback   an error that is no sentence
    hang        no end within 20 seconds of an idle machine

and passes when that is one of those that are right for it, which the last four never are.

    python -m benchmarks.faults [--quick] [--only KIND] [--name PART] [--seed 0] [--jobs 2]

Ends with one line of JSON: trials (goal at least 400), wrong (those whose verdict is not among the right ones; goal 0),
misleading, silent, tracebacks, hangs (goal 0 each).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.fault_trial import VERDICTS, Outcome, Trial, in_child, run_all
from benchmarks.harness import Benchmark, progress, table

BENCHMARK = Benchmark(
    "faults", __doc__, keys=("trials", "wrong", "silent", "tracebacks", "hangs"), quick="an evenly spread tenth of them"
)
SHARE = 10
"""One trial in so many is tried by ``--quick``."""
SAID = 200
"""Characters of a sentence that the results file keeps."""


def all_trials(seed: int) -> list[Trial]:
    """Every trial; ``seed`` says which bits flip and which random examples are drawn."""
    from benchmarks import (
        fault_corruptions,
        fault_dvc,
        fault_files,
        fault_index,
        fault_random,
        fault_runs,
        fault_servers,
        fault_stale,
        fault_tables,
        fault_texts,
    )

    modules = (
        *(fault_corruptions, fault_servers, fault_files, fault_tables, fault_stale, fault_random),
        *(fault_dvc, fault_index, fault_runs, fault_texts),
    )
    return [trial for module in modules for trial in module.trials(seed)]


def prepare(trials: Sequence[Trial], bases: Path) -> None:
    """Load what the trials compute with, so that it is there in each process, and make their bases."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    import cv2
    import h5py  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch

    import grace.trainer.train  # noqa: F401
    import stages  # noqa: F401

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    from benchmarks.fault_bases import BASES, make_base

    for name in BASES:
        if any(trial.base == name for trial in trials):
            progress(f"making {name}")
            in_child(lambda name=name: make_base(name, bases))  # type: ignore[misc]


def try_all(trials: Sequence[Trial], jobs: int) -> list[tuple[Trial, Outcome, float]]:
    """Every trial with its outcome, in their order, and the seconds that it took."""
    found = []
    with tempfile.TemporaryDirectory(prefix="grace-faults-") as scratch:
        bases = Path(scratch) / "bases"
        bases.mkdir()
        prepare(trials, bases)
        for trial, outcome, spent in run_all(trials, Path(scratch), bases, jobs):
            found.append((trial, outcome, spent))
            mark = "" if outcome.verdict in trial.expected else "  <- WRONG"
            progress(
                f"{len(found)}/{len(trials)} {trial.kind}: {trial.name}: {outcome.verdict} ({spent:.1f} s) "
                f"{ascii(outcome.detail)[:200]}{mark}"
            )
    order = {id(trial): number for number, trial in enumerate(trials)}
    return sorted(found, key=lambda each: order[id(each[0])])


def entry(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    """What the results file keeps of a trial: its verdict, and the beginning of what was said."""
    kept = {"kind": trial.kind, "trial": trial.name, "verdict": outcome.verdict, "right": list(trial.expected)}
    return {**kept, "said": outcome.detail[:SAID]} if outcome.verdict in ("row", "sentence") else kept


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--only", metavar="KIND", help="trials of one kind only")
    options.add_argument("--name", metavar="PART", action="append", help="trials whose name holds this; repeatable")
    options.add_argument("--seed", type=int, default=0, help="which bits flip, and which random examples are drawn")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials under way at a time")
    return options


def main() -> None:
    """Print the table of kinds and verdicts, and whatever has a wrong one."""
    args = parser().parse_args()
    trials = all_trials(args.seed)
    whole = not (args.only or args.name or args.quick)
    parts = args.name or [""]
    chosen = [
        trial for trial in trials if args.only in (None, trial.kind) and any(part in trial.name for part in parts)
    ]
    chosen = chosen[:: SHARE if args.quick else 1]
    found = try_all(chosen, args.jobs)
    verdicts = Counter((trial.kind, outcome.verdict) for trial, outcome, _ in found)
    kinds = list(dict.fromkeys(trial.kind for trial in chosen))
    wrong = [(trial, outcome) for trial, outcome, _ in found if outcome.verdict not in trial.expected]
    rows = [[kind, *(str(verdicts[kind, verdict]) for verdict in VERDICTS)] for kind in kinds]
    total = {verdict: sum(verdicts[kind, verdict] for kind in kinds) for verdict in VERDICTS}
    tables = [
        table(
            "faults, trials by kind and verdict", ("kind", *VERDICTS), [*rows, None, ["all", *map(str, total.values())]]
        )
    ]
    if wrong:
        cells = [
            [f"{trial.kind}: {trial.name!a}", outcome.verdict, ascii(outcome.detail)[:60]] for trial, outcome in wrong
        ]
        tables.append(table("wrong verdicts", ("trial", "verdict", "detail"), cells, text_columns=3))
    figures = {
        "trials": len(found),
        "wrong": len(wrong),
        "misleading": total["misleading"],
        "silent": total["silent"],
        "tracebacks": total["traceback"],
        "hangs": total["hang"],
    }
    details = {"verdicts": [entry(trial, outcome) for trial, outcome, _ in found]}
    BENCHMARK.report(figures, keep=whole, tables=tables, details=details)


if __name__ == "__main__":
    main()
