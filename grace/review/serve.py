"""Run the application on this machine, where only it can be reached."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

from grace.pipeline.errors import GraceError
from grace.review.application import make_application
from grace.review.state import Review

HOST = "127.0.0.1"


def serve(review: Review, port: int, opened: Callable[[str], None]) -> None:
    """Serve the pages until interrupted.

    Args:
        review: The data set.
        port: The port; 0 takes a free one.
        opened: Is given the address, with its token, once the port is taken.

    Raises:
        GraceError: The port is taken.
    """
    import uvicorn

    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        raise GraceError(
            f"Port {port} cannot be used ({error.strerror}): name another with --port, or 0 for any that is free."
        ) from None
    token = secrets.token_urlsafe(24)
    application = make_application(review, token)
    config = uvicorn.Config(application, log_level="warning", access_log=False, server_header=False, lifespan="off")
    opened(f"http://{HOST}:{listener.getsockname()[1]}/?token={token}")
    uvicorn.Server(config).run(sockets=[listener])
