"""Texts of others (libraries, servers, operating systems) cut down to what fits into one sentence of ours."""

from __future__ import annotations


def one_line(text: object, limit: int = 200) -> str:
    """The first ``limit`` characters of ``str(text)``, on one line with single spaces.

    Example:
        >>> one_line("Unable to open:\\n  no such file", 20)
        'Unable to open: no s'
    """
    return " ".join(str(text).split())[:limit]


def error_line(error: BaseException, limit: int = 200) -> str:
    """The kind of an exception and the first ``limit`` characters of its message, on one line.

    Example:
        >>> error_line(ValueError("no such\\nframe"))
        'ValueError: no such frame'
    """
    return f"{type(error).__name__}: {one_line(error, limit)}"
