"""YAML as DVC reads it (version 1.2), and nothing twice: the one reader of settings, of ``--set`` and of run files.

PyYAML reads YAML 1.1 (``no`` is False, ``010`` is 8) and takes the last of two equal keys without a word.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from grace.pipeline.errors import UserError
from grace.pipeline.messages import byte_size, one_line

MAX_BYTES = 100_000
MAX_VALUES = 10_000
MAX_DEPTH = 200
MAX_DIGITS = 100
"""Settings are written by people; what is larger is damaged, or made to exhaust the reader."""
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML 1.2 does not allow in a file."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; None when it is empty.

    Raises:
        UserError: It is no regular file, not UTF-8, not YAML 1.2, holds a key twice (both lines are named), or is too
            large or deep.
        OSError: It cannot be read.
    """
    if Path(path).exists() and not Path(path).is_file():  # reading a pipe would wait for ever
        raise UserError(f"{path} is not a regular file.")
    content = Path(path).read_bytes()
    if len(content) > MAX_BYTES:
        raise UserError(f"{path} is larger than {byte_size(MAX_BYTES)}: that is no file of settings.")
    try:
        return _parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8.") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid YAML: {error}.") from None


def parse_value(written: str, where: str) -> Any:
    """A value as one writes it in a YAML file; ``where`` leads the sentence of what is wrong with it.

    Example:
        >>> parse_value("[1, 2]", "--set x"), parse_value("010", "--set x"), parse_value("no", "--set x")
        ([1, 2], 10, 'no')
    """
    try:
        return _parse(written)
    except ValueError as error:
        shown = one_line(written, 100)
        raise UserError(f"{where}: '{shown}' is not a YAML value ({error}); put text with signs in quotes.") from None


def _parse(text: str) -> Any:
    """Raise :class:`ValueError` with one line that says what is wrong and where."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} characters")
    if nesting(text) > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if found := re.search(rf"\d{{{MAX_DIGITS + 1},}}", text):
        raise ValueError(f"line {_line(text, found)}: more than {MAX_DIGITS} digits are no number")
    if found := _FORBIDDEN.search(text):
        raise ValueError(f"line {_line(text, found)}: the character U+{ord(found[0]):04X} is not allowed")
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = False
    try:
        # Before anything is made of it: merging aliases of aliases (<<: [*a, *a, …]) takes time with every copy.
        if "&" in text and _size(YAML(typ="safe", pure=True).compose(text), {}) > MAX_VALUES:
            raise ValueError(f"it stands for more than {MAX_VALUES:,} values")
        content = yaml.load(text)
    except DuplicateKeyError:
        raise ValueError(_duplicate(text)) from None
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{one_line(error.problem or error.context or 'unreadable')}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError) as error:
        # ruamel.yaml lets a few of its own slips through for text that is no YAML
        raise ValueError(one_line(error) or type(error).__name__) from None
    if _count(content) > MAX_VALUES:
        raise ValueError(f"it stands for more than {MAX_VALUES:,} values")
    return _whole_characters(content) if "\\u" in text.lower() else content


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


def _whole_characters(content: Any) -> Any:
    """Characters that JSON writes as two escapes (a surrogate pair) put together, which ruamel.yaml does not.

    Raises :class:`ValueError` for half a character: no file and no terminal would take it.
    """
    if isinstance(content, str):
        try:
            return content.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise ValueError(f"the text {ascii(content)[:50]} holds half a character") from None
    if isinstance(content, dict):
        return {_whole_characters(key): _whole_characters(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_whole_characters(value) for value in content]
    return content


def _duplicate(text: str) -> str:
    """The first key that stands twice, with both lines."""
    waiting: list[Any] = [YAML(typ="safe", pure=True).compose(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, MappingNode):
            lines: dict[Any, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if isinstance(key, ScalarNode) and key.value in lines:
                    return f"the key '{key.value}' stands twice, in line {lines[key.value]} and in line {line}"
                lines[key.value if isinstance(key, ScalarNode) else id(key)] = line
                waiting.append(value)
    return "a key stands twice"


def _size(node: Any, known: dict[int, float]) -> float:
    """Nodes below a node with every alias written out; infinite where it holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        parts = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
        known[id(node)] = 1 + sum(_size(part, known) for part in parts) if isinstance(parts, list) else 1
    return known[id(node)]


def nesting(text: str) -> int:
    """How deep brackets are nested, at most; those within texts count too."""
    deepest = depth = 0
    for sign in text:
        if sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in "]}":
            depth -= 1
    return deepest


def _count(content: Any) -> int:
    """Values with every alias written out, counted up to :data:`MAX_VALUES` only."""
    count, waiting = 0, [content]
    while waiting and count <= MAX_VALUES:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | set | tuple):
            waiting.extend(value)
    return count
