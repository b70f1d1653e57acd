"""The precision of a run's layers, and what makes it give the same bytes again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic as torch_deterministic

from grace.trainer.settings import TrainSettings

FILL = "fill_uninitialized_memory"
"""A switch of torch that its type stubs do not know."""


def lower_precision(precision: str, device: torch.device) -> bool:
    """Whether layers run in bfloat16 (``train.precision``): ``auto`` means on GPUs. The transport is float32 anyway."""
    return device.type == "cuda" if precision == "auto" else precision == "bfloat16"


@contextmanager
def reproducible(settings: TrainSettings) -> Iterator[None]:
    """Within, torch uses ``train.threads`` threads: sums are split by thread and would differ in the last bit."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    filled: bool = getattr(torch_deterministic, FILL)
    torch.set_num_threads(settings.threads)
    setattr(torch_deterministic, FILL, False)  # it costs a pass over every new tensor, and none is read unwritten
    torch.use_deterministic_algorithms(not torch.cuda.is_available())  # CUDA has no deterministic form of some
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        setattr(torch_deterministic, FILL, filled)
