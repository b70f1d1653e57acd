"""Why a model stopped writing, in the words of many servers."""

from __future__ import annotations

STOP, LENGTH, REFUSAL = "stop", "length", "refusal"

_MEANT = {
    STOP: ("", "stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete"),
    LENGTH: ("length", "max_tokens", "max_length", "max_output_tokens", "model_length"),
    REFUSAL: (
        *("refusal", "content_filter", "content_filtered", "prohibited_content", "blocklist"),
        *("safety", "recitation", "spii", "error_toxic"),
    ),
}
"""``stop`` is what ends a whole answer; ``length``: its tokens ended first; ``refusal``: the model or a filter did."""
_REASONS = {word: reason for reason, words in _MEANT.items() for word in words}


def finish_reason(said: str | None) -> str | None:
    """What a server means by its finish reason; none at all is ``stop``.

    Args:
        said: As it stands in the answer, in any case.

    Returns:
        ``stop``, ``length``, ``refusal``, or None where the answer ended otherwise (``abort``, ``error``, and whatever
        is unknown): its text may lack anything.

    Example:
        >>> finish_reason("MAX_TOKENS"), finish_reason(None), finish_reason("abort")
        ('length', 'stop', None)
    """
    return _REASONS.get((said or "").strip().lower())
