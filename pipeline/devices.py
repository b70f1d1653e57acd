"""Where a model computes, and how precisely."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from grace.pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
"""Parameters of ``mallopt`` (glibc's ``malloc.h``)."""
NEVER = 2**31 - 1


def choose_device(name: str) -> torch.device:
    """``auto`` is the first GPU, else the CPU; anything else is what PyTorch calls it. Raises :class:`UserError`."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"This machine has no device '{name}': use auto or cpu (cuda needs a GPU).") from None
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto`` is what the processor is good at: bfloat16 where it has units for it, else float32 (GPUs: float16)."""
    import torch

    if name != "auto":
        dtype = getattr(torch, name)
        assert isinstance(dtype, torch.dtype)
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if fast else torch.float32
    return torch.float32


def keep_freed_memory(device: torch.device) -> None:
    """Have the C library keep what is freed, rather than give large blocks back to the system.

    Each step allocates the same large tensors as the one before. Given back, their pages are mapped and zeroed again,
    which took a fifth of the processor time of training `grace` on two cores. It holds for the whole process, which
    keeps its largest size until it ends (850 MB where it was 750, for one training), and changes no result. Nothing is
    done for a GPU, whose memory torch keeps by itself, or with another C library than glibc.

    Args:
        device: Where the process computes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if device.type == "cpu" and mallopt is not None:
        for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_ARENA_MAX, 1)):
            mallopt(parameter, value)
