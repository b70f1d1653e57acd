"""The true texts of a rendered clip, and a reader of such texts.

A timeline is described clause by clause. A :class:`Clause` says what moves, how strongly, when in the clip it begins
(``third``) and how it unfolds (``phase``). The coarse caption, the fine description and the cues are three forms of the
same clauses, so the other two follow from whatever the coarse caption says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from grace.pipeline.vocabulary import INTENSITIES, REGIONS, Intensity, Phase
from grace.pipeline.world.actions import ACTIONS, BY_NAME, Action
from grace.pipeline.world.timeline import Event, Timeline, intensity_word

MAX_CLAUSES = 6
"""Movements that a caption names at most, the strongest ones: texts stay short enough for a text encoder."""

LATE_APEX = 0.8
"""An action whose apex begins after this share of the clip is still building up when the clip ends."""

LAST_FRAME = 0.04
"""Seconds before the clip's end at which its last frame lies: what holds until then holds to the end."""

FADED = 0.5
"""An action below this share of its apex at the clip's end has faded."""

REST = "The face stays at rest."
REST_FINE = "The face stays at rest. No part of it moves."

WHEN = ("At first", "Then", "At the end")
WHEN_FINE = ("In the beginning", "In the middle", "Towards the end")
UNFOLDING_FINE: dict[Phase, str] = {
    "onset": "still building as the clip ends",
    "apex": "at a peak that holds",
    "offset": "at a peak that fades again",
}

MAX_CLAUSES_PER_SENTENCE = 3
"""Clauses per fine sentence: CLIP's text tower reads 77 tokens, and a clause has up to 16."""

# Other wordings of the same, so that a model trained on captions does not depend on one of them.
_WHEN_VARIANTS = (
    ("At first", "First", "To begin with"),
    ("Then", "Next", "After that"),
    ("At the end", "Finally", "In the end"),
)
_REST_VARIANTS = (REST, "The face is still.", "Nothing moves in the face.", "The face rests throughout.")

_SINGULAR = frozenset({"the nose", "the upper lip", "one lip corner", "the lower lip", "the chin", "the jaw"})


@dataclass(frozen=True)
class Clause:
    """One movement as texts state it. ``third`` is the part of the clip that it begins in: 0, 1 or 2."""

    action: Action
    level: Intensity
    phase: Phase
    third: int


def phase(event: Event, duration: float) -> Phase:
    """How an action unfolds inside its clip of ``duration`` seconds.

    Args:
        event: the action over time.
        duration: length of the clip in seconds.

    Returns:
        ``onset`` if its apex begins in the last fifth of the clip or later, so that only its rise is visible; else
        ``offset`` if its intensity in the last frame is below half of its apex; else ``apex``, which holds to the end.

    Example:
        >>> from grace.pipeline.world.timeline import Event
        >>> phase(Event("jaw drop", 0.8, onset=0.2, apex_start=0.4, apex_end=0.9, offset=1.2), duration=2.0)
        'offset'
    """
    if event.apex_start > LATE_APEX * duration:
        return "onset"
    end = float(event.at(np.array([duration - LAST_FRAME]))[0])
    return "offset" if end < FADED * event.intensity else "apex"


def timeline_clauses(timeline: Timeline) -> tuple[Clause, ...]:
    """One clause for each of the strongest :data:`MAX_CLAUSES` visible events, in time order."""
    visible = timeline.visible()
    strongest = sorted(visible, key=lambda event: -event.intensity)[:MAX_CLAUSES]
    return tuple(_clause(event, timeline.duration) for event in visible if event in strongest)


def _clause(event: Event, duration: float) -> Clause:
    third = min(2, max(0, int(3 * event.onset / duration)))
    return Clause(BY_NAME[event.action], event.level, phase(event, duration), third)


