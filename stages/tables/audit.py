"""The report for a terminal of 80 columns: one table of all texts, the most frequent words, label, ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from grace.pipeline.messages import percent
from grace.pipeline.vocabulary import CUE_FIELDS
from stages.tables.formats import strip_control

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Cell = Callable[[dict[str, Any]], str]


def _at(*path: str) -> Cell:
    """A share somewhere in the report of one kind of text, in percent."""

    def get(found: dict[str, Any]) -> str:
        for name in path:
            found = found.get(name, {})
        return "" if isinstance(found, dict) else percent(found)

    return get


def _lengths(name: str) -> Cell:
    def get(found: dict[str, Any]) -> str:
        spread = found[name]
        return f"{spread['mean']:.0f} ({spread['p5']:.0f}–{spread['p95']:.0f})" if "mean" in spread else ""

    return get


ROWS: tuple[tuple[str, Cell] | None, ...] = (
    ("texts", lambda found: str(found["texts"])),
    ("of clips", lambda found: str(found["clips"])),
    ("status", lambda found: ", ".join(f"{name} {count}" for name, count in found["status"].items())),
    ("asked again for a better answer", _at("asked_again")),
    ("empty", lambda found: str(found["empty"])),
    None,
    ("words, mean (5–95 %)", _lengths("words")),
    ("sentences", _lengths("sentences")),
    ("CLIP tokens", _lengths("tokens")),
    ("longer than CLIP's 77 tokens", _at("tokens", "cut_at_77", "texts")),
    ("  tokens a cut would lose", _at("tokens", "cut_at_77", "tokens")),
    ("  texts that would lose a region", _at("tokens", "cut_at_77", "texts_losing_a_region")),
    ("  texts that would lose an action", _at("tokens", "cut_at_77", "texts_losing_an_action")),
    ("  sentences longer than 77 themselves", _at("tokens", "of_a_sentence", "longer_than_77")),
    None,
    ("cut short", _at("cut_short")),
    ("not English", _at("not_english")),
    ("refusals", _at("refusal")),
    ("repeat themselves", _at("repeated", "within")),
    ("same text as another clip's", _at("repeated", "across_texts")),
    ("sentences of several clips", _at("repeated", "across_sentences")),
    ("open by mentioning the footage", _at("opening", "about_pictures")),
    ("share the ten usual openings", _at("opening", "of_the_ten_most_used")),
    None,
    ("regions per text", lambda found: f"{found['regions']['mean']:.1f}"),
    ("  name none", _at("regions", "none")),
    ("actions per text", lambda found: f"{found['actions']['mean']:.1f}"),
    ("  name none", _at("actions", "none")),
    ("guess who it is (sex, age, origin)", _at("identity", "named")),
    ("name an emotion", _at("emotion", "named")),
    ("  emotions per text", lambda found: f"{found['emotion']['mean']:.1f}"),
    ("  the label, and no other", _at("emotion", "against_label", "right")),
    ("  the label, and others", _at("emotion", "against_label", "right_and_wrong")),
    ("  others only", _at("emotion", "against_label", "wrong")),
)

TRUTH: tuple[tuple[str, Cell] | None, ...] = (
    *(
        (f"{what}, {kind}", _at("truth", what, kind))
        for what in ("actions", "regions", "order")
        for kind in ("precision", "recall")
    ),
    ("specificity", _at("truth", "specificity")),
    *((f"  {detail} stated correctly", _at("truth", "details", detail)) for detail in CUE_FIELDS),
)


def tables(report: dict[str, Any], title: str) -> Iterator[RenderableType]:
    """Everything to print, top to bottom. ``title`` says whose texts they are."""
    texts = {name: found for name, found in report.items() if name != "refining"}
    yield _side_by_side(title, texts, ROWS)
    for name, found in texts.items():
        if found["causes"]:
            yield _causes(name, found)
        yield _most(name, found)
        yield _coverage(name, found)
    for name, found in texts.items():
        if "against_label" in found["emotion"]:
            yield _labels(name, found)
    if any("truth" in found for found in texts.values()):
        yield _side_by_side("Against the truth of the rendered world", texts, TRUTH)


def _side_by_side(title: str, texts: dict[str, Any], rows: tuple[tuple[str, Cell] | None, ...]) -> Table:
    table = _table(title)
    table.add_column("share of texts, or number", ratio=2)
    for name in texts:
        table.add_column(_text(name), justify="right", ratio=1)
    for row in rows:
        if row is None:
            table.add_section()
            continue
        cells = [row[1](found) for found in texts.values()]
        if any(cells):
            table.add_row(row[0], *map(_text, cells))
    return table


def _causes(name: str, found: dict[str, Any]) -> Table:
    table = _table(f"{name}: why a text is not all that was asked for")
    table.add_column("texts", justify="right", no_wrap=True)
    table.add_column("cause", ratio=1)
    for cause, count in found["causes"]:
        table.add_row(str(count), _text(cause))
    return table


def _most(name: str, found: dict[str, Any]) -> Table:
    table = _table(f"{name}: most frequent")
    table.add_column("what", no_wrap=True)
    table.add_column("words and counts", ratio=1)
    for what, path in (("openings", "opening"), ("emotion words", "emotion"), ("identity words", "identity")):
        if found[path]["most"]:
            table.add_row(what, _text(", ".join(f"{word} {count}" for word, count in found[path]["most"])))
    learnt = found.get("bag_of_words")
    for label, words in learnt["telling"].items() if learnt else ():
        table.add_row(_text(f"words for {label}"), _text(", ".join(words)))
    return table


def _coverage(name: str, found: dict[str, Any]) -> Table:
    from grace.pipeline.vocabulary import regions_in

    table = _table(f"{name}: regions and their actions, share of texts that name them")
    table.add_column("region", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("actions", ratio=1)
    actions = sorted(found["actions"]["share"].items(), key=lambda item: -item[1])
    region_of = {action: next(iter(regions_in(action)), "mouth") for action, _ in actions}  # dimple: mouth
    for region, share in found["regions"]["share"].items():
        named = [f"{action} {percent(part)}" for action, part in actions if region_of[action] == region and part]
        table.add_row(region, percent(share), ", ".join(named))
    if never := [action for action, share in actions if not share]:
        table.caption, table.caption_justify = f"Never named: {', '.join(never)}.", "left"
    return table


def _labels(name: str, found: dict[str, Any]) -> Table:
    """What the words say about the label: claimed, correct, and the recall of a bag of words."""
    against, learnt = found["emotion"]["against_label"], found.get("bag_of_words")
    table = _table(f"{name}: the label in the words, %")
    table.add_column("label", no_wrap=True)
    for heading in ("texts", "claimed when true", "true when claimed", "bag of words"):
        table.add_column(heading, justify="right")
    for label in against["recall"]:
        recall = percent(learnt["recall"][label], "") if learnt and label in learnt["recall"] else ""
        cells = (against["base_rate"][label], against["recall"][label], against["precision"][label])
        table.add_row(label, *(percent(share, "") for share in cells), recall)
    if learnt:
        low, high = learnt["interval"]
        table.caption = (
            f"A bag of words reaches UAR {percent(learnt['UAR'])} ({percent(low, '')}–{percent(high, '')}), "
            f"{percent(learnt['UAR_without_emotion_words'])} without the emotion words; chance is "
            f"{percent(learnt['chance'])} ({learnt['folds']} folds over {learnt['groups']} groups of clips)."
        )
        table.caption_justify = "left"
    return table


def _table(title: str) -> Table:
    from rich.box import HORIZONTALS
    from rich.table import Table

    return Table(
        title=_text(title, "bold"), title_justify="left", box=HORIZONTALS, padding=(0, 1, 0, 0), pad_edge=False
    )


def _text(words: str, style: str = "") -> Any:
    """Words of models and files as they are, never as markup, without what could control a terminal."""
    from rich.text import Text

    return Text(strip_control(words), style)
