"""What vLLM runs first in every process that it starts: it belongs to the stage, and ends with it.

vLLM's processes outlive a stage that was killed, and go on holding a GPU's memory, so that the next run could not
start. As a plugin (``vllm.general_plugins`` in ``pyproject.toml``) this reaches them all, before any model is loaded.
"""

from __future__ import annotations

import os
from contextlib import suppress
from multiprocessing import parent_process

from grace.pipeline.execution.processes import exit_with_parent


def exit_with_parent_process() -> None:
    """End when the process that started this one is gone, however it went, and leave Ctrl-C to that process."""
    if parent_process() is None:
        return  # the stage itself, where vLLM loads plugins too
    exit_with_parent()
    with suppress(PermissionError):  # it leads a session of its own: no terminal reaches it
        os.setpgid(0, 0)
