"""What vLLM runs first in every process that it starts: processes that a GRACE stage started end with it.

vLLM's processes outlive a stage that was killed, and go on holding a GPU's memory, so that the next run could not
start. As a plugin (``vllm.general_plugins`` in ``pyproject.toml``) this reaches them all, before any model is loaded.
vLLM loads it in whatever else runs in this environment too, a server of somebody else among it: there it does nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from multiprocessing import parent_process

from grace.pipeline.execution import processes

OWNER = "GRACE_VLLM_OWNER"
"""The environment variable that holds the id of a GRACE process while it starts vLLM's processes."""


def exit_with_parent() -> None:
    """End this process when the one that started it is gone, for whatever reason, and leave Ctrl-C to that one.

    Only where that process is the one named by :data:`OWNER`: a stage with engine ``vllm``, or an engine process that
    such a stage started.
    """
    parent = parent_process()
    if parent is None or os.environ.get(OWNER) != str(parent.pid):
        return
    os.environ[OWNER] = str(os.getpid())  # for the workers that this one starts
    processes.exit_with_parent()
    with suppress(PermissionError):  # it leads a session of its own: no terminal reaches it
        os.setpgid(0, 0)
