"""Errors that are for people: one plain sentence of what is wrong, where, and what to do."""

from __future__ import annotations


class GraceError(Exception):
    """Something went wrong that a person can put right; printed without a traceback.

    Example:
        >>> error = GraceError("The disk is full: free some space, then run it again.")
        >>> str(error), error.exit_code
        ('The disk is full: free some space, then run it again.', 1)
    """

    exit_code = 1
    """What the command line exits with."""


class UserError(GraceError):
    """The user's mistake: a wrong path, key, name or file; exit code 2."""

    exit_code = 2


class ClipError(Exception):
    """One clip cannot be done; the message becomes the ``error`` of its row. Raise it inside a step."""
