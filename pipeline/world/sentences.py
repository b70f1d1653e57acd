"""The true words of a rendered clip, and the reading of such words.

A timeline is told clause by clause. A :class:`Clause` says what moves, how strongly, when in the clip it begins
(``third``) and how it unfolds (``phase``); the coarse caption, the fine description and the cues are three tellings
of the same clauses, so whatever the coarse caption says, the other two follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from grace.pipeline.world.actions import ACTIONS, BY_NAME, REGIONS, Action
from grace.pipeline.world.timeline import LEVELS, Event, Timeline

MOST = 6
"""A caption tells at most so many movements, the strongest ones: a sentence has to end."""

INTENSITIES = tuple(word for _, word in LEVELS)
PHASES = ("onset", "apex", "offset")

LATE = 0.8
"""An action whose apex begins after this share of the clip is still building up when the clip ends."""

LAST = 0.04
"""Seconds before the clip's end at which its last frame lies: what holds until then holds to the end."""

FADED = 0.5
"""An action below this share of its apex at the clip's end has faded."""

REST = "The face stays at rest."
REST_FINE = "The face stays at rest. No part of it moves."

WHEN = ("At first", "Then", "At the end")
WHEN_FINE = ("In the beginning", "In the middle", "Towards the end")
UNFOLDING_FINE = {
    "onset": "still building as the clip ends",
    "apex": "at a peak that holds",
    "offset": "at a peak that fades again",
}

LONGEST_FINE = 3
"""Clauses to a fine sentence: CLIP's text tower reads 77 tokens, a clause has up to 16."""

# Other words for the same, so that a reader of captions does not hang on one wording.
_WHEN_ALIKE = (
    ("At first", "First", "To begin with"),
    ("Then", "Next", "After that"),
    ("At the end", "Finally", "In the end"),
)
_REST_ALIKE = (REST, "The face is still.", "Nothing moves in the face.", "The face rests throughout.")

_SINGULAR = frozenset({"the nose", "the upper lip", "one lip corner", "the lower lip", "the chin", "the jaw"})


@dataclass(frozen=True)
class Clause:
    """One movement as it is told. ``third`` is the part of the clip it begins in: 0, 1 or 2."""

    action: Action
    level: str
    phase: str
    third: int


def phase(event: Event, duration: float) -> str:
    """How an action unfolds inside its clip of ``duration`` seconds.

    ``onset``: its apex begins in the last fifth of the clip or after it, so it is seen building up only;
    ``offset``: else, its intensity in the last frame is below half its apex; ``apex``: else, it holds to the end.
    """
    if event.apex_start > LATE * duration:
        return "onset"
    end = float(event.at(np.array([duration - LAST]))[0])
    return "offset" if end < FADED * event.intensity else "apex"


def clauses(timeline: Timeline) -> tuple[Clause, ...]:
    """What there is to tell: the visible events, the strongest :data:`MOST` of them, in time order."""
    visible = timeline.visible()
    strongest = sorted(visible, key=lambda event: -event.intensity)[:MOST]
    told = [event for event in visible if event in strongest]
    return tuple(_clause(event, timeline.duration) for event in told)


def _clause(event: Event, duration: float) -> Clause:
    third = min(2, max(0, int(3 * event.onset / duration)))
    return Clause(BY_NAME[event.action], event.level, phase(event, duration), third)


def coarse_caption(timeline: Timeline) -> str:
    """What the face does, in time order, naming no emotion: one sentence for each third of the clip that has any."""
    return tell_coarse(clauses(timeline))


def fine_description(timeline: Timeline) -> str:
    """Two to five sentences: the regions that move, then each movement with intensity and phase, in time order."""
    return tell_fine(clauses(timeline))


def cues(timeline: Timeline) -> list[dict[str, str]]:
    """Each movement as ``region``, ``action``, ``intensity``, ``phase``, in time order."""
    return tell_cues(clauses(timeline))


def tell_coarse(told: Sequence[Clause], rng: np.random.Generator | None = None) -> str:
    """The coarse caption of some clauses; with ``rng``, in one of several wordings."""
    if not told:
        return REST if rng is None else _REST_ALIKE[int(rng.integers(len(_REST_ALIKE)))]
    if rng is None or rng.random() < 0.5:
        return _by_third(told, WHEN, lambda clause: _coarse_clause(clause, False))
    when = tuple(words[int(rng.integers(len(words)))] for words in _WHEN_ALIKE)
    adverb_first = bool(rng.random() < 0.3)
    return _by_third(told, when, lambda clause: _coarse_clause(clause, adverb_first))


