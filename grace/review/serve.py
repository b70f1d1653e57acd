"""Run the application on this machine, where only it can be reached."""

from __future__ import annotations

import ctypes
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from grace.pipeline.errors import GraceError
from grace.review.application import make_application
from grace.review.state import Review

if TYPE_CHECKING:
    import uvicorn

HOST = "127.0.0.1"
M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
"""Of glibc's ``malloc.h``."""
LARGE = 1 << 20
"""Bytes from which memory is taken from the system and given back by itself, rather than from a heap with gaps."""


def serve(review: Review, port: int, opened: Callable[[str], None]) -> None:
    """Serve the pages until interrupted.

    Args:
        review: The data set.
        port: The port; 0 takes a free one.
        opened: Is given the address, with its token, once the port is taken.

    Raises:
        GraceError: The port is taken.
    """
    listener = listen(port)
    token = secrets.token_urlsafe(24)
    server = make_server(review, token)
    opened(f"http://{HOST}:{listener.getsockname()[1]}/?token={token}")
    server.run(sockets=[listener])


def listen(port: int) -> socket.socket:
    """A socket of this machine alone. Raises :class:`GraceError` when the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)  # who opens the address at once waits, and is not refused
    except OSError as error:
        listener.close()
        raise GraceError(
            f"Port {port} cannot be used ({error.strerror}): name another with --port, or 0 for any that is free."
        ) from None
    return listener


def make_server(review: Review, token: str) -> uvicorn.Server:
    """The server of the application. It keeps no log of addresses: they hold the token."""
    import uvicorn

    application = make_application(review, token)
    config = uvicorn.Config(application, log_level="warning", access_log=False, server_header=False, lifespan="off")
    return uvicorn.Server(config)


def hold_little_memory() -> None:
    """Let this process return to the system what one page once needed; to be called before a data set is opened.

    The C library keeps two heaps rather than one per thread, and Arrow takes its memory there rather than from a pool
    of its own, which keeps what is freed. Arrow also imports pandas when it meets the first array, to see whether that
    is one of pandas': once it has not found it, it does not look for it again.
    """
    import pyarrow as pa

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 2)
        mallopt(M_MMAP_THRESHOLD, LARGE)
    pa.set_memory_pool(pa.system_memory_pool())
    if "pandas" not in sys.modules:
        sys.modules["pandas"] = None  # type: ignore[assignment]
        with suppress(ImportError, AttributeError):
            pa.array([])
        del sys.modules["pandas"]
