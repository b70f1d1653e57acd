"""Options of a model's chat template, such as ``enable_thinking``, which ``chat_template_kwargs`` sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from grace.pipeline.errors import UserError


def options_key(options: Mapping[str, Any]) -> dict[str, Any]:
    """What options add to an engine's cache key: nothing where there are none, so that older answers still count."""
    return {"chat_template_kwargs": dict(options)} if options else {}


def require_options(options: Mapping[str, Any], template: object, model: str) -> None:
    """Refuse an option that the chat template of ``model`` never reads: it would do nothing.

    Args:
        options: Options by name.
        template: The template, several by name, or anything else where it is not known: nothing is refused then.
        model: The model's name, for the message.

    Raises:
        UserError: The template has no such option.

    Example:
        >>> require_options({"enable_thinking": False}, "{% if enable_thinking %}<think>{% endif %}", "a model")
    """
    templates = list(template.values()) if isinstance(template, Mapping) else [template]
    for name in options:
        if all(isinstance(text, str) and not re.search(rf"\b{re.escape(name)}\b", text) for text in templates):
            raise UserError(
                f"The chat template of {model} has no option '{name}': correct or remove it in chat_template_kwargs."
            )
