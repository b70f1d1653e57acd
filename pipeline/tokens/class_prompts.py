"""Class prompts: sentences of what each class looks like, encoded by the text tower that encodes the texts.

The method ``template`` compares clips with them. They are one small file beside the shards of tokens, since the trainer
reads only what is cached.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grace.pipeline.sentences import split_sentences
from grace.pipeline.store import Clips, Row, UserError, fingerprint, folder_lock, write_table
from grace.pipeline.store.formats import decode_meta
from grace.pipeline.store.schemas import TEMPLATES, TEMPLATES_FILE
from grace.pipeline.tokens.batching import encode_texts
from grace.pipeline.tokens.model_keys import model_cache_keys

if TYPE_CHECKING:
    from grace.pipeline.tokens.step import TokensStep

PROMPTS = Path(__file__).parent / "prompts" / "classes-v1.yaml"
UNLISTED_PROMPT = "A person with an expression of {label}."
"""The prompt of a class that ``PROMPTS`` does not list."""


def write_class_prompts(folder: Path, step: TokensStep) -> bool:
    """Encode the prompts of every class of ``folder/clips.parquet`` into ``folder/tokens/templates.parquet``.

    ``step`` is the tokens step, whose model encodes them as it does the clips' own texts. A file made from the same
    prompts by the same model is left as it is; returns whether one was written.
    Raises :class:`UserError` when the prompts cannot be read.
    """
    labels = Clips(folder, []).labels
    prompts = class_sentences(labels, step.settings.class_prompts)
    cache_key = model_cache_keys(step.settings)
    expected = fingerprint({"cache_key": cache_key, "prompts": prompts})
    path = Path(folder) / "tokens" / TEMPLATES_FILE
    if _fingerprint(path) == expected:
        return False
    with folder_lock(path.parent):
        write_table(path, TEMPLATES, _encode(step, prompts), {"cache_key": cache_key, "fingerprint": expected})
    return True


def class_sentences(labels: Sequence[str], own: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Sentences for each class: its ``own`` (``tokens.class_prompts``), else those of ``PROMPTS``, else a plain one.

    Raises :class:`UserError` when a class of ``own`` has no sentence, or looks like a misspelling of one of ``labels``.

    Example:
        >>> class_sentences(["calm", "boredom"], {"Calm": ["The face is at rest and the gaze is steady."]})["boredom"]
        ['A person with an expression of boredom.']
    """
    import yaml

    content: Any = yaml.safe_load(PROMPTS.read_text(encoding="utf-8"))
    valid = isinstance(content, dict) and all(
        isinstance(lines, list) and lines and all(isinstance(line, str) for line in lines) for lines in content.values()
    )
    if not valid:
        raise UserError(f"{PROMPTS.name} must list sentences under each emotion.")
    content |= _own(labels, own, content)
    return {label: content.get(label, [UNLISTED_PROMPT.format(label=label)]) for label in labels}


def _own(labels: Sequence[str], own: Mapping[str, Sequence[str]], known: Collection[str]) -> dict[str, list[str]]:
    """The sentences of ``tokens.class_prompts`` by class; classes of other data sets may be among them."""
    found = {}
    for written, lines in own.items():
        name, key = " ".join(written.lower().split()), f"tokens.class_prompts.{written}"
        if not lines or not all(line.strip() for line in lines):
            raise UserError(f"{key} must list sentences of what the class looks like.")
        if name not in labels and name not in known and (close := get_close_matches(name, labels, 1, 0.8)):
            raise UserError(f"{key} names no class of the data set: is '{close[0]}' meant?")
        found[name] = list(lines)
    return found


def _encode(step: TokensStep, prompts: dict[str, list[str]]) -> list[Row]:
    step.open()
    assert step.encoders is not None
    pairs = [(label, line) for label, lines in prompts.items() for line in lines]
    encoded = encode_texts(step.encoders.texts, [split_sentences(line) for _, line in pairs], step.settings.batch)
    return [
        {"label": label, "prompt": line, "embedding": np.mean([tokens[-1] for tokens, _ in sentences], axis=0)}
        for (label, line), sentences in zip(pairs, encoded, strict=True)
    ]


def _fingerprint(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        return str(decode_meta(TEMPLATES, path).get("fingerprint"))
    except UserError:
        return None
