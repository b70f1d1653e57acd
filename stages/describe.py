"""``grace describe``: from a folder of clips to fine descriptions in one command."""

from __future__ import annotations

from pathlib import Path

from stages._options import ClipsFolder, DatasetOrFolder, Out, Params, RetryFailed, Set, command_settings
from stages._output import user_errors
from stages._texts import write_texts


@user_errors
def command(
    clips: ClipsFolder = None,
    dataset: DatasetOrFolder = None,
    out: Out = None,
    params: Params = Path("params.yaml"),
    override: Set = [],  # noqa: B006
    retry_failed: RetryFailed = False,
) -> None:
    """Write captions and the fine descriptions and cues refined from them: `caption`, then `refine`.

    With FOLDER it lists the clips and crops their faces first: the whole way from a folder to texts.
    """
    write_texts(
        ("caption", "refine"), clips, dataset, command_settings(params, override, "refine", clips), out, retry_failed
    )
