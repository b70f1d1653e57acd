"""What can be counted in texts without looking at the clips."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from grace.pipeline.audit.lexicon import (
    ACTION_WORDS,
    EMOTION_WORDS,
    IDENTITY_WORDS,
    actions_in,
    emotion_words,
    identity_words,
)
from grace.pipeline.audit.sources import AuditedText
from grace.pipeline.datasets.labels import CANONICAL_LABELS
from grace.pipeline.messages import cause_of
from grace.pipeline.sentences import split_sentences
from grace.pipeline.text.quality import english, looping, refusing
from grace.pipeline.vocabulary import REGION_WORDS, regions_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CLIP_WINDOW = 77
"""Tokens that CLIP's text tower reads (Radford et al. 2021), begin and end tokens included."""

BIN_TOKENS = 10
"""Tokens per bar of the histogram."""
OPENING_WORDS = 4
"""Words of an opening."""
MIN_SHARED_WORDS = 5
"""Sentences of fewer words do not count as shared by several clips."""
TOP_ENTRIES = 12
"""Entries of a list of the most frequent."""

_ENDED = re.compile(r"[.!?…。！？][\"'”’)\]]*$")
_PICTURES = r"(?:image|picture|video|clip|frame|scene|sequence|footage)s?"
_ABOUT_PICTURES = re.compile(
    r"^\W*(?:sure|certainly|of course|here(?:'s| is| are)\b|based on|overall|as an ai|i (?:can|see|notice|observe)\b"
    rf"|(?:in|from|throughout|across) (?:the|this|these)\b.{{0,20}}\b{_PICTURES}\b"
    rf"|(?:the|this|these)\b.{{0,20}}\b{_PICTURES} "
    r"(?:show|depict|captur|feature|present|portray|contain|is|are)\w*)",
    re.IGNORECASE,
)


