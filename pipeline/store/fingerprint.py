"""What a shard was made from, as a short hash that changes when any of it changes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(content: Any) -> str:
    """Content as JSON with sorted keys and no spaces: the same content gives the same text.

    Args:
        content: Anything that JSON holds, and NumPy scalars and arrays.

    Raises:
        TypeError: For any other type.

    Example:
        >>> canonical({"b": [1, None], "a": "é"})
        '{"a":"é","b":[1,null]}'
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def fingerprint(content: Any) -> str:
    """The first 32 hex digits of the SHA-256 of the canonical JSON of ``content``.

    Args:
        content: What :func:`canonical` takes.

    Raises:
        TypeError: As :func:`canonical` does.

    Example:
        >>> fingerprint({"stage": "faces", "size": 128}) == fingerprint({"size": 128, "stage": "faces"})
        True
        >>> len(fingerprint([]))
        32
    """
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as Python values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be part of a fingerprint")
