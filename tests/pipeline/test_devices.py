"""Where models compute, and what that asks of the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource
import numpy as np
import torch
from grace.pipeline.devices import keep_freed_memory
if {kept}:
    keep_freed_memory(torch.device("cpu"))
def step():
    return sum(float(np.ones(5_000_000).sum()) for _ in range(5))
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_pages_of_freed_tensors_are_used_again() -> None:
    faults = {}
    for kept in (False, True):
        done = subprocess.run([sys.executable, "-c", STEPS.format(kept=kept)], capture_output=True, check=True)
        faults[kept] = int(done.stdout)
    assert faults[True] < faults[False] / 20
