"""``grace verify``: whether every file of a data set is as it was written."""

from __future__ import annotations

from pathlib import Path

from stages._options import Dataset, Params, Set, command_settings
from stages._output import console, user_errors
from stages.tables.formats import strip_control


@user_errors
def command(
    dataset: Dataset = "demo",
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
) -> None:
    """Check every shard, run and score against its checksum and its inputs, and say what to run where one fails.

    A stage that has not finished its store is a finding, too. Exit code 1 says that there are findings.
    """
    from tqdm import tqdm

    from grace.pipeline.engines.responses import damaged_lines
    from grace.pipeline.errors import GraceError, UserError
    from grace.pipeline.store import find_paths
    from grace.pipeline.store.verify import files_of, problems, store_problems
    from grace.trainer.provenance import cache_inputs, read_clips
    from grace.trainer.verify import run_problems, runs_of, score_problems, scores_of

    folder = command_settings(params, override).folder(dataset)
    files = files_of(folder)
    runs, scores = runs_of(folder), scores_of(folder)
    answers = find_paths(folder, "responses/*/*.jsonl")
    if not files:
        raise UserError(f"{folder} holds nothing yet: run `grace index` first.")
    found: list[str] = []
    count = len(files) + len(runs) + len(scores) + len(answers)
    with tqdm(total=count, desc="verify", unit="file") as bar:
        for path in files:
            found += problems(folder, path)
            bar.update()
        found += store_problems(folder)
        now = {} if found or not runs else cache_inputs(folder, read_clips(folder))
        for run in runs:
            found += run_problems(run, now)
            bar.update()
        for path in scores:
            found += score_problems(folder, path)
            bar.update()
        for path in answers:
            if lost := damaged_lines(path):
                found.append(f"{path} holds {lost} damaged answers, which are asked for again: run {path.parent.name}.")
            bar.update()
    for sentence in found:
        console().print(strip_control(sentence), markup=False, soft_wrap=True)
    if found:
        findings = f"{len(found)} finding{'s' * (len(found) > 1)}"
        raise GraceError(f"{findings} in {count} files of {dataset}: damaged, out of date or incomplete.")
    whole = f"{len(files) + len(scores)} files and {len(runs)} runs of {dataset}"
    console().print(f"{whole} are as they were written.", markup=False)