def coarse_caption(timeline: Timeline) -> str:
    """The true coarse caption: what the face does, in time order, without naming an emotion.

    Args:
        timeline: the expression of one clip.

    Returns:
        One sentence for each third of the clip in which a movement begins; "The face stays at rest." if none does.

    Example:
        >>> from grace.pipeline.world.timeline import Event, Timeline
        >>> smile = Event("lip corner pull", 0.8, onset=0.1, apex_start=0.4, apex_end=2.0, offset=2.0)
        >>> coarse_caption(Timeline((smile,), duration=2.0))
        'At first the lip corners pull up strongly and hold.'
    """
    return caption_from_clauses(timeline_clauses(timeline))


def fine_description(timeline: Timeline) -> str:
    """The true description (fine text): the regions that move, then each movement with its intensity and phase.

    Args:
        timeline: the expression of one clip.

    Returns:
        Two to five sentences, movements in time order.

    Example:
        >>> from grace.pipeline.world.timeline import Event, Timeline
        >>> smile = Event("lip corner pull", 0.8, onset=0.1, apex_start=0.4, apex_end=2.0, offset=2.0)
        >>> fine_description(Timeline((smile,), duration=2.0))
        'Movement shows in the mouth. In the beginning the lip corners pull up strongly, at a peak that holds.'
    """
    return description_from_clauses(timeline_clauses(timeline))


def cues(timeline: Timeline) -> list[dict[str, str]]:
    """The true cues.

    Args:
        timeline: the expression of one clip.

    Returns:
        For each movement, in time order: ``region``, ``action``, ``intensity`` and ``phase``.

    Example:
        >>> from grace.pipeline.world.timeline import Event, Timeline
        >>> smile = Event("lip corner pull", 0.8, onset=0.1, apex_start=0.4, apex_end=2.0, offset=2.0)
        >>> cues(Timeline((smile,), duration=2.0))
        [{'region': 'mouth', 'action': 'lip corner pull', 'intensity': 'strongly', 'phase': 'apex'}]
    """
    return cues_from_clauses(timeline_clauses(timeline))


def caption_from_clauses(clauses: Sequence[Clause], rng: np.random.Generator | None = None) -> str:
    """The coarse caption of some clauses; with ``rng``, in one of several wordings."""
    if not clauses:
        return REST if rng is None else _REST_VARIANTS[int(rng.integers(len(_REST_VARIANTS)))]
    if rng is None or rng.random() < 0.5:
        return _by_third(clauses, WHEN, lambda clause: _coarse_clause(clause, False))
    when = tuple(words[int(rng.integers(len(words)))] for words in _WHEN_VARIANTS)
    adverb_first = bool(rng.random() < 0.3)
    return _by_third(clauses, when, lambda clause: _coarse_clause(clause, adverb_first))


def description_from_clauses(clauses: Sequence[Clause]) -> str:
    """The fine description of some clauses."""
    if not clauses:
        return REST_FINE
    regions = list(dict.fromkeys(clause.action.region for clause in clauses))
    return f"Movement shows in {_listed(regions)}. " + _by_third(
        clauses, WHEN_FINE, _fine_clause, MAX_CLAUSES_PER_SENTENCE
    )


def cues_from_clauses(clauses: Sequence[Clause]) -> list[dict[str, str]]:
    """The cues of some clauses, keys in the order of the ``cues`` column."""
    return [
        {"region": clause.action.region, "action": clause.action.name, "intensity": clause.level, "phase": clause.phase}
        for clause in clauses
    ]


def moment_sentence(active: Iterable[tuple[Action, float]]) -> str:
    """What one frame shows.

    Args:
        active: actions with their intensity in [0, 1] in this frame.

    Returns:
        One sentence; without actions, the sentence of a face at rest.

    Example:
        >>> from grace.pipeline.world.actions import BY_NAME
        >>> moment_sentence([(BY_NAME["brow lower"], 0.6), (BY_NAME["lips part"], 0.3)])
        'The brows lower and draw together clearly; the lips part slightly.'
    """
    phrases = [f"{action.subject} {action.verb} {intensity_word(intensity)}" for action, intensity in active]
    return _capital("; ".join(phrases)) + "." if phrases else REST


