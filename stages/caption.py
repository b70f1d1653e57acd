"""``grace caption``: a vision-language model writes a coarse caption of each clip."""

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
    """Write a coarse caption of every clip: what the face does, in time order, no emotion named.

    With FOLDER it lists the clips and crops their faces first: the whole way from a folder to texts.
    """
    write_texts(("caption",), clips, dataset, command_settings(params, override, "caption", clips), out, retry_failed)