def tell_fine(told: Sequence[Clause]) -> str:
    """The fine description of some clauses."""
    if not told:
        return REST_FINE
    regions = list(dict.fromkeys(clause.action.region for clause in told))
    return f"Movement shows in {_listed(regions)}. " + _by_third(told, WHEN_FINE, _fine_clause, LONGEST_FINE)


def tell_cues(told: Sequence[Clause]) -> list[dict[str, str]]:
    """The cues of some clauses, keys in the order of the ``cues`` column."""
    return [
        {"region": clause.action.region, "action": clause.action.name, "intensity": clause.level, "phase": clause.phase}
        for clause in told
    ]


def moment_sentence(active: Iterable[tuple[Action, float]]) -> str:
    """What one frame shows, as "The brows lower and draw together clearly; the lips part slightly.".

    ``active`` holds actions with their intensity in [0, 1] at that moment; none gives the sentence of a face at rest.
    """
    told = [f"{action.subject} {action.verb} {_level(intensity)}" for action, intensity in active]
    return _capital("; ".join(told)) + "." if told else REST


def _level(intensity: float) -> str:
    return next(word for bound, word in LEVELS if intensity < bound)


def _by_third(told: Sequence[Clause], when: Sequence[str], say: Callable[[Clause], str], longest: int = MOST) -> str:
    """Sentences of clauses: neighbours that begin in the same third share one of at most ``longest`` clauses."""
    sentences: list[str] = []
    last, count = -1, 0
    for clause in told:
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
    named = [f"the {word}" for word in words]
    return named[0] if len(named) == 1 else ", ".join(named[:-1]) + " and " + named[-1]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def world_phrases() -> set[str]:
    """The set phrases that every text of the world is made of: subjects, verbs, names, times and unfoldings."""
    of_actions = {phrase for action in ACTIONS for phrase in (action.subject, action.verb, action.name)}
    of_times = {*WHEN_FINE, *(phrase for alike in _WHEN_ALIKE for phrase in alike)}
    of_phases = {"as the clip ends", *UNFOLDING_FINE.values()}
    return of_actions | of_times | of_phases | {f"and {word}" for word in ("hold", "holds", "relax", "relaxes")}


def _pattern(action: Action) -> re.Pattern[str]:
    """Subject and verb, an adverb between them allowed, or the action's name as cues write it."""
    adverb = rf"(?:\s+(?:{'|'.join(INTENSITIES)}))?"
    sentence = rf"{re.escape(action.subject)}{adverb}\s+{re.escape(action.verb)}"
    return re.compile(rf"\b(?:{sentence}|{re.escape(action.name)})\b", re.IGNORECASE)


_PATTERNS = tuple((action, _pattern(action)) for action in ACTIONS)
_REGION_PATTERN = re.compile(rf"\b({'|'.join(REGIONS)})\b", re.IGNORECASE)


def told(text: str) -> list[tuple[Action, str]]:
    """The movements that a text of the world's language names, in the order of telling, each with its clause.

    Reads coarse captions, fine descriptions and cues alike; words of any other language are passed over.
    """
    flat = " ".join(text.split())
    found = [(match.start(), action) for action, pattern in _PATTERNS if (match := pattern.search(flat))]
    return [(action, re.split(r"[;.]", flat[start:])[0]) for start, action in sorted(found, key=lambda item: item[0])]


def named(text: str) -> set[tuple[str, str]]:
    """The movements that a text names (:func:`told`), as ``(region, action name)``."""
    return {(action.region, action.name) for action, _ in told(text)}


def truth(timeline: Timeline) -> set[tuple[str, str]]:
    """The movements that happen in a clip, as :func:`named` gives them; all visible ones, however many."""
    return {(BY_NAME[event.action].region, event.action) for event in timeline.visible()}


def named_regions(text: str) -> set[str]:
    """The regions that a text names, by their word or by a movement in them."""
    words = {word.lower() for word in _REGION_PATTERN.findall(text)}
    return words | {region for region, _ in named(text)}