def measure(texts: Sequence[AuditedText], tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """All that is counted of one kind of text; shares are of the texts that are not empty, unless named otherwise."""
    written = [text for text in texts if text.text.strip()]
    words = [len(text.text.split()) for text in written]
    return {
        "texts": len(texts),
        "clips": len({text.clip_id for text in texts}),
        "empty": len(texts) - len(written),
        "status": dict(sorted(Counter(text.status for text in texts).items())),
        **_obeyed(texts),
        "words": _spread(words),
        "sentences": _spread([len(split_sentences(text.text)) for text in written]),
        "tokens": _tokens(written, tokenizer),
        "cut_short": _share(text.cut_short or not _ENDED.search(text.text.strip()) for text in written),
        "not_english": _share(not english(text.text) for text in written),
        "refusal": _share(refusing(text.text) for text in written),
        "repeated": _repeated(written),
        "opening": _opening(written),
        "regions": _coverage(written, regions_in, REGION_WORDS),
        "actions": _coverage(written, actions_in, ACTION_WORDS),
        "emotion": _emotion(written),
        "identity": _identity(written),
    }


def _obeyed(texts: Sequence[AuditedText]) -> dict[str, Any]:
    """How often a model had to be asked again, and why texts are not all that was asked for."""
    asked = [text for text in texts if text.attempts]
    causes = Counter(cause_of(text.error) for text in texts if text.error)
    return {
        "asked_again": _share(text.attempts > 1 for text in asked),
        "causes": [[cause, count] for cause, count in causes.most_common(TOP_ENTRIES)],
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    if not values:
        return {}
    low, median, high = np.percentile(values, [5, 50, 95])
    spread = {"mean": np.mean(values), "p5": low, "median": median, "p95": high, "max": max(values)}
    return {name: round(float(value), 1) for name, value in spread.items()}


def _share(found: Iterable[bool]) -> float:
    each = list(found)
    return round(sum(each) / len(each), 4) if each else 0.0


def _tokens(texts: Sequence[AuditedText], tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Lengths in tokens, and what is lost when a text is cut to CLIP's window, as most training code does."""
    counts: list[int] = []
    of_sentences: list[int] = []
    lost: Counter[str] = Counter()
    capacity = CLIP_WINDOW - tokenizer.num_special_tokens_to_add()
    for start in range(0, len(texts), 1000):  # 40,000 texts in one batch would take gigabytes
        batch = [text.text for text in texts[start : start + 1000]]
        sentences = [sentence for text in batch for sentence in split_sentences(text)]
        of_sentences += [len(ids) for ids in tokenizer(sentences, verbose=False)["input_ids"]] if sentences else []
        encoded = tokenizer(batch, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for text, offsets in zip(batch, encoded["offset_mapping"], strict=True):
            counts.append(len(offsets) + CLIP_WINDOW - capacity)
            if len(offsets) > capacity:
                kept = text[: offsets[capacity - 1][1]]
                lost["texts"] += 1
                lost["tokens"] += len(offsets) - capacity
                lost["regions"] += regions_in(kept) < regions_in(text)
                lost["actions"] += actions_in(kept) < actions_in(text)
    total = sum(counts)
    return {
        "tokenizer": tokenizer.name_or_path,
        **_spread(counts),
        "cut_at_77": {
            "texts": round(lost["texts"] / max(len(texts), 1), 4),
            "tokens": round(lost["tokens"] / max(total, 1), 4),
            "texts_losing_a_region": round(lost["regions"] / max(len(texts), 1), 4),
            "texts_losing_an_action": round(lost["actions"] / max(len(texts), 1), 4),
        },
        "of_a_sentence": {
            **_spread(of_sentences),
            "longer_than_77": _share(count > CLIP_WINDOW for count in of_sentences),
        },
        "histogram": [
            [start * BIN_TOKENS, n] for start, n in sorted(Counter(count // BIN_TOKENS for count in counts).items())
        ],
    }


def _repeated(texts: Sequence[AuditedText]) -> dict[str, Any]:
    """Within a text: a sentence occurs twice, or it ends in a loop. Across clips: whole texts, long sentences."""
    within = 0
    clips_of_text: dict[str, set[str]] = defaultdict(set)
    clips_of_sentence: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        sentences = [_normalised(sentence) for sentence in split_sentences(text.text)]
        within += len(set(sentences)) < len(sentences) or looping(text.text)
        clips_of_text[_normalised(text.text)].add(text.clip_id)
        for sentence in sentences:
            if len(sentence.split()) >= MIN_SHARED_WORDS:
                clips_of_sentence[sentence].add(text.clip_id)
    return {
        "within": round(within / max(len(texts), 1), 4),
        "across_texts": _share(len(clips_of_text[_normalised(text.text)]) > 1 for text in texts),
        "across_sentences": _share(len(clips) > 1 for clips in clips_of_sentence.values()),
    }


def _normalised(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _opening(texts: Sequence[AuditedText]) -> dict[str, Any]:
    openings = [" ".join(text.text.lower().split()[:OPENING_WORDS]) for text in texts]
    most = Counter(openings).most_common(TOP_ENTRIES)
    return {
        "about_pictures": _share(bool(_ABOUT_PICTURES.search(text.text)) for text in texts),
        "of_the_ten_most_used": round(sum(count for _, count in most[:10]) / max(len(texts), 1), 4),
        "most": [[opening, count] for opening, count in most],
    }


def _coverage(texts: Sequence[AuditedText], find: Callable[[str], set[str]], known: Iterable[str]) -> dict[str, Any]:
    """How many of ``known`` a text names, and the share of texts that name each."""
    found = [find(text.text) for text in texts]
    return {
        "mean": round(float(np.mean([len(each) for each in found])), 2) if found else 0.0,
        "none": _share(not each for each in found),
        "share": {name: _share(name in each for each in found) for name in known},
    }


def _emotion(texts: Sequence[AuditedText]) -> dict[str, Any]:
    """Emotions that texts claim: which words, and whether they are the label (where there is one)."""
    words, claims = _occurrences(texts, emotion_words)
    result: dict[str, Any] = {
        "named": _share(bool(claim) for claim in claims),
        "mean": round(sum(map(len, claims)) / max(len(texts), 1), 2),
        "words_a_text": round(words.total() / max(len(texts), 1), 2),
        "share": {emotion: _share(emotion in claim for claim in claims) for emotion in EMOTION_WORDS},
        "most": [[word, count] for word, count in words.most_common(TOP_ENTRIES)],
    }
    labelled = [(text.label, claim) for text, claim in zip(texts, claims, strict=True) if text.label in EMOTION_WORDS]
    return result | {"against_label": _against_labels(labelled)} if labelled else result


def _against_labels(labelled: Sequence[tuple[str, set[str]]]) -> dict[str, Any]:
    """The label, other emotions, both or neither; ``table`` is the share of a label's texts that claim an emotion."""
    labels = [label for label in CANONICAL_LABELS if any(label == true for true, _ in labelled)]
    kinds = Counter(
        "silent" if not claim else "right" if claim == {true} else "right_and_wrong" if true in claim else "wrong"
        for true, claim in labelled
    )
    emotions = [*labels, *(emotion for emotion in CANONICAL_LABELS if emotion not in labels)]
    by_label = {label: [claim for true, claim in labelled if true == label] for label in labels}
    return {
        "texts": len(labelled),
        **{kind: round(kinds[kind] / len(labelled), 4) for kind in ("right", "right_and_wrong", "wrong", "silent")},
        "precision": {
            emotion: _share(true == emotion for true, claim in labelled if emotion in claim) for emotion in labels
        },
        "recall": {label: _share(label in claim for claim in claims) for label, claims in by_label.items()},
        "base_rate": {label: round(len(claims) / len(labelled), 4) for label, claims in by_label.items()},
        "table": {
            "labels": labels,
            "claims": emotions,
            "share": [[_share(e in claim for claim in by_label[label]) for e in emotions] for label in labels],
        },
    }


def _identity(texts: Sequence[AuditedText]) -> dict[str, Any]:
    words, kinds = _occurrences(texts, identity_words)
    return {
        "named": _share(bool(each) for each in kinds),
        "share": {kind: _share(kind in each for each in kinds) for kind in IDENTITY_WORDS},
        "most": [[word, count] for word, count in words.most_common(TOP_ENTRIES)],
    }


def _occurrences(
    texts: Sequence[AuditedText], find: Callable[[str], Iterable[tuple[str, str]]]
) -> tuple[Counter[str], list[set[str]]]:
    """How often each word occurs that ``find`` yields as (kind, word), and the kinds in each text."""
    words: Counter[str] = Counter()
    kinds: list[set[str]] = []
    for text in texts:
        found = list(find(text.text))
        words.update(word for _, word in found)
        kinds.append({kind for kind, _ in found})
    return words, kinds