def _by_third(
    clauses: Sequence[Clause], when: Sequence[str], say: Callable[[Clause], str], longest: int = MAX_CLAUSES
) -> str:
    """Join clauses into sentences: those that begin in the same third share one, of at most ``longest`` clauses."""
    sentences: list[str] = []
    last, count = -1, 0
    for clause in clauses:
        if clause.third != last:
            sentences.append(f"{when[clause.third]} {say(clause)}")
            count = 1
        elif count == longest:
            sentences.append(f"Also {say(clause)}")
            count = 1
        else:
            sentences[-1] += f"; {say(clause)}"
            count += 1
        last = clause.third
    return " ".join(f"{sentence}." for sentence in sentences)


def _coarse_clause(clause: Clause, adverb_first: bool) -> str:
    action = clause.action
    s = "s" if action.subject in _SINGULAR else ""
    unfolding = {"onset": "as the clip ends", "apex": f"and hold{s}", "offset": f"and relax{'es' if s else ''}"}
    moves = f"{clause.level} {action.verb}" if adverb_first else f"{action.verb} {clause.level}"
    return f"{action.subject} {moves} {unfolding[clause.phase]}"


def _fine_clause(clause: Clause) -> str:
    return f"{clause.action.subject} {clause.action.verb} {clause.level}, {UNFOLDING_FINE[clause.phase]}"


def _listed(words: Sequence[str]) -> str:
    items = [f"the {word}" for word in words]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def world_phrases() -> set[str]:
    """The fixed phrases that all texts of the world consist of: subjects, verbs, names, times and phases."""
    of_actions = {phrase for action in ACTIONS for phrase in (action.subject, action.verb, action.name)}
    of_times = {*WHEN_FINE, *(phrase for alike in _WHEN_VARIANTS for phrase in alike)}
    of_phases = {"as the clip ends", *UNFOLDING_FINE.values()}
    return of_actions | of_times | of_phases | {f"and {word}" for word in ("hold", "holds", "relax", "relaxes")}


def _pattern(action: Action) -> re.Pattern[str]:
    """Subject and verb, an adverb between them allowed, or the action's name as cues write it."""
    adverb = rf"(?:\s+(?:{'|'.join(INTENSITIES)}))?"
    sentence = rf"{re.escape(action.subject)}{adverb}\s+{re.escape(action.verb)}"
    return re.compile(rf"\b(?:{sentence}|{re.escape(action.name)})\b", re.IGNORECASE)


_PATTERNS = tuple((action, _pattern(action)) for action in ACTIONS)
_REGION_PATTERN = re.compile(rf"\b({'|'.join(REGIONS)})\b", re.IGNORECASE)


def find_actions(text: str) -> list[tuple[Action, str]]:
    """Find the movements that a text names, if it uses the sentences of the world.

    Args:
        text: a coarse caption, a description or cues; other wordings are ignored.

    Returns:
        Each action once, in the order of its first mention, with its clause.

    Example:
        >>> [(action.name, clause) for action, clause in find_actions("Then the jaw drops open slightly and holds.")]
        [('jaw drop', 'the jaw drops open slightly and holds')]
    """
    flat = " ".join(text.split())
    found = [(match.start(), action) for action, pattern in _PATTERNS if (match := pattern.search(flat))]
    return [(action, re.split(r"[;.]", flat[start:])[0]) for start, action in sorted(found, key=lambda item: item[0])]


def named_actions(text: str) -> set[tuple[str, str]]:
    """The movements that a text names (:func:`find_actions`), as ``(region, action name)``."""
    return {(action.region, action.name) for action, _ in find_actions(text)}


def true_actions(timeline: Timeline) -> set[tuple[str, str]]:
    """All visible movements of a clip, however many, as :func:`named_actions` gives them."""
    return {(BY_NAME[event.action].region, event.action) for event in timeline.visible()}


def named_regions(text: str) -> set[str]:
    """The regions that a text names, by their word or by a movement in them."""
    words = {word.lower() for word in _REGION_PATTERN.findall(text)}
    return words | {region for region, _ in named_actions(text)}
