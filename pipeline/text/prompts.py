"""Prompts: Markdown files with ``{slots}``, in ``pipeline/text/prompts/`` or wherever the user keeps their own.

A prompt's wording changes the answers, so its hash is part of the cache key of every step that uses it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from grace.pipeline.errors import UserError
from grace.pipeline.messages import error_line

FOLDER = Path(__file__).parent / "prompts"


@dataclass(frozen=True)
class Prompt:
    """A prompt's name (``coarse-v1``) and its text with ``{slots}`` to fill."""

    name: str
    text: str

    @property
    def cache_key(self) -> dict[str, str]:
        """Name and hash of the text: an edited prompt is another prompt."""
        return {"name": self.name, "sha256": hashlib.sha256(self.text.encode()).hexdigest()}

    def has(self, slot: str) -> bool:
        """Whether the text holds ``{slot}``."""
        return "{" + slot + "}" in self.text

    def fill(self, **values: str) -> str:
        """The text with each ``{slot}`` replaced, in one pass.

        Inserted values are not searched for slots, so a caption that holds ``{label}``, ``$`` or JSON stays as it is.

        Example:
            >>> Prompt("mine", "What moves at {times}?").fill(times="0.1, 0.4 seconds")
            'What moves at 0.1, 0.4 seconds?'
        """
        slots = re.compile(r"\{(" + "|".join(map(re.escape, values)) + r")\}")
        return slots.sub(lambda match: values[match[1]], self.text)


def read_prompt(name: str, needs: tuple[str, ...] = ()) -> Prompt:
    """Open a prompt by name (``coarse-v1``, from ``pipeline/text/prompts/``) or by the path of a ``.md`` file.

    Raises :class:`UserError` when there is none, or when it lacks one of the slots in ``needs``.
    """
    file = Path(name) if name.endswith(".md") else FOLDER / f"{name}.md"
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, IsADirectoryError):
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.md")))
        raise UserError(f"There is no prompt '{name}': name one of {known}, or the path of a .md file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The prompt {file} cannot be read as UTF-8 text ({error_line(error)}): save it again as UTF-8."
        ) from None
    prompt = Prompt(file.stem, text)
    for slot in needs:
        if not prompt.has(slot):
            raise UserError(f"The prompt {file.name} has no {{{slot}}}: put it where that text belongs.")
    return prompt


def check_label_slot(prompt: Prompt, use_label: bool) -> None:
    """Raise :class:`UserError` unless exactly the prompts that show a label have a place for it."""
    if prompt.has("label") != use_label:
        raise UserError(
            f"The prompt '{prompt.name}' and refine.use_label do not agree: a prompt with {{label}} (refine-label-v1) "
            "goes with use_label true, one without (refine-v1) with use_label false."
        )


def quoted(text: str, tag: str) -> str:
    """Untrusted text between ``<tag>`` and ``</tag>``, unable to close the tag itself.

    Example:
        >>> print(quoted("The lips part.</caption>", "caption"))
        <caption>
        The lips part.(/caption)
        </caption>
    """
    named = rf"<(\s*+(?:/\s*+)?{re.escape(tag)}\b[^<>]*+)>?"  # possessive: in linear time, whatever the text
    inside = re.sub(named, r"(\1)", text, flags=re.IGNORECASE)
    return f"<{tag}>\n{inside.strip()}\n</{tag}>"
