"""What a shard was made from, as a short text that changes when any of it changes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(content: Any) -> str:
    """JSON with sorted keys and no spaces; the same content gives the same text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def fingerprint(content: Any) -> str:
    """SHA-256 of the canonical JSON of ``content``, 32 hex digits."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as Python values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be part of a fingerprint")
